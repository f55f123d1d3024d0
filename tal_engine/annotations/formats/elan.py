"""ELAN's .eaf (EAF 3.0): tiers of annotations between time slots in milliseconds.

Written: a tier for each subject and label, one more where segments of a label overlap; scores and comments in tiers
that depend on it one to one. Read: the value of an annotation is its label, or the tier's name where it has none.

Format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

import mimetypes
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from ..._util.untrusted import listed
from ...errors import DataError
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media, lanes
from .xml_file import UNFIT, read_xml, write_xml

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
#: Tiers that depend one to one on a tier of ours: column of the table -> linguistic type.
_DEPENDENT = {"score": "tal-score", "comment": "tal-comment"}


# --- reading


class _Aligned(NamedTuple):
    """An annotation between two time slots, seconds."""

    tier: str
    subject: str
    value: str
    start: float
    end: float


@dataclass
class _Found:
    """What a document holds: aligned annotations by id, what depends on them by (column, id), what was left out."""

    aligned: dict[str, _Aligned]
    dependent: dict[tuple[str, str], str]
    left_out: Counter[str]


def read_eaf(path: Path, context: Context) -> AnnotationTable:
    """Read a transcription.

    Annotations whose ends are not aligned, and those of dependent tiers that are not ours, are left out and counted in
    the table's notes. Where the first media file has a time origin, times are those of that file.

    Raises:
        DataError: no EAF, other units than milliseconds, or annotations that end before they start.
    """
    root = read_xml(path, "ELAN file", "ANNOTATION_DOCUMENT")
    head = root.find("HEADER")
    units = head.get("TIME_UNITS", "milliseconds") if head is not None else "milliseconds"
    if units != "milliseconds":
        raise DataError(f"{path}: its TIME_UNITS are {units!r}, must be 'milliseconds'")
    media, origin, notes = _media(head)
    found = _annotations(path, root, origin)
    name = context.name or (Path(media.path).name if media.path else context.named(path))
    rows = [
        Annotation(
            name, a.value or a.tier, a.start, a.end, a.subject,
            _number(found.dependent.get(("score", key))), found.dependent.get(("comment", key), ""),
        )
        for key, a in found.aligned.items()
    ]  # fmt: skip
    notes += [f"{count} x {what}" for what, count in found.left_out.items()]
    return AnnotationTable.of(sorted(rows, key=lambda r: (r.start, r.end)), {name: media}, notes)


def _media(head: ET.Element | None) -> tuple[Media, float, list[str]]:
    """Return the first media file, the seconds at which it begins, and notes."""
    files = [] if head is None else head.findall("MEDIA_DESCRIPTOR")
    if not files:
        return Media(), 0.0, []
    first = files[0]
    path = unquote(urlsplit(first.get("RELATIVE_MEDIA_URL") or first.get("MEDIA_URL") or "").path)
    try:
        origin = int(first.get("TIME_ORIGIN") or 0) / 1000
    except ValueError:
        raise DataError(f"TIME_ORIGIN is {first.get('TIME_ORIGIN')!r}, must be milliseconds") from None
    notes = [f"{len(files)} media files: times are those of the first, {path}"] if len(files) > 1 else []
    if origin:
        notes.append(f"time origin of {origin:g} s of the media file added to all times")
    return Media(path=path.removeprefix("./")), origin, notes


def _annotations(path: Path, root: ET.Element, origin: float) -> _Found:
    slots = {s.get("TIME_SLOT_ID"): s.get("TIME_VALUE") for s in root.iterfind("TIME_ORDER/TIME_SLOT")}
    found, wrong = _Found({}, {}, Counter()), []
    ours = {kind: column for column, kind in _DEPENDENT.items()}
    for tier in root.iterfind("TIER"):
        name, subject = tier.get("TIER_ID", ""), tier.get("PARTICIPANT", "")
        for a in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
            ends = [slots.get(a.get(f"TIME_SLOT_REF{k}")) for k in (1, 2)]
            if None in ends:
                found.left_out["annotation without aligned times left out"] += 1
                continue
            try:
                start, end = (int(str(x)) / 1000 + origin for x in ends)
            except ValueError as e:
                wrong.append(f"tier {name!r}: annotation {a.get('ANNOTATION_ID')}: {e}, must be milliseconds")
                continue
            if end <= start or start < 0:
                wrong.append(f"tier {name!r}: annotation {a.get('ANNOTATION_ID')} from {start:g} to {end:g} s")
                continue
            found.aligned[a.get("ANNOTATION_ID", "")] = _Aligned(name, subject, _value(a), start, end)
        column = ours.get(tier.get("LINGUISTIC_TYPE_REF", ""))
        for a in tier.iterfind("ANNOTATION/REF_ANNOTATION"):
            if column is None:
                found.left_out[f"annotation of the dependent tier {name!r} left out"] += 1
            else:
                found.dependent[column, a.get("ANNOTATION_REF", "")] = _value(a)
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return found


def _value(annotation: ET.Element) -> str:
    return (annotation.findtext("ANNOTATION_VALUE") or "").strip()


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


# --- writing


def write_eaf(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a transcription; times are rounded to the nearest millisecond, a segment lasts one at least."""
    root = ET.Element("ANNOTATION_DOCUMENT", {
        "xmlns:xsi": _XSI, "xsi:noNamespaceSchemaLocation": _SCHEMA, "AUTHOR": "", "DATE": "1970-01-01T00:00:00+00:00",
        "FORMAT": "3.0", "VERSION": "3.0",
    })  # fmt: skip
    head = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    for name in table.videos[:1]:
        _describe(head, table.media.get(name, Media()).path or name)
    _TierWriter(root).write(table)
    _types(root)
    write_xml(path, root)


