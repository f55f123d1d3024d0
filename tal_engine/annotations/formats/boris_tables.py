"""BORIS's exported tables: tabular events (a row for each start and stop) and aggregated events (a row an event).

Source: boris-behav-obs 8.27.4, `export_observation.export_tabular_events` and `export_aggregated_events`. Tables of
older versions, which have some lines about the observation before the names of columns, are read too.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..._util.files import write_text
from ..._util.names import without_ending
from ..._util.untrusted import guarded, listed, read_text
from ...errors import DataError
from .boris_events import HOLDS, Event, Observation, file_name, merged
from .comments import split_score, with_score
from .csv_text import csv_text
from .format import Context, Format
from .lines import interval, seconds, timed
from .table import Annotation, AnnotationTable

_TABULAR = ("Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
            "Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior", "Behavioral category",
            "Behavior type", "Time", "Media file name", "Image index", "Image file path", "Comment")  # fmt: skip
_AGGREGATED = ("Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)",
               "Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject",
               "Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type",
               "Start (s)", "Stop (s)", "Duration (s)", "Media file name", "Image index start", "Image index stop",
               "Image file path start", "Image file path stop", "Comment start", "Comment stop")  # fmt: skip
#: Subject of events that nobody is named for.
_NOBODY = "No focal subject"


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows below the names of columns, with their line.

    Raises:
        DataError: no line names the columns that every export has.
    """
    text = read_text(path, "table of BORIS")
    # What parts the names of columns parts the rest: a comment may hold the other one.
    named = (line for line in text.splitlines() if "Behavior" in line and ("Time" in line or "Start (s)" in line))
    delimiter = max(",\t", key=next(named, "").count)
    with guarded(path, "table of BORIS"):
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    for k, head in enumerate(lines):
        if "Behavior" in head and ("Time" in head or "Start (s)" in head):
            return [(k + n, dict(zip(head, row, strict=False))) for n, row in enumerate(lines[k + 1 :], 2) if any(row)]
    raise DataError(f"{path}: no line names the columns Behavior and Time, or Start (s), as BORIS exports them")


def read_tables(path: Path, context: Context) -> AnnotationTable:
    """Read either table; which one it is is told by its columns."""
    rows, wrong, left_out = _rows(path), list[str](), Counter[str]()
    aggregated = bool(rows) and "Start (s)" in rows[0][1]
    fallback = context.named(path)
    found = _aggregated(rows, fallback, wrong) if aggregated else _tabular(rows, fallback, wrong, left_out)
    kept = list(found)
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(kept, notes=[f"{n} x {what}" for what, n in left_out.items()])


def _video(row: dict[str, str], fallback: str) -> str:
    """Name of the media file, else of the observation."""
    name = row.get("Media file name") or row.get("Media file path") or ""
    if name in {"", "NA", "Not found"}:
        name = row.get("Source", "").partition("player #1:")[2].split("|")[0].split(";")[0]
    return file_name(name) if name and name != "NA" else row.get("Observation id") or fallback


def _subject(row: dict[str, str]) -> str:
    subject = row.get("Subject", "")
    return "" if subject == _NOBODY else subject


def _modifiers(row: dict[str, str]) -> str:
    return "|".join(v for k, v in row.items() if k.startswith("Modifier") and v)


def _tabular(
    rows: Iterable[tuple[int, dict[str, str]]], fallback: str, wrong: list[str], left_out: Counter[str]
) -> Iterator[Annotation]:
    """Pair the events of each observation. Videos are the rows' own, since times of a table are already of one file."""
    observations: dict[tuple[str, str], list[Event]] = {}
    offsets: dict[tuple[str, str], float] = {}
    for line, row in rows:
        key = row.get("Observation id", ""), _video(row, fallback)
        status = (row.get("Behavior type") or row.get("Status") or "").upper()
        kind = "point" if status.startswith("POINT") else "state"
        try:
            offsets[key] = float(row.get("Time offset (s)") or 0.0)
            event = Event(
                float(row["Time"]), _subject(row), row["Behavior"], _modifiers(row), row.get("Comment", ""), kind
            )
        except ValueError as e:
            wrong.append(f"line {line}: {e}")
            continue
        observations.setdefault(key, []).append(event)
    for (_, video), events in observations.items():
        observation = Observation(video, offset=offsets[_, video])
        yield from observation.rows(events, left_out, wrong)


