"""Tables of labels: CSV, TSV and semicolons, with a header whose names may be the usual ones."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..._util.untrusted import guarded, read_text
from ...errors import DataError
from .label_rows import LabelRow, RowError, Rows, checked_interval, names_in
from .label_times import seconds

#: What columns may be called; capitals, blanks, ``_`` and ``-`` do not matter, nor a unit of seconds or milliseconds.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "video": ("video", "videos", "filename", "file", "videoid", "videoname", "videofile", "videopath", "path",
              "filepath", "clip", "sequence", "media", "mediafile", "vid"),
    "label": ("label", "labels", "class", "classes", "classname", "action", "actions", "behaviour", "behavior",
              "behaviours", "behaviors", "category", "activity", "gesture", "event", "tag"),
    "time": ("time", "t", "timestamp", "point", "click", "seconds", "sec", "at", "position"),
    "start": ("start", "begin", "from", "starttime", "begintime", "tstart", "onset", "startseconds", "startsec"),
    "end": ("end", "stop", "to", "endtime", "stoptime", "tend", "offset", "endseconds", "endsec", "finish"),
    "subset": ("subset", "split", "partition"),
    "subject": ("subject", "person", "animal", "individual"),
    "group": ("group", "groups", "groupid"),
    "score": ("score", "confidence"),
    "comment": ("comment", "comments", "note", "notes"),
}  # fmt: skip
#: Names of the column of subjects that say who is in the video, and by that which videos belong together.
_WHO = ("person",)
_OF_NAME = {name: column for column, names in COLUMNS.items() for name in names}
#: Numbers of frames: no time without a rate.
_FRAMES = re.compile(r"(start|begin|from|end|stop|to|point|time)?(frame|frames|framenumber|frameindex|imageindex)")
_UNITS = {"ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_TIMES = ("time", "start", "end")
_SEPARATORS = "\t;,"


@dataclass(frozen=True)
class _Header:
    """Where each column is, and how many seconds a unit of it is."""

    cells: int
    at: dict[str, int]
    unit: dict[str, float]
    decimal_comma: bool
    who: bool = False

    def group(self, row: Sequence[str]) -> str:
        """Return the group of the line's video: its own column, else the person."""
        return self.text(row, "group") or (self.text(row, "subject") if self.who else "")

    def text(self, row: Sequence[str], column: str) -> str:
        return row[self.at[column]].strip() if column in self.at else ""

    def time(self, row: Sequence[str], column: str) -> float | None:
        text = self.text(row, column)
        if not text:
            return None
        try:
            return seconds(text, decimal_comma=self.decimal_comma) * self.unit[column]
        except RowError as e:
            raise RowError(f"{column}: {e.wrong}", e.allowed) from e


def read_table(path: Path) -> Rows:
    """Read a table with a header line; cells are separated by tabs, semicolons or commas, whichever the header has.

    Raises:
        DataError: missing, not text, or without columns of the videos and the labels; the message names the columns.
    """
    text = read_text(path, "table of labels")
    out = Rows("table")
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    with guarded(path, "table of labels"):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        lines = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
        header = _header(path, next(lines, (0, []))[1], separator, out)
        for number, row in lines:
            where = f"line {number}"
            try:
                out.rows += _rows(where, row, header)
            except RowError as e:
                out.leave_out(where, e)
    return out


def _header(path: Path, names: list[str], separator: str, out: Rows) -> _Header:
    if not names:
        raise DataError(f"{path}: is empty; a table of labels begins with a line such as video,label")
    at: dict[str, int] = {}
    unit: dict[str, float] = {}
    frames: list[str] = []
    ignored: list[str] = []
    for i, name in enumerate(names):
        column, scale = _column(name)
        if column is None:
            (frames if _FRAMES.fullmatch(_plain(name)) else ignored).append(name.strip())
        elif column in at:
            raise DataError(
                f"{path}: columns {names[at[column]].strip()!r} and {name.strip()!r} both are the {column}: rename one"
            )
        else:
            at[column], unit[column] = i, scale
    shown = ", ".join(repr(n.strip()) for n in names[:12])
    for column in ("video", "label"):
        if column not in at:
            raise DataError(
                f"{path}: no column of the {column}s in its first line ({shown}); it may be called "
                f"{', '.join(COLUMNS[column][:6])}"
            )
    if frames and "start" not in at:
        raise DataError(
            f"{path}: {', '.join(map(repr, frames))} count frames, and labels are read in seconds: divide them by the "
            "frames a second (LACP's tables of points are read as `points` of a data description)"
        )
    if ignored:
        out.notes.append(f"columns that are not read: {', '.join(ignored[:12])}")
    who = "subject" in at and _plain(names[at["subject"]]) in _WHO
    return _Header(len(names), at, unit, separator != ",", who)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _column(name: str) -> tuple[str | None, float]:
    """Return the column that a name stands for, and seconds of its unit."""
    plain = _plain(name)
    if plain in _OF_NAME:
        return _OF_NAME[plain], 1.0
    for unit, scale in _UNITS.items():
        column = _OF_NAME.get(plain.removesuffix(unit)) if plain.endswith(unit) else None
        if column in _TIMES:
            return column, scale
    return None, 1.0


def _rows(where: str, row: list[str], header: _Header) -> Iterator[LabelRow]:
    """Yield a row for each name in a line's cell.

    Raises:
        RowError: the line cannot be used.
    """
    if len(row) > header.cells and any(cell.strip() for cell in row[header.cells :]):
        raise RowError(f"has {len(row)} cells, the header {header.cells}", "put quotes round a text with a separator")
    if len(row) <= max(header.at["video"], header.at["label"]):
        raise RowError(
            f"has {len(row)} of {header.cells} cells", "a video in which nothing happens has an empty label cell"
        )
    row = [*row, *[""] * (header.cells - len(row))]
    video = header.text(row, "video")
    if not video:
        raise RowError("names no video", "each line names its video")
    time, start, end = (header.time(row, column) for column in _TIMES)
    if start is None and end is not None:
        raise RowError("has an end and no start", "a segment has both; a point has a time, or a start only")
    spans: list[tuple[float | None, float | None]] = []
    if start is not None:
        spans.append((start, None) if end is None else checked_interval(start, end))
    if time is not None:
        if start is not None and not start <= time <= (end if end is not None else start):
            raise RowError(f"has the point {time:g} s outside of its own segment", "a point lies in its segment")
        spans.append((time, None))
    labels = names_in(header.text(row, "label"))
    if spans and not labels:
        raise RowError("has a time and no label", "each time has a label; an empty label is for a whole video")
    subset, subject, comment = (header.text(row, c) for c in ("subset", "subject", "comment"))
    score = _score(header.text(row, "score"))
    for label in labels or [""]:
        for span in dict.fromkeys(spans or [(None, None)]):
            yield LabelRow(where, video, label, *span, subset, subject, score, comment, header.group(row))


def _score(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise RowError(f"score {text[:40]!r} is not a number", "leave it empty where there is none") from None
