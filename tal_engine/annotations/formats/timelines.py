"""Timelines of editors by OpenTimelineIO: .otio with a marker an annotation, .edl with an event a segment.

Times are whole frames, so they are rounded to the nearest boundary before they become OpenTimelineIO's: its own
conversion cuts, and 69 of 1,000 exact frame times at 25 a second come back one frame low (opentimelineio 0.18.1).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..._util.extras import need
from ..._util.files import whole_file
from ..._util.untrusted import guarded, read_json
from ...errors import DataError, UsageError
from .comments import split_score, with_score
from .format import Context, Format, holds
from .frame_clock import FrameClock
from .lines import timed
from .table import Annotation, AnnotationTable, Media

_KEY = "tal_engine"
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\.[0-9]{1,3}")


def read_otio(path: Path, context: Context) -> AnnotationTable:
    """Read markers of a timeline and of its clips, each in the time of what it is on."""
    otio: Any = need("opentimelineio")
    _check_schemas(path, read_json(path, "OpenTimelineIO file"))
    with guarded(path, "OpenTimelineIO file"):
        timeline = otio.adapters.read_from_file(str(path), "otio_json")
        rows = []
        for item in [timeline.tracks, *timeline.find_clips()]:
            begin = item.available_range().start_time if isinstance(item, otio.schema.Clip) else None
            video = item.name if isinstance(item, otio.schema.Clip) and item.name else context.named(path)
            for marker in item.markers:
                start = marker.marked_range.start_time.to_seconds() - (begin.to_seconds() if begin is not None else 0.0)
                length = marker.marked_range.duration.to_seconds()
                about = dict(marker.metadata.get(_KEY, {}))
                comment, score = split_score(marker.comment or "")
                end = start + length if length > 0 else None
                rows.append(Annotation(video, marker.name, start, end, str(about.get("subject", "")), score, comment))
    return AnnotationTable.of(sorted(rows, key=lambda r: (r.video, r.start)))


def _check_schemas(path: Path, value: Any) -> None:
    """Check the names of all objects before the library reads them: its parser trusts them.

    Raises:
        DataError: one that is not NAME.VERSION.
    """
    if isinstance(value, dict):
        name = value.get("OTIO_SCHEMA")
        if name is not None and not (isinstance(name, str) and _SCHEMA.fullmatch(name)):
            raise DataError(f"{path}: OTIO_SCHEMA is {name!r}, must be NAME.VERSION such as 'Timeline.1'")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_schemas(path, inner)


def write_otio(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a timeline of a clip with a marker for each annotation."""
    otio: Any = need("opentimelineio")
    name = next(iter(table.videos), context.named(path))
    media = table.media.get(name, Media())
    clock = context.clock(name, media.fps)
    timeline = otio.schema.Timeline(name)
    track = otio.schema.Track("video", kind=otio.schema.TrackKind.Video)
    ends = [clock.frames(r.start or 0.0, r.end or r.start or 0.0)[1] for r in table]
    length = _range(otio, 0, max([*ends, clock.boundary(media.duration or 0.0), 1]), clock)
    reference = otio.schema.ExternalReference(media.path or name, length)
    clip = otio.schema.Clip(name, media_reference=reference, source_range=length)
    for r in timed(table):
        first = clock.boundary(r.start or 0.0)
        end = first if r.end is None else clock.frames(r.start or 0.0, r.end)[1]
        about = {_KEY: {"subject": r.subject}} if r.subject else {}
        marker = otio.schema.Marker(r.label, _range(otio, first, end, clock), metadata=about)
        marker.comment = with_score(r.comment, r.score)
        clip.markers.append(marker)
    track.append(clip)
    timeline.tracks.append(track)
    with whole_file(path) as temporary:
        temporary.write_text(otio.adapters.write_to_string(timeline, "otio_json"), encoding="utf-8")


def _range(otio: Any, first: int, end: int, clock: FrameClock) -> Any:
    rate = clock.fps
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(first, rate), otio.opentime.RationalTime(end - first, rate)
    )


def read_edl(path: Path, context: Context) -> AnnotationTable:
    """Read the events of a CMX 3600 list: source in and out of each clip, its name is the label."""
    otio: Any = need("opentimelineio")
    need("otio_cmx3600_adapter")
    clock = context.clock(context.named(path))
    with guarded(path, "EDL"):
        timeline = otio.adapters.read_from_file(str(path), "cmx_3600", rate=clock.fps, ignore_timecode_mismatch=True)
        rows = []
        for clip in timeline.find_clips():
            part = clip.trimmed_range()
            start = clock.seconds(round(part.start_time.value))
            end = clock.seconds(round(part.end_time_exclusive().value))
            if end <= start:
                raise DataError(f"{path}: event {clip.name!r} from {start:g} to {end:g} s")
            rows.append(Annotation(context.named(path), clip.name, start, end))
    return AnnotationTable.of(sorted(rows, key=lambda r: (r.start, r.end)))


def write_edl(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write an event for each segment, in order of start, one after another on the record side.

    Raises:
        UsageError: there is no segment, a list of no events is none; a rate that time codes do not know; times, or a
            sum of durations, of 24 hours or more, where time codes begin again.
    """
    if not len(table):
        raise UsageError(f"{path.name}: an EDL needs at least one segment, there is none")
    otio: Any = need("opentimelineio")
    need("otio_cmx3600_adapter")
    media = next((table.media[v] for v in table.videos if v in table.media), Media())
    clock = context.clock(next(iter(table.videos), ""), media.fps)
    timeline = otio.schema.Timeline(path.stem)
    track = otio.schema.Track("V", kind=otio.schema.TrackKind.Video)
    recorded = 0
    for r in timed(table):
        first, end = clock.frames(r.start or 0.0, r.end or 0.0)
        recorded += end - first
        _check_code(otio, end, clock, f"{r.label!r} ends at {r.end:g} s:")
        _check_code(otio, recorded, clock, f"the segments up to {r.label!r} at {r.start:g} s, one after another, end:")
        part = _range(otio, first, end, clock)
        clip = otio.schema.Clip(" ".join(r.label.split()), source_range=part)
        clip.metadata["cmx_3600"] = {"reel": "AX"}
        track.append(clip)
    timeline.tracks.append(track)
    text = otio.adapters.write_to_string(timeline, "cmx_3600", rate=clock.fps)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check_code(otio: Any, frame: int, clock: FrameClock, what: str) -> None:
    """Check that a frame has a time code of its own.

    Raises:
        UsageError: there is none at this rate, or it is one of the next day.
    """
    try:
        code = otio.opentime.RationalTime(frame, clock.fps).to_timecode()
    except ValueError as e:
        raise UsageError(f"{clock.fps:g} frames a second: EDL has no time codes at this rate ({e})") from e
    if otio.opentime.from_timecode(code, clock.fps).value != frame:
        raise UsageError(f"{what} an EDL's time codes end at 24 hours; choose another format")


FORMATS = (
    Format("otio", "OpenTimelineIO", (".otio",), holds("points", "subject", "score", "comment", "overlaps"),
           "frames, nearest boundary", read_otio, write_otio, one_video=True),
    Format("edl", "CMX 3600 EDL", (".edl",), holds("overlaps"), "frames, out outside", read_edl, write_edl,
           one_video=True),
)  # fmt: skip