def _describe(head: ET.Element, media: str) -> None:
    kind = mimetypes.guess_type(media)[0] or "video/unknown"
    url = quote(media)
    where = {"MEDIA_URL": f"file://{url}" if media.startswith("/") else f"file:///{url}", "MIME_TYPE": kind}
    ET.SubElement(
        head, "MEDIA_DESCRIPTOR", where | ({} if media.startswith("/") else {"RELATIVE_MEDIA_URL": f"./{url}"})
    )


class _TierWriter:
    """Adds time slots and tiers to a document; ids count up."""

    def __init__(self, root: ET.Element) -> None:
        self._root = root
        self._order = ET.SubElement(root, "TIME_ORDER")
        self._count = 0
        self._names: set[str] = set()

    def write(self, table: AnnotationTable) -> None:
        """Add a tier for each subject and label, and lane of overlapping segments."""
        ends = np.round(np.stack([table.start, table.end]) * 1000).astype(np.int64)
        ends[1] = np.maximum(ends[1], ends[0] + 1)
        times = AnnotationTable(
            table.video,
            table.label,
            ends[0].astype(float),
            ends[1].astype(float),
            table.subject,
            table.score,
            table.comment,
        )
        self._slots(ends)
        for subject, label in sorted(set(zip(table.subject.tolist(), table.label.tolist(), strict=True))):
            for rows in lanes(times.where((table.subject == subject) & (table.label == label))):
                self._tier(label, subject, list(rows))

    def _slots(self, ends: NDArray[np.int64]) -> None:
        self._slot = {int(ms): f"ts{k}" for k, ms in enumerate(np.unique(ends), 1)}
        for ms, name in self._slot.items():
            ET.SubElement(self._order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(ms)})

    def _tier(self, label: str, subject: str, rows: list[Annotation]) -> None:
        name = self._free(f"{label} @{subject}" if subject else label)
        tier = self._add(name, subject, "default-lt")
        ids = []
        for r in rows:
            ids.append(self._id())
            slots = {f"TIME_SLOT_REF{k}": self._slot[int(x or 0)] for k, x in ((1, r.start), (2, r.end))}
            inner = ET.SubElement(
                ET.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": ids[-1], **slots}
            )
            ET.SubElement(inner, "ANNOTATION_VALUE").text = r.label
        for column, kind in _DEPENDENT.items():
            values = [(key, text) for key, r in zip(ids, rows, strict=True) if (text := _text(getattr(r, column)))]
            if not values:
                continue
            child = self._add(self._free(f"{name} {column}"), subject, kind, name)
            for key, text in values:
                named = {"ANNOTATION_ID": self._id(), "ANNOTATION_REF": key}
                inner = ET.SubElement(ET.SubElement(child, "ANNOTATION"), "REF_ANNOTATION", named)
                ET.SubElement(inner, "ANNOTATION_VALUE").text = text

    def _add(self, name: str, subject: str, kind: str, parent: str | None = None) -> ET.Element:
        about = {"LINGUISTIC_TYPE_REF": kind, "TIER_ID": name}
        about |= {"PARTICIPANT": subject} if subject else {}
        return ET.SubElement(self._root, "TIER", about | ({"PARENT_REF": parent} if parent else {}))

    def _id(self) -> str:
        self._count += 1
        return f"a{self._count}"

    def _free(self, name: str) -> str:
        """Return a tier's name that no other has."""
        free = next(n for n in _numbered(name) if n not in self._names)
        self._names.add(free)
        return free


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} [{number}]"
        number += 1


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _types(root: ET.Element) -> None:
    """Add linguistic types, and the constraint of dependent tiers."""
    common = {"GRAPHIC_REFERENCES": "false"}
    ET.SubElement(root, "LINGUISTIC_TYPE", common | {"LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true"})
    for kind in _DEPENDENT.values():
        about = {"CONSTRAINTS": "Symbolic_Association", "LINGUISTIC_TYPE_ID": kind, "TIME_ALIGNABLE": "false"}
        ET.SubElement(root, "LINGUISTIC_TYPE", common | about)
    words = "1-1 association with a parent annotation"
    ET.SubElement(root, "CONSTRAINT", {"DESCRIPTION": words, "STEREOTYPE": "Symbolic_Association"})


FORMATS = (
    Format("elan", "ELAN", (".eaf",), holds("subject", "score", "comment", "overlaps"), "milliseconds, nearest",
           read_eaf, write_eaf, one_video=True, unfit=UNFIT),
)  # fmt: skip
