"""Files that are written elsewhere first, read again, and only then put in place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..._util.files import whole_file
from ...errors import UsageError


@contextmanager
def called(staged: Path, output: Path) -> Iterator[None]:
    """Let errors of a block name the file that is asked for, not the one that is written first."""
    try:
        yield
    except UsageError as e:
        raise UsageError(str(e).replace(str(staged), str(output))) from e


def put_in_place(staged: Path, output: Path) -> None:
    """Copy a finished file or folder to its place: all of its files, or none, so that what was there stays whole.

    Args:
        staged: the finished file or folder. Further files beside a file (the specification of Anvil) go beside
            `output`, unless they are there already.
        output: the file or folder that is asked for.

    Raises:
        OSError: a file cannot be written; it names it.
    """
    if staged.is_dir():
        fresh = not output.exists()
        output.mkdir(parents=True, exist_ok=True)
        targets = {p: output / p.name for p in sorted(staged.iterdir())}
    else:
        fresh = False
        beside = {p: output.with_name(p.name) for p in sorted(staged.parent.iterdir()) if p != staged}
        targets = {staged: output} | {p: to for p, to in beside.items() if not to.exists()}
    try:
        with ExitStack() as stack:  # which renames none of them if one cannot be copied
            for file, target in targets.items():
                shutil.copyfile(file, stack.enter_context(whole_file(target)))
    except BaseException:
        if fresh:
            shutil.rmtree(output, ignore_errors=True)
        raise
