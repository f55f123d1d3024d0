"""What is known of each class in a video, where some videos have times, some are clicked and some only labelled.

A class is known in a video by segments if every one of its actions there has a start and an end, and by points if every
one has a moment. A class that a video does not have is known to be absent whatever the labels of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from ...annotations.labels import Kind, VideoLabels
from ...annotations.points import Point

#: Weakest first: an action occurs in a video, a moment of it, its start and its end.
KINDS: tuple[Kind, ...] = get_args(Kind)


def known_by(video: VideoLabels, kind: Kind) -> frozenset[str]:
    """Return the classes of a video whose actions all have labels of a kind, or of a stronger one.

    >>> known_by(VideoLabels("v", told=("run",), points=(Point(3.0, "sit"),)), "point")
    frozenset({'sit'})
    """
    if kind == "video":
        return frozenset(video.labels)
    timed = {s.label for s in video.segments}
    if kind == "point":
        return frozenset({*timed, *(p.label for p in video.points)})
    return frozenset(timed - {p.label for p in video.points if not _held(video, p)})


def _held(video: VideoLabels, p: Point) -> bool:
    """Whether a point lies in a segment of its class, and is no action of its own."""
    return any(s.label == p.label and s.start <= p.seconds <= s.end for s in video.segments)


def points_of(video: VideoLabels) -> tuple[Point, ...]:
    """Return the points of a video, and the middle of each segment that holds none of its class."""
    middles = [
        Point((s.start + s.end) / 2, s.label)
        for s in video.segments
        if not any(p.label == s.label and s.start <= p.seconds <= s.end for p in video.points)
    ]
    return tuple(sorted({*video.points, *middles}))


def no_stronger(video: VideoLabels, kind: Kind) -> VideoLabels:
    """Reduce a video to labels of a kind and of weaker ones; that a class occurs is never lost."""
    if kind == "segment":
        return replace(video, told=video.labels)
    return replace(video, told=video.labels, points=points_of(video) if kind == "point" else (), segments=())


def truth_of(video: VideoLabels, kind: Kind) -> VideoLabels:
    """Reduce a video to the classes that are known by a kind of label, and to labels of this kind."""
    known = known_by(video, kind)
    points = tuple(p for p in points_of(video) if p.label in known) if kind == "point" else ()
    segments = tuple(s for s in video.segments if s.label in known) if kind == "segment" else ()
    return replace(video, told=tuple(sorted(known)), points=points, segments=segments)


def labels_in(video: VideoLabels, label: str) -> int:
    """Count the labels of a class in a video: segments and points outside of them, or 1 where it is only told."""
    timed = sum(s.label == label for s in video.segments)
    timed += sum(p.label == label and not _held(video, p) for p in video.points)
    return timed or int(label in video.labels)


@dataclass(frozen=True)
class Supply:
    """How many videos give what, by the strongest kind that all their classes are known by.

    background: videos without any action, which all kinds can use.
    """

    segment: int
    point: int
    video: int
    background: int

    @property
    def mixed(self) -> bool:
        """Whether there is more than one kind."""
        return sum(map(bool, (self.segment, self.point, self.video))) > 1

    def __str__(self) -> str:
        parts = ((self.segment, "with segments"), (self.point, "with points"), (self.video, "with labels alone"),
                 (self.background, "without any action"))  # fmt: skip
        return ", ".join(f"{n} {what}" for n, what in parts if n)


def supply_of(videos: Sequence[VideoLabels]) -> Supply:
    """Count what videos give."""
    strongest = Counter(
        "background" if v.background else next(k for k in reversed(KINDS) if known_by(v, k) == set(v.labels))
        for v in videos
    )
    return Supply(*(strongest[k] for k in ("segment", "point", "video", "background")))


def classes_known(videos: Sequence[VideoLabels], groups: Sequence[str], kind: Kind) -> Mapping[str, int]:
    """Count, by class, the groups of videos that have the class and know it by a kind of label."""
    found: dict[str, set[str]] = {}
    for v, group in zip(videos, groups, strict=True):
        for label in v.labels:
            found.setdefault(label, set())
            if label in known_by(v, kind):
                found[label].add(group)
    return {label: len(of) for label, of in found.items()}
