"""Files that are whole or not there: write beside the target, then rename. And where a user's cache lies."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UsageError

#: No more can be written: the disk, the user's share of it, or the size of a file.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path next to `path`; it becomes `path` if the block ends without an error.

    Raises:
        OSError: the folder cannot be written, or the disk is full: it names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mode = 0o666 & ~_umask()
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else mode)
        temporary.replace(path)
    except OSError as e:
        if e.errno in _FULL and e.filename in (None, name):  # writes do not say in which file
            e.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path, what: str) -> None:
    """Make a folder, and find out now rather than in an hour whether files can be made in it.

    Raises:
        UsageError: they cannot; it names the folder and says `what` it is.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise UsageError(f"{folder}: {what} cannot be written ({e.strerror})") from e


def write_text(path: str | Path, text: str) -> None:
    """Write a whole UTF-8 text file."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """Where compiled things are kept: TAL_CACHE, or a folder in the user's cache. It need not be there yet."""
    if named := os.environ.get("TAL_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tal_engine"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
