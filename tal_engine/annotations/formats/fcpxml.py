"""Final Cut Pro's FCPXML: a clip for each video, a keyword range a segment, a marker a point.

Times are fractions of a second in whole frames ("1001/30000s"), so they are exact at every rate. Keywords of Final Cut
have no commas: a value "a, b" is two of them. Read are also markers that last longer than a frame, as OpenTimelineIO's
adapter writes them. That adapter is not used: otio-fcpx-xml-adapter 1.0.0 cuts times to frames, knows no keyword ranges
and cannot read its own files at 29.97 frames a second (findings/otio_fcpxml_at_29_97.sh).

Source: https://developer.apple.com/documentation/professional-video-applications/fcpxml-reference
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from ..._util.untrusted import listed
from ...errors import DataError
from .comments import split_score, with_score
from .format import Context, Format, holds
from .frame_clock import FrameClock
from .lines import timed
from .table import Annotation, AnnotationTable, Media
from .xml_file import UNFIT, read_xml, write_xml

_CLIPS = frozenset(("asset-clip", "clip", "video", "mc-clip", "ref-clip", "sync-clip"))


# --- reading


@dataclass(frozen=True)
class _Place:
    """Where a clip's own time begins in its video: video seconds = seconds - origin; and its name and frame."""

    video: str
    origin: Fraction
    frame: Fraction


def read_fcpxml(path: Path, context: Context) -> AnnotationTable:
    """Read the keyword ranges and markers of all clips, in the time of their media.

    Raises:
        DataError: no FCPXML, or times that cannot be; all are named.
    """
    root = read_xml(path, "FCPXML", "fcpxml")
    resources = {e.get("id", ""): e for e in root.iterfind("resources/*")}
    rows, wrong = Counter[Annotation](), list[str]()
    for clip in root.iter():
        if clip.tag not in _CLIPS:
            continue
        entries, said = [e for e in clip if e.tag in ("keyword", "marker")], Counter[Annotation]()
        place: _Place | None = None
        for entry in entries:
            try:
                place = place or _place(clip, resources, context.named(path))
                said.update(_rows(entry, place))
            except (ValueError, ZeroDivisionError) as e:
                wrong.append(f"{entry.tag} {entry.get('value', '')!r} of clip {clip.get('name', '')!r}: {e}")
        rows |= said  # the clip of an event that is also in a project says the same again
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(sorted(rows.elements(), key=lambda r: (r.video, r.start, r.end or 0.0)))


def _place(clip: ET.Element, resources: dict[str, ET.Element], name: str) -> _Place:
    """Find the media of a clip: its own reference, or that of the first video in it."""
    inner = clip if clip.get("ref") else next((e for e in clip if e.get("ref")), clip)
    asset = resources.get(inner.get("ref") or "")
    begin = _time(asset.get("start")) if asset is not None else Fraction(0)
    origin = begin
    if inner is not clip:
        origin = _time(inner.get("offset")) - _time(inner.get("start"), begin) + begin
    form = resources.get(clip.get("format") or (asset.get("format") if asset is not None else None) or "")
    source = "" if asset is None else asset.get("src") or _source(asset)
    video = PurePath(unquote(urlsplit(source).path)).name if source else ""
    frame = _time(form.get("frameDuration")) if form is not None else Fraction(0)
    return _Place(video or (asset.get("name") if asset is not None else "") or clip.get("name") or name, origin, frame)


def _source(asset: ET.Element) -> str:
    media = asset.find("media-rep")
    return "" if media is None else media.get("src", "")


def _time(text: str | None, default: Fraction = Fraction(0)) -> Fraction:
    """Parse "1001/30000s" or "5s".

    Raises:
        ValueError: no such fraction.
    """
    if text is None:
        return default
    above, _, below = text.removesuffix("s").partition("/")
    try:
        return Fraction(int(above), int(below)) if below else Fraction(above)
    except ValueError:
        raise ValueError(f"{text[:30]!r} is no time such as '1001/30000s'") from None


