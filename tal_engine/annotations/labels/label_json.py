"""ActivityNet-style JSON as labels: an annotation may have a segment, a point, or neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import DataError
from ..entries import interval, number, shown, text
from ..readers import read_json
from ..truth import AMBIGUOUS, Annotations
from .label_rows import LabelRow, RowError, Rows, checked_interval

#: Keys under which an annotation may have its one moment.
_MOMENTS = ("time", "point", "timestamp")


def read_activitynet(path: Path) -> Rows:
    """Read ``{"database": {video: {subset, duration, annotations: [{label, segment}], labels}}}``, or BMN's form.

    An annotation without ``segment`` is a label of the whole video, one with ``time`` or ``point`` a point. An entry
    with ``"labels": []`` says that nothing happens in its video.

    Raises:
        DataError: missing, not JSON, or of another layout.
    """
    document = read_json(path)
    database = document.get("database", document) if isinstance(document, dict) else None
    if not isinstance(database, dict) or not database:
        raise DataError(f"{path}: no known layout of labels: needs a 'database' object of videos with 'annotations'")
    if "database" not in document and not any(isinstance(v, dict) and "annotations" in v for v in database.values()):
        raise DataError(f"{path}: no known layout of labels: neither a 'database' nor videos with 'annotations'")
    out = Rows("activitynet")
    classes = document.get("classes", ())
    if isinstance(classes, list | tuple) and all(isinstance(c, str) for c in classes):
        out.classes = tuple(classes)
    silent = 0
    for name, entry in database.items():
        silent += not _entry(name, entry, out)
    if silent:
        out.notes.append(f"{silent} entries have neither annotations nor labels: their videos are unlabelled")
    return out


def _entry(name: str, entry: Any, out: Rows) -> bool:
    """Take an entry apart; whether it says anything about its video."""
    where = f"entry {name!r}"
    if not isinstance(entry, dict):
        out.leave_out(where, RowError(f"is {shown(entry)}", "an entry is an object with 'annotations' or 'labels'"))
        return True
    subset = entry.get("subset")
    subset = subset if isinstance(subset, str) else ""
    _duration(name, entry, out)
    items, whole = entry.get("annotations"), entry.get("labels")
    if items is not None and not isinstance(items, list):
        out.leave_out(where, RowError(f"annotations are {shown(items)}", "annotations are a list"))
        items = None
    if whole is not None and not (isinstance(whole, list) and all(isinstance(v, str) and v.strip() for v in whole)):
        out.leave_out(where, RowError(f"labels are {shown(whole)}", "labels are a list of class names"))
        whole = None
    for label in whole or ():
        out.rows.append(LabelRow(where, name, label.strip(), subset=subset))
    for i, item in enumerate(items or ()):
        at = f"{where}, annotation {i}"
        try:
            _annotation(at, name, item, subset, out)
        except RowError as e:
            out.leave_out(at, e)
    if whole == [] and not items:
        out.rows.append(LabelRow(where, name, "", subset=subset))
    return bool(whole == [] or whole or items)


def _duration(name: str, entry: dict[str, Any], out: Rows) -> None:
    value = entry.get("duration_second", entry.get("duration"))
    if value is None:
        return
    try:
        found = number(value)
        if found < 0:
            raise ValueError(f"{shown(value)} is negative")
        out.durations[name] = found
    except ValueError as e:
        out.notes.append(f"entry {name!r}: its duration is not known ({e})")


def _annotation(where: str, name: str, item: Any, subset: str, out: Rows) -> None:
    if not isinstance(item, dict):
        raise RowError(f"is {shown(item)}", "an annotation is an object with a 'label'")
    span: tuple[float | None, float | None]
    try:
        label = text(item.get("label"), "label").strip()
        if item.get("segment") is not None:
            span = interval(item["segment"])
            if span[0] == span[1]:
                raise RowError(f"segment {shown(item['segment'])} takes no time", 'a point is {"time": seconds}')
        else:
            moment = next((item[k] for k in _MOMENTS if item.get(k) is not None), None)
            span = (None if moment is None else _moment(moment), None)
    except RowError:
        raise
    except ValueError as e:
        raise RowError(str(e), "a segment is [start, end] in seconds, 0 <= start <= end; a label is a text") from e
    if label == AMBIGUOUS:
        if span[0] is not None and span[1] is not None:
            out.ambiguous.setdefault(name, []).append((span[0], span[1]))
        return
    subject = item.get("subject")
    out.rows.append(LabelRow(where, name, label, span[0], span[1], subset, subject if isinstance(subject, str) else ""))


def _moment(value: object) -> float:
    found = number(value)
    if found < 0:
        raise RowError(f"point {found:g} s is before the video begins", "allowed are 0 or more seconds")
    return found


def rows_of(found: Annotations) -> Rows:
    """Convert annotations in another of the field's layouts to label rows (THUMOS14's texts, the npy layout)."""
    out = Rows(found.form, classes=found.classes, notes=list(found.notes))
    for v in found:
        where = f"entry {v.name!r}"
        out.rows += [LabelRow(where, v.name, label, subset=v.subset) for label in v.video_labels or ()]
        out.rows += [LabelRow(where, v.name, s.label, *checked_interval(s.start, s.end), subset=v.subset)
                     for s in v.instances]  # fmt: skip
        out.ambiguous[v.name] = list(v.ambiguous)
        if v.duration:
            out.durations[v.name] = v.duration
    return out
