"""A fit that is refused says which labels could not be used: they may be what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..._util.files import write_text
from ...annotations.labels import Labels
from ...errors import FitError

#: Rows that the message names; the file has all.
_MOST = 20


def path_of(output: Path) -> Path:
    """Name the file of a refusal: beside the plan that was not made, not in the work folder, which is of one run."""
    return output.with_suffix(".refused.json")


@contextmanager
def refusals(read: Labels, output: Path) -> Iterator[None]:
    """Add the rows that were left out to a `FitError`, and keep both in a file; a fit that works takes the file away.

    Args:
        read: the labels.
        output: the plan that is to be made.

    Raises:
        FitError: that of the block, with the rows.
    """
    path = path_of(output)
    try:
        yield
    except FitError as e:
        document = {
            "refused": str(e), "labels_file": str(read.source), "rows_left_out": read.rows_left_out,
            "left_out": [p.document() for p in read.problems], "notes": list(read.notes),
        }  # fmt: skip
        write_text(path, json.dumps(document, indent=1) + "\n")
        raise FitError(f"{e}{_rows(read, path)}") from e
    path.unlink(missing_ok=True)


def _rows(read: Labels, path: Path) -> str:
    if not read.problems:
        return ""
    lines = [f"  {p}" for p in read.problems[:_MOST]]
    if len(read.problems) > _MOST:
        lines.append(f"  and {len(read.problems) - _MOST} more")
    head = f"\n{read.rows_left_out} rows of {read.source} could not be used (all of them: {path}):"
    return "\n".join([head, *lines])
