"""Dartfish's events: the .dartclip beside a video (XML), and the table that its list of events exports (CSV).

A .dartclip counts ticks of 100 ns, a table milliseconds of position and duration. An event has a title and values of
categories; ours are "subject", "score" and "comment". Dartfish numbers titles ("Serve (3)"): such numbers are taken
off, and a label that ends like one is kept in a category "label".

Source: files as Dartfish writes them, as the public readers of PyFootballVideo and others take them; its documentation
describes no format.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from ..._util.files import write_text
from ..._util.untrusted import guarded, listed, read_text
from ...errors import DataError
from .csv_text import csv_text
from .format import Context, Format, holds
from .lines import seconds, timed
from .table import Annotation, AnnotationTable
from .xml_file import UNFIT, read_xml, write_xml

_TICKS = 10_000_000
_NUMBER = re.compile(r"\s*\(\d+\)$")
_OURS = ("subject", "score", "comment")


def read_dartclip(path: Path, context: Context) -> AnnotationTable:
    """Read the events of a clip.

    Raises:
        DataError: no .dartclip, another unit of time, or events whose times cannot be; all are named.
    """
    root = read_xml(path, "Dartfish clip", "LIBRARY_ITEM")
    name = context.name or (root.findtext("NAME") or "").strip() or context.named(path)
    rows, wrong = list[Annotation](), list[str]()
    events = (e for e in root.iter("LIBRARY_ITEM") if e.get("ItemType") == "Marker.Event")
    for number, event in enumerate(events, 1):
        properties = event.iterfind("Library.MDProperties/Property")
        title = next(((p.text or "").strip() for p in properties if p.get("Name") == "Title"), "")
        values = {c.get("name", ""): (c.text or "").strip() for c in event.iterfind("CATEGORIES/CATEGORY")}
        try:
            if event.get("UNIT", "RefTime") != "RefTime":
                raise ValueError(f"its unit is {event.get('UNIT')!r}, must be 'RefTime'")
            ends = [int(event.get(key, "")) for key in ("IN", "OUT")]
            rows.append(_row(name, title, values, ends[0] / _TICKS, ends[1] / _TICKS))
        except ValueError as e:
            wrong.append(f"event {number} ({title or 'no title'}): {e}")
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows)


def _row(video: str, title: str, values: Mapping[str, str], start: float, end: float) -> Annotation:
    """Make a row of an event.

    Raises:
        ValueError: it has no title and no category, or its times cannot be.
    """
    kept = {k: v for k, v in values.items() if v}
    label = kept.pop("label", "") or _NUMBER.sub("", title)
    others = {k: kept.pop(k, "") for k in _OURS}
    if not label and kept:
        label = kept.pop(next(iter(kept)))
    if not label:
        raise ValueError("it has neither a title nor a category")
    if not 0 <= start < end:
        raise ValueError(f"from {start:g} to {end:g} s, must be at least 0 and in order")
    comment = " ".join([others["comment"], *(f"{k}={v}" for k, v in kept.items())]).strip()
    score = float(others["score"]) if others["score"] else None
    return Annotation(video, label, start, end, others["subject"], score, comment)


def _categories(row: Annotation) -> dict[str, str]:
    score = "" if row.score is None else repr(row.score)
    label = row.label if _NUMBER.search(row.label) else ""
    named = {"subject": row.subject, "score": score, "comment": row.comment, "label": label}
    return {k: v for k, v in named.items() if v}


def write_dartclip(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write the events of a clip in order of start; named v.mp4.dartclip and beside its video, Dartfish finds it."""
    root = ET.Element("LIBRARY_ITEM")
    ET.SubElement(root, "NAME").text = next(iter(table.videos), context.named(path))
    ET.SubElement(root, "ID").text = "0"
    ET.SubElement(root, "VERSION", {"subversion": "1"}).text = "2.0"
    for r in timed(table):
        first = round((r.start or 0.0) * _TICKS)
        ends = {"IN": str(first), "OUT": str(max(round((r.end or 0.0) * _TICKS), first + 1))}
        event = ET.SubElement(
            root, "LIBRARY_ITEM", {"Color": "Color2", **ends, "ItemType": "Marker.Event", "UNIT": "RefTime"}
        )
        categories = ET.SubElement(event, "CATEGORIES")
        for key, text in _categories(r).items():
            ET.SubElement(categories, "CATEGORY", {"name": key}).text = text
        ET.SubElement(ET.SubElement(event, "Library.MDProperties"), "Property", {"Name": "Title"}).text = r.label
    ET.SubElement(root, "TYPE").text = "1"
    write_xml(path, root)


def read_events(path: Path, context: Context) -> AnnotationTable:
    """Read a table of events: columns Name, Position and Duration in milliseconds; others are categories.

    Raises:
        DataError: no such columns, or rows whose times cannot be; all are named.
    """
    text, name = read_text(path, "Dartfish table"), context.named(path)
    rows, wrong = list[Annotation](), list[str]()
    with guarded(path, "Dartfish table"):
        table = csv.DictReader(io.StringIO(text), delimiter=_delimiter(text))
        for entry in table:
            cells = {str(k).strip(): (v or "").strip() for k, v in entry.items() if isinstance(v, str | None)}
            known = {k.lower(): k for k in cells}
            title, position, length = (cells.pop(known[k], "") if k in known else "" for k in _COLUMNS)
            try:
                start = seconds(position, "a position") / 1000
                end = start + seconds(length, "a duration") / 1000
                rows.append(_row(name, title, cells, round(start, 6), round(end, 6)))
            except ValueError as e:
                wrong.append(f"line {table.line_num}: {e}")
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows)


_COLUMNS = ("name", "position", "duration")


def _delimiter(text: str) -> str:
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def write_events(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a table of events in order of start; an event lasts a millisecond at least."""
    rows = list(timed(table))
    keys = [k for k in (*_OURS, "label") if any(k in _categories(r) for r in rows)]
    lines: list[list[object]] = [["Name", "Position", "Duration", *keys]]
    for r in rows:
        first, values = round((r.start or 0.0) * 1000), _categories(r)
        length = max(round((r.end or 0.0) * 1000) - first, 1)
        lines.append([r.label, first, length, *(values.get(k, "") for k in keys)])
    write_text(path, csv_text(lines))


def _is_events(head: str) -> bool:
    first = head.lstrip("\ufeff").partition("\n")[0]
    cells = {c.strip().strip('"').lower() for c in first.split(_delimiter(head))}
    return set(_COLUMNS) <= cells


_HOLDS = holds("subject", "score", "comment", "overlaps")
FORMATS = (
    Format("dartfish", "Dartfish clip", (".dartclip",), _HOLDS, "ticks of 100 ns, nearest", read_dartclip,
           write_dartclip, one_video=True, unfit=UNFIT),
    Format("dartfish-csv", "Dartfish table of events", (".csv",), _HOLDS, "milliseconds, nearest", read_events,
           write_events, one_video=True, by_name=True, recognise=_is_events),
)  # fmt: skip