def _aggregated(rows: Iterable[tuple[int, dict[str, str]]], fallback: str, wrong: list[str]) -> Iterator[Annotation]:
    for line, row in rows:
        point = row.get("Behavior type", "").upper().startswith("POINT")
        try:
            offset = float(row.get("Time offset (s)") or 0.0)
            if point:
                start, end = seconds(row["Start (s)"]) - offset, None
            else:
                a, b = interval(row["Start (s)"], row["Stop (s)"])
                start, end = a - offset, b - offset
        except ValueError as e:
            wrong.append(f"line {line}: {e}")
            continue
        comment, score = split_score(row.get("Comment start", ""))
        if modifiers := _modifiers(row):
            comment = f"{comment} modifiers={modifiers}".strip()
        yield Annotation(_video(row, fallback), row["Behavior"], start, end, _subject(row), score, comment)


def write_tabular(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write tabular events; overlapping segments of one label and subject are merged, as they could not be paired."""
    lines: list[tuple[float, dict[str, Any]]] = []
    of: dict[tuple[str, ...], list[Annotation]] = {}
    for r in timed(table):
        of.setdefault((r.kind, r.video, r.subject, r.label), []).append(r)
    for r in (r for (kind, *_), rows in of.items() for r in (rows if kind == "point" else merged(rows, context))):
        common = _common(r)
        kind = "POINT" if r.end is None else "START"
        lines.append((r.start or 0.0, common | {"Behavior type": kind, "Time": f"{r.start or 0.0:.3f}"}))
        if r.end is not None:
            lines.append((r.end, common | {"Behavior type": "STOP", "Time": f"{r.end:.3f}", "Comment": ""}))
    _write(path, _TABULAR, [row for _, row in sorted(lines, key=lambda x: x[0])])


def write_aggregated(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write aggregated events."""
    rows = []
    for r in timed(table):
        start, end = r.start or 0.0, r.start if r.end is None else r.end
        times = {"Start (s)": f"{start:.3f}", "Stop (s)": f"{end:.3f}", "Duration (s)": f"{(end or 0.0) - start:.3f}"}
        kind = "POINT" if r.end is None else "STATE"
        rows.append(_common(r) | times | {"Behavior type": kind, "Comment start": with_score(r.comment, r.score)})
    _write(path, _AGGREGATED, rows)


def _common(r: Annotation) -> dict[str, Any]:
    return {
        "Observation id": without_ending(r.video), "Observation date": "1970-01-01 00:00:00",
        "Observation type": "Media file(s)", "Source": f"player #1:{r.video}", "Time offset (s)": "0.0",
        "Subject": r.subject or _NOBODY, "Behavior": r.label, "Media file name": r.video,
        "Image index": "NA", "Image file path": "NA", "Comment": with_score(r.comment, r.score),
    }  # fmt: skip


def _write(path: Path, head: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    lines = [head, *([row.get(name, "") for name in head] for row in rows)]
    write_text(path, csv_text(lines, "\t" if path.suffix.lower() == ".tsv" else ","))


def _is_table(head: str) -> bool:
    return "Behavior" in head and (
        "Observation id" in head or "Media file path" in head or "Behavioral category" in head
    )


FORMATS = (
    Format("boris-tabular", "BORIS tabular events", (".csv", ".tsv"), HOLDS, "milliseconds, nearest",
           read_tables, write_tabular, by_name=True, recognise=_is_table),
    Format("boris-aggregated", "BORIS aggregated events", (".csv", ".tsv"), HOLDS, "milliseconds, nearest",
           read_tables, write_aggregated, by_name=True, recognise=lambda head: _is_table(head) and "Start (s)" in head),
)  # fmt: skip
