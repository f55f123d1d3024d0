"""Files that are whole or not there: write beside the target, then rename. And where a user's cache lies.

Devices, pipes and open descriptors (/dev/stdout, a shell's ``>(command)``) are written through; a symbolic link stays
and the file that it leads to is replaced.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UsageError

#: No more can be written: the disk, the user's share of it, or the size of a file; or the disk is broken.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
#: Folders whose entries are a process's own open files, besides /dev/fd.
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/(\d+)(?:/task/\d+)?/fd")
#: Links that are followed in search of a descriptor; the kernel itself follows no more.
_MOST_LINKS = 40
#: Longest file name, in bytes, that leaves room for what a temporary name adds.
_LONGEST_NAME = 200
#: Ending of files that are being written: no scan of a folder takes one for a video or for features.
_UNFINISHED = ".tmp"
#: The whole name of such a file.
_UNFINISHED_NAME = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")


@contextmanager
def whole_file(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path; its content becomes that of `path` if the block ends without an error.

    A regular file is replaced in one step, and a new one gets the mode that the umask leaves it. What is no regular
    file gets the content at the end, in one go.

    Args:
        path: the file to write.
        durable: the content is on the disk before a regular file is replaced, so that a loss of power leaves the old
            file or the new one too; takes some milliseconds.

    Raises:
        OSError: `path` is a folder or cannot be written, or the disk is full: it names `path`.
    """
    path = Path(path)
    descriptor = open_through(path)
    with _replaced(path, durable) if descriptor is None else _copied(path, descriptor) as temporary:
        yield temporary


@contextmanager
def _replaced(path: Path, durable: bool) -> Iterator[Path]:
    """Lend a file beside `path`, then put it in place of the file behind all symbolic links."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    short = target.name if len(os.fsencode(target.name)) <= _LONGEST_NAME else target.name[:40]
    try:
        handle, name = tempfile.mkstemp(prefix=f".{short}.", suffix=_UNFINISHED, dir=target.parent)
    except OSError as e:
        e.filename = str(path)
        raise
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        if durable:
            _synced(temporary)
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        temporary.replace(target)
    except OSError as e:
        if e.filename == name or (e.filename is None and e.errno in _FULL):  # writes do not say in which file
            raise OSError(e.errno, e.strerror, str(path)) from e
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _synced(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_unfinished(folder: Path, older_than: float = 0.0) -> None:
    """Remove the temporary files that killed writers have left in a folder; what cannot be removed stays.

    Args:
        folder: only files in it, not in folders below; need not be there.
        older_than: seconds since they were last written to, where others may be writing there.
    """
    with suppress(OSError):
        for path in [p for p in folder.iterdir() if _UNFINISHED_NAME.fullmatch(p.name)]:
            if time.time() - path.stat().st_mtime >= older_than:
                path.unlink(missing_ok=True)


@contextmanager
def _copied(path: Path, descriptor: int) -> Iterator[Path]:
    """Lend a temporary file, then copy it to the device or pipe, so that writers that seek can write there too."""
    try:
        with os.fdopen(descriptor, "wb") as out, tempfile.TemporaryDirectory(prefix="tal-") as folder:
            temporary = Path(folder) / f"output{path.suffix[:20]}"
            temporary.touch()
            yield temporary
            with temporary.open("rb") as written:
                shutil.copyfileobj(written, out)
    except OSError as e:
        e.filename = e.filename or str(path)
        raise


def open_through(path: str | Path) -> int | None:
    """Open a device, a pipe or one of this process's descriptors for writing; the caller closes the number.

    A pipe without a reader is waited for.

    Returns:
        A file descriptor, or None where the path is a regular file or nothing yet.

    Raises:
        OSError: the path is a folder, a loop of links, or cannot be opened.
    """
    number = _descriptor_of(Path(path))
    if number is not None:
        for stream in (sys.stdout, sys.stderr):  # what was printed before comes before
            with suppress(AttributeError, ValueError):
                stream.flush()
        return os.dup(number)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path.stat of a loop of links differs by version
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return None if stat.S_ISREG(mode) else os.open(path, os.O_WRONLY)


def _descriptor_of(path: Path) -> int | None:
    """Return the number of the open file that a path stands for, such as 1 for /dev/stdout."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        listed = _DESCRIPTORS.fullmatch(folder)
        if listed and path.name.isdecimal() and listed[1] in (None, str(os.getpid())):
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, os.readlink(path))  # noqa: PTH115 - relative to the folder of the link
    return None