def _rows(entry: ET.Element, place: _Place) -> Iterator[Annotation]:
    start, length = _time(entry.get("start")) - place.origin, _time(entry.get("duration"))
    if start < 0 or length < 0:
        raise ValueError(f"from {float(start):g} s for {float(length):g} s, must be at least 0")
    comment, score = split_score(entry.get("note", ""))
    point = entry.tag == "marker" and length <= place.frame
    if not point and not length:
        raise ValueError("it has no duration")
    end = None if point else float(start + length)
    value = entry.get("value", "").strip()
    for label in (x.strip() for x in (value.split(",") if entry.tag == "keyword" else [value])):
        if label:
            yield Annotation(place.video, label, float(start), end, "", score, comment)


# --- writing


def write_fcpxml(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write an event with a clip for each video."""
    root = ET.Element("fcpxml", {"version": "1.9"})
    resources = ET.SubElement(root, "resources")
    event = ET.SubElement(ET.SubElement(root, "library"), "event", {"name": path.stem})
    for number, name in enumerate(table.videos):
        media = table.media.get(name, Media())
        rows = table.of_video(name)
        clock = context.clock(name, media.fps)
        ends = [clock.frames(r.start or 0.0, r.end or r.start or 0.0)[1] for r in rows]
        length = _text(_exact(clock, max([*ends, clock.boundary(media.duration or 0.0), 1])))
        form, asset = f"r{2 * number + 1}", f"r{2 * number + 2}"
        _resources(resources, form, asset, media.path or name, length, clock)
        about = {"name": name, "ref": asset, "format": form, "start": "0s", "duration": length}
        clip = ET.SubElement(event, "asset-clip", about)
        for tag in ("marker", "keyword"):  # in the order that the document type asks for
            for r in timed(rows):
                if (r.end is None) == (tag == "marker"):
                    _entry(clip, tag, r, clock, context)
    write_xml(path, root, "fcpxml")


def _resources(parent: ET.Element, form: str, asset: str, source: str, length: str, clock: FrameClock) -> None:
    ET.SubElement(parent, "format", {"id": form, "frameDuration": _text(_frame(clock))})
    about = {
        "id": asset,
        "name": PurePath(source).stem,
        "start": "0s",
        "duration": length,
        "hasVideo": "1",
        "format": form,
    }
    held = ET.SubElement(parent, "asset", about)
    url = f"file://{quote(source)}" if source.startswith("/") else f"./{quote(source)}"
    ET.SubElement(held, "media-rep", {"kind": "original-media", "src": url})


def _entry(clip: ET.Element, tag: str, r: Annotation, clock: FrameClock, context: Context) -> None:
    first, end = clock.frames(r.start or 0.0, r.start or 0.0) if r.end is None else clock.frames(r.start or 0.0, r.end)
    start = _exact(clock, first)
    value = r.label
    if tag == "keyword" and "," in value:
        value = value.replace(",", ";")
        context.lose("a comma in a label became a semicolon: Final Cut parts keywords at commas")
        context.renamed.add(r.label)
    about = {"start": _text(start), "duration": _text(_exact(clock, end) - start), "value": value}
    note = with_score(r.comment, r.score)
    ET.SubElement(clip, tag, about | ({"note": note} if note else {}))


def _frame(clock: FrameClock) -> Fraction:
    """Return the length of a frame: 1001/30000 of a second for 29.97 and the like."""
    slow = round(clock.fps * 1.001)
    if abs(slow * 1000 / 1001 - clock.fps) < 1e-6 * clock.fps:
        return Fraction(1001, slow * 1000)
    return 1 / Fraction(clock.fps).limit_denominator(1000)


def _exact(clock: FrameClock, frame: int) -> Fraction:
    """Return when a frame begins; of a variable rate to the nearest 1/90000 of a second."""
    return Fraction(round(clock.seconds(frame) * 90_000), 90_000) if len(clock.times) else frame * _frame(clock)


def _text(time: Fraction) -> str:
    return f"{time.numerator}/{time.denominator}s" if time.denominator > 1 else f"{time.numerator}s"


FORMATS = (
    Format("fcpxml", "Final Cut Pro XML", (".fcpxml",), holds("points", "score", "comment", "overlaps"),
           "frames, nearest boundary", read_fcpxml, write_fcpxml, unfit=UNFIT),
)  # fmt: skip
