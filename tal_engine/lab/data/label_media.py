"""Labels beside the videos that they are of: which cannot be read, and what lies after their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...annotations.labels import Labels, Problem, VideoLabels
from ...annotations.points import Point
from ...errors import DataError, TALError
from ...records import Segment
from ...video import open_video

#: Labels may lie so many seconds after the end that a container claims: its last frame is on screen for a while.
_AFTER_END = 0.5


def probed(labels: Labels, progress: Callable[[int, int], None] | None = None) -> Labels:
    """Add the durations of the videos; drop what lies after the end of its video, as a problem.

    Videos that cannot be opened are dropped too. A segment that ends after its video is cut to it, with a note.

    Raises:
        DataError: nothing is left.
    """
    videos: dict[str, VideoLabels] = {}
    problems, cut = list(labels.problems), 0
    for i, v in enumerate(labels):
        if progress is not None:
            progress(i + 1, len(labels))
        try:
            duration = _duration(v)
        except TALError as e:
            rows = len(v.told) + len(v.points) + len(v.segments)
            problems.append(Problem(v.name, f"the video cannot be read ({e})", "its rows are left out", max(rows, 1)))
            continue
        kept, late, short = _within(replace(v, duration=duration), duration)
        problems += late
        cut += short
        if kept.labels or kept.background:
            videos[v.name] = kept
    if not any(v.labels for v in videos.values()):
        raise DataError(f"{labels.source}: no labels are left: {'; '.join(map(str, problems[:10]))}")
    notes = (*labels.notes, *([f"{cut} segments end after their video, and are cut to it"] if cut else []))
    return replace(labels, videos=videos, problems=tuple(problems), notes=notes)


def _duration(v: VideoLabels) -> float:
    if v.path is None or v.path.suffix.lower() in (".npz", ".npy"):
        return v.duration
    source = open_video(v.path)
    try:
        return float(source.duration or v.duration)
    finally:
        source.close()


def _within(v: VideoLabels, duration: float) -> tuple[VideoLabels, list[Problem], int]:
    """Drop what lies after a video's end; return the rest, the problems, and how many segments were cut."""
    if duration <= 0:
        return v, [], 0
    last = duration + _AFTER_END
    late: list[tuple[str, Point | Segment]] = [
        *((f"a point of {p.label!r} at {p.seconds:g} s", p) for p in v.points if p.seconds > last),
        *((f"a segment of {s.label!r} from {s.start:g} s on", s) for s in v.segments if s.start >= duration),
    ]
    gone = {x for _, x in late}
    points = tuple(replace(p, seconds=min(p.seconds, duration)) for p in v.points if p not in gone)
    segments = [s for s in v.segments if s not in gone]
    cut = sum(s.end > last for s in segments)
    inside = tuple(replace(s, end=min(s.end, duration)) for s in segments)
    end = f"the video ends at {duration:.2f} s"
    problems = [Problem(v.name, f"{what} lies after the end", end) for what, _ in late]
    return replace(v, points=points, segments=inside), problems, cut
