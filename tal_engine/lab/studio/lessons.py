"""What heads of a studio learn from: whole videos that somebody looked at as a whole, of others stretches of labels.

In a video that nobody has finished, time without labels says nothing. Only what lies around its labels, and where
somebody said that nothing happens, is taken: as if each such stretch was a short video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...annotations.labels import VideoLabels
from ...annotations.points import Point
from ...records import Features, Segment
from ...studio.labels import Label
from ...studio.order import OrderedVideo
from ...timeline import Timeline

#: Seconds around a label that are taken of a video that is not finished; of 4, 8 and 15 the best on training videos of
#: the procedural set that were set aside for this.
AROUND_S = 8.0


@dataclass(frozen=True)
class Lessons:
    """Labelled stretches and their features, by name; group: the video that each is of."""

    videos: tuple[VideoLabels, ...]
    features: dict[str, Features]
    groups: tuple[str, ...]


def truth(video: OrderedVideo) -> VideoLabels:
    """Return all labels of a video; without any it is background if somebody looked at it as a whole."""
    points, segments = _timed(video.labels)
    empty = not points and not segments and not video.told
    return VideoLabels(
        video.id, told=video.told, points=points, segments=segments, background=empty and video.done,
        duration=video.duration,
    )  # fmt: skip


def _timed(labels: Sequence[Label], shift: float = 0.0) -> tuple[tuple[Point, ...], tuple[Segment, ...]]:
    """Return points and segments; what two persons do at once, the picture shows once."""
    points = {Point(x.start - shift, x.label) for x in labels if x.kind == "point"}
    segments = {Segment(x.start - shift, x.end - shift, x.label, 1.0) for x in labels if x.kind == "segment"}
    return tuple(sorted(points)), tuple(sorted(segments))


def lessons_of(videos: Sequence[OrderedVideo], features: Mapping[str, Features]) -> Lessons:
    """Take what can be learned from; held-out videos are left out."""
    out: list[VideoLabels] = []
    of: dict[str, Features] = {}
    groups: list[str] = []
    for v in videos:
        if v.held_out or v.id not in features:
            continue
        whole = truth(v)
        parts = [(whole, features[v.id])] if v.done or v.told else _parts(v, features[v.id])
        for labels, made in parts:
            if labels.labels or labels.background:
                out.append(labels)
                of[labels.name] = made
                groups.append(v.id)
    return Lessons(tuple(out), of, tuple(groups))


def _parts(video: OrderedVideo, features: Features) -> list[tuple[VideoLabels, Features]]:
    """Cut what lies around the labels of a video that is not finished."""
    wide = [(x.start - (0 if x.kind == "nothing" else AROUND_S), x.end + (0 if x.kind == "nothing" else AROUND_S), x)
            for x in video.labels]  # fmt: skip
    groups: list[tuple[float, float, list[Label]]] = []
    for start, end, x in sorted(wide, key=lambda w: w[:2]):
        if groups and start <= groups[-1][1]:
            first, last, of = groups.pop()
            groups.append((first, max(last, end), [*of, x]))
        else:
            groups.append((start, end, [x]))
    out = []
    for start, end, labels in groups:
        part = _slice(features, start, end)
        if part is None:
            continue
        shift = part[1]
        points, segments = _timed(labels, shift)
        name, empty = f"{video.id}@{start:.2f}", not points and not segments
        out.append((VideoLabels(name, points=points, segments=segments, background=empty), part[0]))
    return out


def _slice(features: Features, start: float, end: float) -> tuple[Features, float] | None:
    """Cut the snippets that lie in a stretch, and the second of the video that is their 0; None if there are none."""
    time, count = features.timeline, len(features)
    centers = time.centers(count)
    rows = [int(i) for i in ((centers >= start) & (centers <= end)).nonzero()[0]]
    if not rows:
        return None
    first, last = rows[0], rows[-1] + 1
    shift = float(time.left(first)) - time.start
    made = replace(
        features, streams={s: x[first:last] for s, x in features.streams.items()},
        timeline=Timeline(time.start, time.step, time.width), duration=float(time.right(last)) - shift, places=(),
    )  # fmt: skip
    return made, shift
