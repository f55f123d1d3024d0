"""The labels.json of a project of `tal studio`: ActivityNet's layout with points, subjects and notes beside.

Only read: a studio writes it itself. Stretches in which nothing happens have no row in a table, and are counted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..entries import Findings, interval, number, shown, text
from ..readers import read_json
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media

#: How such a file begins: nobody else counts changes first.
_BEGINNING = re.compile(r'\s*\{\s*"revision":\s*\d+,\s*"classes"')


def read_studio(path: Path, context: Context) -> AnnotationTable:
    """Read the labels of a studio.

    Raises:
        DataError: malformed; all that is wrong is named.
    """
    findings, rows, media, nothing = Findings(path), list[Annotation](), dict[str, Media](), 0
    database = read_json(path).get("database")
    for name, entry in database.items() if isinstance(database, dict) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
            findings.wrong.append(f"entry {name!r}: is {shown(entry)}, must be an object with a list of annotations")
            continue
        media[name] = Media()
        nothing += len(entry.get("nothing", ()))
        for i, item in enumerate(entry.get("annotations", ())):
            try:
                rows.append(_row(name, item))
            except ValueError as e:
                findings.wrong.append(f"entry {name!r}, annotation {i}: {e}")
    if not isinstance(database, dict):
        findings.wrong.append("has no 'database' of videos")
    notes = findings.settle()
    context.drop("a stretch in which nothing happens left out: tables have no such row", nothing)
    return AnnotationTable.of(rows, media, notes)


def _row(video: str, item: Any) -> Annotation:
    if not isinstance(item, dict):
        raise ValueError(f"is {shown(item)}, must be an object with a label")
    label, subject, note = text(item.get("label"), "label"), item.get("subject", ""), item.get("note", "")
    for what, value in (("subject", subject), ("note", note)):
        if not isinstance(value, str):
            raise ValueError(f"{what} is {shown(value)}, must be a text")
    start: float | None = None
    end: float | None = None
    if item.get("segment") is not None:
        start, end = interval(item["segment"])
    elif item.get("time") is not None:
        start = number(item["time"])
    return Annotation(video, label, start, end, subject, None, note)


FORMATS = (
    Format("studio", "tal studio's labels.json", (".json",), holds("points", "video_labels", "subject", "comment",
           "overlaps"), "seconds, all digits", read_studio, recognise=lambda head: bool(_BEGINNING.match(head))),
)  # fmt: skip
