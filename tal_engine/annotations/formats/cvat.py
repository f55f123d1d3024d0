"""CVAT 1.1 (XML): of videos, a track a segment, with a box on every frame of it and one outside at its end.

CVAT has no segments in time; a track that shows for their frames is what its users draw instead. Frames count from 0.
Every frame is written as a key frame, since readers that know no interpolation see the listed boxes alone.

Of images ("CVAT for images 1.1") tags are read: a label's tags on frames one after another are a segment. Such tasks
hold a video's frames; images of several videos lie in folders, or have names that begin as their videos'.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/; datumaro 1.13.12 reads listed boxes only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

from ..._util.untrusted import guarded, listed
from ...errors import DataError, UsageError
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media
from .xml_file import UNFIT, read_xml, write_xml

_NUMBER = re.compile(r"(.*?)[-_. ]?(\d+)$")
#: Most boxes that are written, one for each frame of a segment: 11 hours at 25 frames a second.
_MOST_BOXES = 1_000_000
_EXTRAS = ("subject", "score", "comment")


def read_cvat(path: Path, context: Context) -> AnnotationTable:
    """Read the tracks of a task or job: each stretch from a box to the box that is outside, or to the last one.

    Of a task of images, each stretch of tags of one label; its score is the best of theirs.

    Raises:
        DataError: no such XML, tracks without boxes.
        UsageError: no rate of frames, which CVAT does not store.
    """
    root = read_xml(path, "CVAT file", "annotations")
    name = context.name or root.findtext(".//meta//source") or context.named(path)
    if root.find("image") is not None:
        return _read_images(root, path, context, name)
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


def video_of_image(name: str) -> tuple[str, int | None]:
    """Return what an image's name says: its folder, or what stands before its number, and that number.

    Example:
        >>> video_of_image("day/v/000012.jpg"), video_of_image("v_000012.png"), video_of_image("cover.png")
        (('day/v', 12), ('v', 12), ('', None))
    """
    path = PurePosixPath(name.replace("\\", "/"))
    found = _NUMBER.fullmatch(path.stem)
    folder = "" if str(path.parent) == "." else str(path.parent)
    return folder or (found[1] if found else ""), int(found[2]) if found else None


def _runs(frames: list[int]) -> Iterator[tuple[int, int]]:
    """Yield [first, end) of frames that follow one another; `frames` increase."""
    for _, group in groupby(enumerate(frames), key=lambda pair: pair[1] - pair[0]):
        run = [frame for _, frame in group]
        yield run[0], run[-1] + 1


def _read_images(root: ET.Element, path: Path, context: Context, name: str) -> AnnotationTable:
    """Read the tags of images; frames count from the first image of each video on."""
    first: dict[str, int] = {}
    tags: dict[tuple[str, str], dict[int, float | None]] = {}
    left_out = 0
    with guarded(path, "CVAT for images 1.1"):
        for image in sorted(root.iterfind("image"), key=lambda e: int(e.get("id", ""))):
            video = context.name or video_of_image(image.get("name", ""))[0] or name
            frame = int(image.get("id", "")) - first.setdefault(video, int(image.get("id", "")))
            left_out += sum(shape.tag != "tag" for shape in image)
            for tag in image.iterfind("tag"):
                score = next((a.text for a in tag.iterfind("attribute") if a.get("name") == "score"), None)
                tags.setdefault((video, tag.get("label", "")), {})[frame] = float(score) if score else None
    rows = []
    for (video, label), frames in tags.items():
        clock = context.clock(video)
        for a, b in _runs(sorted(frames)):
            scores = [s for k in range(a, b) if (s := frames[k]) is not None]
            rows.append(
                Annotation(video, label, clock.seconds(a), clock.seconds(b), score=max(scores) if scores else None)
            )
    notes = [f"{left_out} x a shape on an image left out: tags of images are read"] if left_out else []
    return AnnotationTable.of(sorted(rows, key=lambda r: (r.video, r.start)), {v: Media() for v in first}, notes)


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
    """Write a task's annotations; boxes cover the whole picture, where its size is known.

    Raises:
        UsageError: segments of too many frames, as each has a box on every frame.
    """
    name = next(iter(table.videos), context.named(path))
    media = table.media.get(name, Media())
    clock = context.clock(name, media.fps)
    segments = [(r, *clock.frames(r.start or 0.0, r.end or 0.0)) for r in table]
    boxes = sum(end - first + 1 for _, first, end in segments)
    if boxes > _MOST_BOXES:
        r, first, end = max(segments, key=lambda s: s[2] - s[1])
        raise UsageError(
            f"{boxes} frames of segments, CVAT's file has a box for each and at most {_MOST_BOXES} are written; the "
            f"longest is {r.label!r} from {r.start:g} to {r.end:g} s, {end - first} frames"
        )
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
    Format("cvat", "CVAT 1.1", (".xml",), holds("subject", "score", "comment", "overlaps"),
           "frames from 0, end outside", read_cvat, write_cvat, one_video=True, unfit=UNFIT, by_name=True,
           recognise=lambda head: "<annotations>" in head and "<version>1.1" in head.replace(" ", "")),
)  # fmt: skip
