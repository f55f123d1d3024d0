"""CVAT for video 1.1 (XML): a track a segment, with a box on every frame of it and one outside at its end.

CVAT has no segments in time; a track that shows for their frames is what its users draw instead. Frames count from 0.
Every frame is written as a key frame, since readers that know no interpolation see the listed boxes alone.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/; datumaro 1.13.12 reads listed boxes only.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from ..._util.untrusted import guarded, listed
from ...errors import DataError
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media
from .xml_file import read_xml, write_xml

_EXTRAS = ("subject", "score", "comment")


def read_cvat(path: Path, context: Context) -> AnnotationTable:
    """Read the tracks of a task or job: each stretch from a box to the box that is outside, or to the last one.

    Raises:
        DataError: no such XML, tracks without boxes.
        UsageError: no rate of frames, which CVAT does not store.
    """
    root = read_xml(path, "CVAT file", "annotations")
    name = context.name or root.findtext(".//meta//source") or context.named(path)
    clock, rows, wrong = context.clock(name), list[Annotation](), list[str]()
    with guarded(path, "CVAT for video 1.1"):
        for track in root.iterfind("track"):
            listed_boxes = [(int(b.get("frame", "")), b.get("outside") == "1", b) for b in track if b.get("frame")]
            boxes = sorted(listed_boxes, key=lambda box: box[:2])
            if not boxes:
                wrong.append(f"track {track.get('id')} has no frames")
            for first, end, box in _stretches(boxes):
                extras = {a.get("name"): (a.text or "") for a in box.iterfind("attribute")}
                score = extras.get("score")
                rows.append(Annotation(
                    name, track.get("label", ""), clock.seconds(first), clock.seconds(end), extras.get("subject", ""),
                    float(score) if score else None, extras.get("comment", ""),
                ))  # fmt: skip
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    size = root.findtext(".//meta//size")
    media = Media(frames=int(size)) if size and size.isdecimal() else Media()
    return AnnotationTable.of(rows, {name: media})


def _stretches(boxes: list[tuple[int, bool, ET.Element]]) -> list[tuple[int, int, ET.Element]]:
    """Return [first, end) of each stretch in which the track shows, with its first box."""
    out: list[tuple[int, int, ET.Element]] = []
    first: tuple[int, ET.Element] | None = None
    for frame, outside, box in boxes:
        if first is None and not outside:
            first = frame, box
        elif first is not None and outside:
            out.append((first[0], frame, first[1]))
            first = None
    if first is not None:
        out.append((first[0], boxes[-1][0] + 1, first[1]))
    return out


def write_cvat(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a task's annotations; boxes cover the whole picture, where its size is known."""
    name = next(iter(table.videos), context.named(path))
    media = table.media.get(name, Media())
    clock = context.clock(name, media.fps)
    segments = [(r, *clock.frames(r.start or 0.0, r.end or 0.0)) for r in table]
    # A video whose length is not known is taken to go on: the box that ends the last track needs a frame.
    count = media.frames or max([end + 1 for _, _, end in segments] + [clock.boundary(media.duration or 0.0)])
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    _meta(root, table, name, media, count)
    for number, (r, first, end) in enumerate(segments):
        track = ET.SubElement(root, "track", {"id": str(number), "label": r.label, "source": "manual"})
        last = min(end, count - 1)
        for frame in range(first, last + 1):
            _box(track, r, frame, outside=frame == end, size=(media.width or 1, media.height or 1))
    write_xml(path, root)


def _meta(root: ET.Element, table: AnnotationTable, name: str, media: Media, count: int) -> None:
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    stop = str(max(count - 1, 0))
    for tag, text in (
        ("name", name),
        ("size", str(count)),
        ("mode", "interpolation"),
        ("start_frame", "0"),
        ("stop_frame", stop),
    ):
        ET.SubElement(task, tag).text = text
    labels = ET.SubElement(task, "labels")
    for label in table.labels:
        entry = ET.SubElement(labels, "label")
        ET.SubElement(entry, "name").text = label
        attributes = ET.SubElement(entry, "attributes")
        for extra in _EXTRAS:
            attribute = ET.SubElement(attributes, "attribute")
            for tag, text in (
                ("name", extra),
                ("mutable", "False"),
                ("input_type", "text"),
                ("default_value", ""),
                ("values", ""),
            ):
                ET.SubElement(attribute, tag).text = text
    size = ET.SubElement(task, "original_size")
    ET.SubElement(size, "width").text = str(media.width or 1)
    ET.SubElement(size, "height").text = str(media.height or 1)
    ET.SubElement(task, "source").text = name


def _box(track: ET.Element, r: Annotation, frame: int, *, outside: bool, size: tuple[int, int]) -> None:
    box = ET.SubElement(track, "box", {
        "frame": str(frame), "outside": str(int(outside)), "occluded": "0", "keyframe": "1", "xtl": "0.00",
        "ytl": "0.00", "xbr": f"{size[0]:.2f}", "ybr": f"{size[1]:.2f}", "z_order": "0",
    })  # fmt: skip
    for name, text in zip(_EXTRAS, (r.subject, "" if r.score is None else repr(r.score), r.comment), strict=True):
        if text:
            ET.SubElement(box, "attribute", {"name": name}).text = text


FORMATS = (
    Format("cvat", "CVAT for video 1.1", (".xml",), holds("subject", "score", "comment", "overlaps"),
           "frames from 0, end outside", read_cvat, write_cvat, one_video=True, by_name=True,
           recognise=lambda head: "<annotations>" in head and "<version>1.1" in head.replace(" ", "")),
)  # fmt: skip
