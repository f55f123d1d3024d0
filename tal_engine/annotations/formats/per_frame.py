"""A row for each frame and a column of 0 and 1 for each behaviour: DeepEthogram, SimBA, A-SOiD.

A frame belongs to a segment from its first moment on. Frames have no times but in A-SOiD's table, whose first column is
the time in seconds; the others need a rate or a video.

Source: DeepEthogram's `*_labels.csv` (a column "background", -1 for frames that nobody labelled), SimBA's
`targets_inserted` (poses beside the behaviours), A-SOiD's documentation.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._util.files import write_text
from ..._util.untrusted import guarded, listed, read_text
from ...errors import DataError, UsageError
from .csv_text import csv_text
from .format import Context, Format, holds
from .frame_clock import FrameClock
from .table import Annotation, AnnotationTable, Media

#: Columns that say that nothing happens.
_NOTHING = frozenset(("background", "other", "none", "nothing"))
#: Names of the column that counts frames.
_INDEX = frozenset(("", "frame", "frames", "unnamed: 0", "frame_number", "index"))
#: Column of the seconds at which frames begin.
_TIME = "time"
#: Most cells of 0 and 1 that are written: 50 hours at 25 frames a second for four labels.
_MOST_CELLS = 20_000_000


def read_per_frame(path: Path, context: Context) -> AnnotationTable:
    """Read a table. Columns with other values than 0, 1 and -1 are no behaviours and are named in the notes.

    Raises:
        DataError: no column of 0 and 1; rows of different lengths.
        UsageError: no rate, and no column of times.
    """
    head, columns = _columns(path)
    times = next((columns[k] for k, name in enumerate(head) if name.strip().lower() == _TIME), None)
    clock = context.clock(context.named(path)) if times is None else _clock(times, path)
    name, rows, others = context.named(path), list[Annotation](), list[str]()
    for k, label in enumerate(head):
        if _is_taken(label):
            continue
        flags = _flags(columns[k])
        if flags is None:
            others.append(label)
            continue
        rows += [Annotation(name, label.strip(), clock.seconds(a), clock.seconds(b)) for a, b in runs(flags)]
    if len(others) == len([h for h in head if h.strip().lower() not in _INDEX]):
        raise DataError(f"{path}: none of its {len(head)} columns holds only 0, 1 and -1, so there is no behaviour")
    notes = [f"{len(others)} columns that hold more than 0, 1 and -1 left out: {listed(others)}"] if others else []
    media = Media(duration=clock.seconds(len(columns[0])), frames=len(columns[0]))
    return AnnotationTable.of(sorted(rows, key=lambda r: (r.start, r.end)), {name: media}, notes)


def _is_taken(label: str) -> bool:
    """Return whether a column of this name is no behaviour."""
    plain = label.strip().lower()
    return plain in _INDEX or plain in _NOTHING or plain == _TIME


def _columns(path: Path) -> tuple[list[str], list[tuple[str, ...]]]:
    text = read_text(path, "table of frames")
    with guarded(path, "table of frames"):
        lines = [row for row in csv.reader(io.StringIO(text)) if row]
    wrong = [
        f"line {k}: {len(row)} cells, the first has {len(lines[0])}"
        for k, row in enumerate(lines, 1)
        if len(row) != len(lines[0])
    ]
    if len(lines) < 2 or wrong:
        raise DataError(f"{path}: {listed(wrong) or 'has no frames'}")
    return lines[0], list(zip(*lines[1:], strict=True))


def _flags(cells: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """Return whether each frame is labelled; None if there are other values."""
    if not set(cells) <= {"0", "1", "-1", "0.0", "1.0", "-1.0", ""}:
        return None
    return np.array([c in {"1", "1.0"} for c in cells], bool)


def _clock(cells: tuple[str, ...], path: Path) -> FrameClock:
    with guarded(path, "table of frames with times"):
        times = np.array([float(c) for c in cells])
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
        return FrameClock(1 / step, times.tolist())


def runs(flags: Any) -> Iterator[tuple[int, int]]:
    """Yield stretches of true values as [first, end).

    Example:
        >>> list(runs([0, 1, 1, 0, 1]))
        [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    yield from ((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _matrix(table: AnnotationTable, context: Context) -> tuple[list[str], NDArray[np.int8], FrameClock]:
    """Return labels, frames by labels, and the clock. Overlapping and touching segments of a label are merged."""
    media = next((table.media[v] for v in table.videos if v in table.media), Media())
    clock = context.clock(next(iter(table.videos), ""), media.fps)
    names = _names(table, context)
    segments = [(names[r.label], *clock.frames(r.start or 0.0, r.end or 0.0)) for r in table]
    count = max([b for _, _, b in segments] + [media.frames or 0, clock.boundary(media.duration or 0.0)])
    labels = sorted(set(names.values()))
    if count * (len(labels) + 1) > _MOST_CELLS:
        last = max(list(table), key=lambda r: r.end or 0.0, default=None)
        until = "the video" if last is None else f"{last.label!r} ends at {last.end:g} s and the table"
        raise UsageError(
            f"{until} would have {count} frames of {len(labels) + 1} columns, a table of frames at most "
            f"{_MOST_CELLS} cells: choose a format that holds times"
        )
    out = np.zeros((count, len(labels)), np.int8)
    columns = {label: k for k, label in enumerate(labels)}
    for label, a, b in segments:
        column = columns[label]
        context.lose(
            "segments of one label that touch or overlap become one", bool(out[max(a - 1, 0) : b + 1, column].any())
        )
        out[a:b, column] = 1
    return labels, out, clock


def _names(table: AnnotationTable, context: Context) -> dict[str, str]:
    """Name a column for each label: none that says something else, or that another label has."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(table.labels, key=lambda x: (x != x.strip() or _is_taken(x), x)):
        name = label.strip()
        while _is_taken(name) or name in taken:
            name += "_"
        names[label] = name
        taken.add(name)
        if name != label:
            rows = int((table.label == label).sum())
            context.lose(f"label {label!r} written as {name!r}: a table of frames has no behaviour of that name", rows)
    return names


def write_per_frame(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write DeepEthogram's table: the frame's number, "background", a column a label."""
    labels, flags, _ = _matrix(table, context)
    rows = ([k, int(not row.any()), *row.tolist()] for k, row in enumerate(flags))
    write_text(path, csv_text(chain([["", "background", *labels]], rows)))


def write_asoid(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write A-SOiD's table: the frame's time in seconds, a column a label, "other"."""
    labels, flags, clock = _matrix(table, context)
    rows = ([f"{clock.seconds(k):.6f}", *row.tolist(), int(not row.any())] for k, row in enumerate(flags))
    write_text(path, csv_text(chain([[_TIME, *labels, "other"]], rows)))


def _is_per_frame(head: str) -> bool:
    cells, row = _two_lines(head)
    counts = len(cells) == len(row) > 1 and cells[0].strip().lower() in {*_INDEX, _TIME}
    return counts and any(c in {"0", "1", "0.0", "1.0"} for c in row[1:])


def _is_asoid(head: str) -> bool:
    return _is_per_frame(head) and _two_lines(head)[0][0].strip().lower() == _TIME


def _two_lines(head: str) -> tuple[list[str], list[str]]:
    """Return the cells of the first two lines; names within quotes may have commas and line feeds."""
    try:
        found = list(islice(csv.reader(io.StringIO(head)), 2))
    except csv.Error:
        found = []
    return (found[0], found[1]) if len(found) == 2 else ([], [])


FORMATS = (
    Format("per-frame", "table of frames (DeepEthogram, SimBA)", (".csv",), holds(), "frames, nearest boundary",
           read_per_frame, write_per_frame, one_video=True, by_name=True, recognise=_is_per_frame),
    Format("asoid", "A-SOiD", (".csv",), holds(), "frames, nearest boundary", read_per_frame, write_asoid,
           one_video=True, by_name=True, recognise=_is_asoid),
)  # fmt: skip