def check_outputs(outputs: Mapping[str, str | Path | None], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse files to write of which one would overwrite another, or an input.

    Names that differ in capitals only count as one, as they are one file on many disks. Devices and pipes may be named
    more than once.

    Args:
        outputs: paths by the words that messages call them, such as "--plot timeline.png"; None is left out.
        inputs: files that are read; those that do not exist do not matter.

    Raises:
        UsageError: two are the same file, or an output is a folder; it names both.
    """
    read = {_identity(p): p for p in map(Path, inputs) if os.path.exists(p)}  # noqa: PTH110 - see `names.exists`
    written: dict[object, str] = {}
    for what, path in ((what, Path(p)) for what, p in outputs.items() if p is not None):
        if path.is_dir():
            raise UsageError(f"{what}: is a folder, must be a file")
        if (path.exists() and not path.is_file()) or _descriptor_of(path) is not None:
            continue
        if (one := _identity(path)) in read:
            raise UsageError(f"{what} is the input itself, {read[one]}: choose another name")
        for key in {one, os.path.realpath(path).casefold()}:
            if (other := written.setdefault(key, what)) != what:
                raise UsageError(f"{what} and {other} are the same file: choose another name for one")


def check_free(path: str | Path, *, overwrite: bool, resume: bool = False) -> None:
    """Refuse to replace an output that is there already, unless the user says so.

    Nothing is there at devices, pipes and empty folders.

    Args:
        path: a file to write, or a folder to fill.
        overwrite: the user said so.
        resume: the command could go on with it, by --resume; the message says so.

    Raises:
        UsageError: it is there; the message says what can be done.
    """
    path = Path(path)
    if overwrite or not path.exists() or _descriptor_of(path) is not None:
        return
    if any(path.iterdir()) if path.is_dir() else path.is_file():
        on = "--resume goes on with it, " if resume else ""
        raise UsageError(f"{path}: is there already; --overwrite replaces it, {on}or choose another name")


def check_writable(path: Path, what: str) -> None:
    """Find out now rather than in an hour whether a file can be written; missing folders are made, the file is not.

    Raises:
        UsageError: it cannot; it names the file and says `what` it is.
    """
    if (path.exists() and not path.is_file()) or _descriptor_of(path) is not None:
        return  # a device or a pipe says so itself
    folder = Path(os.path.realpath(path)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError) as e:
        raise UsageError(f"{path}: {what} cannot be written ({folder} is no folder)") from e
    except OSError as e:
        raise UsageError(f"{path}: {what} cannot be written ({e.strerror})") from e


def _identity(path: Path) -> object:
    """Return a value that is equal for all names of one file."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path).casefold()
    return status.st_dev, status.st_ino


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
    """Return the folder of compiled files: TAL_CACHE, or one in the user's cache. It may not exist yet."""
    if named := os.environ.get("TAL_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tal_engine"


def _umask() -> int:
    """Read the process's umask without setting it, since other threads create files meanwhile."""
    with suppress(OSError, ValueError):
        status = Path("/proc/self/status").read_bytes()
        if match := re.search(rb"^Umask:\s*([0-7]+)", status, re.MULTILINE):
            return int(match[1], 8)
    with tempfile.TemporaryDirectory(prefix="tal-") as folder:  # the kernel shows it on a new file
        handle = os.open(Path(folder, "probe"), os.O_CREAT | os.O_WRONLY, 0o777)
        try:
            return 0o777 & ~os.fstat(handle).st_mode
        finally:
            os.close(handle)
