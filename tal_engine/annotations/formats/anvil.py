"""Anvil's .anvil: tracks of elements with attributes, times in seconds.

Written: elements with the attributes label, subject, score and comment, in as many tracks as overlaps need, and a track
of points. Anvil opens a file together with the specification of its tracks: `tal-anvil-spec.xml` beside it, written
where there is none. Read: primary tracks, points, and tracks whose elements refer to another track's.

Source: Kipp, "Multimedia Annotation, Querying and Analysis in ANVIL" (2012); SPPAS 5.1 (`anndata/aio/anvil.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from xml.etree import ElementTree as ET

from ..._util.untrusted import guarded, listed
from ...errors import DataError
from .format import Context, Format, holds
from .lines import interval, seconds
from .table import Annotation, AnnotationTable, Media, lanes
from .xml_file import UNFIT, read_xml, write_xml

#: Attributes of elements that are columns of the table.
_OURS = ("label", "subject", "score", "comment")
SPECIFICATION = "tal-anvil-spec.xml"
_MOST_TRACKS = 16


def read_anvil(path: Path, context: Context) -> AnnotationTable:
    """Read all tracks that say times; an element without attributes is called as its track.

    Raises:
        DataError: no Anvil file, or elements whose times cannot be; all are named.
    """
    root = read_xml(path, "Anvil file", "annotation")
    video = root.find("head/video")
    source = "" if video is None else PurePath((video.get("src") or "").replace("\\", "/")).name
    name, rows, wrong, left_out = context.name or source or context.named(path), list[Annotation](), [], Counter[str]()
    with guarded(path, "Anvil file"):
        tracks = {t.get("name", ""): t for t in root.iterfind("body//track")}
        for track in tracks.values():
            for number, element in enumerate(track.iterfind("el")):
                try:
                    times = _times(track, element, tracks)
                except (ValueError, KeyError) as e:
                    wrong.append(f"track {track.get('name')!r}: element {element.get('index', number)}: {e}")
                    continue
                rows.append(_row(name, track, element, times))
            if track.find("el-group") is not None:
                left_out[f"track {track.get('name')!r} of subdivisions left out"] += 1
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    notes = [f"{n} x {what}" for what, n in left_out.items()]
    media = {name: Media(path=source)} if source else {}
    return AnnotationTable.of(sorted(rows, key=lambda r: (r.start, r.end or 0.0)), media, notes)


def _times(track: ET.Element, element: ET.Element, tracks: dict[str, ET.Element]) -> tuple[float, float | None]:
    """Return start and end of an element: its own, or those of what it refers to.

    Raises:
        ValueError: malformed times, or nothing of that name.
    """
    kind = track.get("type", "primary")
    if kind == "primarypoint":
        return seconds(element.get("time", "")), None
    if kind == "primary":
        return interval(element.get("start", ""), element.get("end", ""))
    other = tracks.get(track.get("ref", ""))
    if other is None or other is track:
        raise ValueError(f"its track is of type {kind!r} and refers to {track.get('ref')!r}, which is no other track")
    ends = (element.get("ref"),) * 2 if kind == "singleton" else (element.get("start"), element.get("end"))
    first, last = (next((e for e in other.iterfind("el") if e.get("index") == index), None) for index in ends)
    if first is None or last is None:
        raise ValueError(
            f"refers to elements {ends[0]} and {ends[1]} of track {other.get('name')!r}, which are not there"
        )
    return interval(first.get("start", ""), last.get("end", ""))


def _row(video: str, track: ET.Element, element: ET.Element, times: tuple[float, float | None]) -> Annotation:
    values = {a.get("name", ""): (a.text or "").strip() for a in element.iterfind("attribute")}
    ours = {k: values.pop(k, "") for k in _OURS}
    label = ours["label"] or next(iter(values.values()), "")
    if not ours["label"] and values:
        del values[next(iter(values))]
    comment = " ".join([ours["comment"], *(f"{k}={v}" for k, v in values.items())]).strip()
    score = float(ours["score"]) if ours["score"] else None
    return Annotation(video, label or track.get("name", ""), *times, ours["subject"], score, comment)


def write_anvil(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write the annotation, and the specification of its tracks where there is none; times have six decimals."""
    root = ET.Element("annotation")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "specification", {"src": SPECIFICATION})
    for name in table.videos[:1]:
        ET.SubElement(head, "video", {"src": table.media.get(name, Media()).path or name, "master": "true"})
    ET.SubElement(head, "info", {"key": "encoding", "type": "String", "value": "UTF-8"})
    body = ET.SubElement(root, "body")
    points = table.kinds == "point"
    parts = lanes(table.where(~points))
    if len(parts) > _MOST_TRACKS:
        lost = sum(len(p) for p in parts[_MOST_TRACKS:])
        context.drop(
            f"a segment that overlaps {_MOST_TRACKS} others left out: our specification has as many tracks", lost
        )
    for number, rows in enumerate(parts[:_MOST_TRACKS], 1):
        _track(body, f"action {number}", rows)
    if points.any():
        _track(body, "point", table.where(points))
    specification = path.with_name(SPECIFICATION)
    fresh = not specification.exists()
    if fresh:
        write_xml(specification, _specification())
    try:
        write_xml(path, root)
    except BaseException:
        if fresh:
            specification.unlink()
        raise


def _track(body: ET.Element, name: str, rows: AnnotationTable) -> None:
    point = name == "point"
    track = ET.SubElement(body, "track", {"name": name, "type": "primarypoint" if point else "primary"})
    for number, r in enumerate(rows):
        times = {"time": f"{r.start:.6f}"} if point else {"start": f"{r.start:.6f}", "end": f"{r.end:.6f}"}
        element = ET.SubElement(track, "el", {"index": str(number), **times})
        for key, text in zip(_OURS, (r.label, r.subject, _score(r), r.comment), strict=True):
            if text:
                ET.SubElement(element, "attribute", {"name": key}).text = text


def _score(row: Annotation) -> str:
    return "" if row.score is None else repr(row.score)


def _specification() -> ET.Element:
    root = ET.Element("annotation-spec")
    body = ET.SubElement(root, "body")
    for name, kind in _tracks():
        track = ET.SubElement(body, "track-spec", {"name": name, "type": kind})
        for key in _OURS:
            ET.SubElement(
                track, "attribute", {"name": key, "valuetype": "String", "display": str(key == "label").lower()}
            )
    return root


def _tracks() -> Iterator[tuple[str, str]]:
    yield from ((f"action {k}", "primary") for k in range(1, _MOST_TRACKS + 1))
    yield "point", "primarypoint"


FORMATS = (
    Format("anvil", "Anvil", (".anvil",), holds("points", "subject", "score", "comment", "overlaps"),
           "seconds, 6 decimals", read_anvil, write_anvil, one_video=True, unfit=UNFIT),
)  # fmt: skip
