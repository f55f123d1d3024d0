"""What every format promises of its rows, and what became of them in a file that was read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..._util.names import without_ending
from ..._util.untrusted import listed
from ...errors import DataError
from .format import Context
from .table import AnnotationTable

#: Seconds after which no video ends: 30 years.
LONGEST_S = 1e9


def check_rows(table: AnnotationTable, path: str | Path) -> None:
    """Check what every format promises of a row, whoever read it.

    Raises:
        DataError: a row without video or label, or with times that no video has; all are named.
    """
    rows = [f"annotation {i + 1} {words}" for i, words in sorted(_wrong(table))]
    if rows:
        raise DataError(f"{path}: {listed(rows)}")


def _wrong(table: AnnotationTable) -> Iterator[tuple[int, str]]:
    start, end = table.start, table.end
    rules = (
        (table.video == "", "has no video"),
        (table.label == "", "has no label"),
        ((start < 0) | (end < 0), "has a time before 0 s"),
        ((start > LONGEST_S) | (end > LONGEST_S), f"has a time beyond {LONGEST_S:g} s (30 years), must be seconds"),
        (end <= start, "ends before it starts, or when it starts"),
    )
    for mask, words in rules:
        for i in np.flatnonzero(mask).tolist():
            yield i, f"{words}: {table.label[i]!r} of {table.video[i]!r} from {start[i]:g} to {end[i]:g} s"


def lose_names(before: AnnotationTable, after: AnnotationTable, context: Context) -> None:
    """Enter videos and labels that are called otherwise when the target is read again, if the writer did not say so."""
    names = {without_ending(n) for n in after.video.tolist()}
    lost = sorted({without_ending(n) for n in before.video.tolist()} - names) if names else []
    if lost:
        context.lose(f"a video is called otherwise when the file is read, such as {lost[0]!r}", len(lost))
    said = " ".join(context.losses)
    for label in sorted(set(before.label.tolist()) - set(after.label.tolist()) - context.renamed):
        if repr(label) not in said:
            context.lose(f"label {label!r} reads otherwise when the file is read", int((before.label == label).sum()))


def largest_shift(before: AnnotationTable, after: AnnotationTable) -> float | None:
    """Return the most seconds by which a start or end moved; None if the rows cannot be matched.

    Rows are compared in order of label and times, segments with segments, points with points.
    """
    largest = 0.0
    for kind in ("segment", "point"):
        a, b = (t.where(t.kinds == kind) for t in (before, after))
        if len(a) == 0 and len(b) == 0:
            continue
        if len(a) != len(b) or sorted(a.label.tolist()) != sorted(b.label.tolist()):
            return None
        for label in set(a.label.tolist()):
            for column in ("start", "end") if kind == "segment" else ("start",):
                old, new = (np.sort(getattr(t, column)[t.label == label]) for t in (a, b))
                largest = max(largest, float(np.max(np.abs(old - new))))
    return largest
