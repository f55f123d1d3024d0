"""What a causal head is taught: a teacher's segments over whole videos, as probabilities by snippet.

A teacher is whatever gives segments: a plan, or the truth. Labels of the video, where there are any, say which of its
classes may be right.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...annotations.points import Point
from ...records import Segment
from ...timeline import Timeline
from ...vocabulary import Vocabulary


@dataclass(frozen=True)
class OnlineTargets:
    """Of one video with T snippets and C classes, float32 in [0, 1].

    classes: how likely each class goes on at a snippet, [T, C]. actionness: that any does, [T]. start, end: that one
    starts or ends at a snippet, [T], and within the horizon ends what goes on, `hazard` [T]. going: where anything goes
    on [T]; the hazard counts only there.
    """

    classes: NDArray[np.float32]
    actionness: NDArray[np.float32]
    start: NDArray[np.float32]
    end: NDArray[np.float32]
    hazard: NDArray[np.float32]
    going: NDArray[np.bool_]


def one_each(
    segments: Sequence[Segment],
    least: float,
    allowed: Collection[str] | None = None,
    points: Sequence[Point] = (),
) -> list[Segment]:
    """Keep the best segment of each action: what overlaps a better one of its class is another guess at the same.

    Args:
        segments: of one video.
        least: segments below this score are left out.
        allowed: classes that the video is labelled with; others are left out. None allows all.
        points: a moment of each of the video's actions, if they are known: segments that hold none of their class are
            left out.

    >>> from tal_engine import Segment
    >>> one_each([Segment(0, 4, "wave", 0.9), Segment(1, 6, "wave", 0.5), Segment(7, 9, "wave", 0.4)], 0.1)[1].start
    7
    """
    kept: list[Segment] = []
    for s in sorted(segments, key=lambda s: (-s.score, s.start, s.end)):
        known = allowed is None or s.label in allowed
        held = not points or any(p.label == s.label and s.start <= p.seconds <= s.end for p in points)
        if known and held and s.score >= least and not any(_overlap(s, other) for other in kept):
            kept.append(s)
    return kept


def _overlap(a: Segment, b: Segment) -> bool:
    return a.label == b.label and min(a.end, b.end) > max(a.start, b.start)


def targets_of(
    segments: Sequence[Segment],
    vocabulary: Vocabulary,
    timeline: Timeline,
    count: int,
    horizon_s: float,
) -> OnlineTargets:
    """Spread segments over the snippets that they cover.

    Args:
        segments: of one video.
        vocabulary: the classes.
        timeline: of the features.
        count: how many snippets there are.
        horizon_s: of the hazard.
    """
    shape = (count, len(vocabulary))
    classes = np.zeros(shape)
    start, end, hazard = np.zeros(count), np.zeros(count), np.zeros(count)
    left = timeline.left(np.arange(count, dtype=np.float64))
    right = left + timeline.width
    for s in segments:
        covered = np.clip(np.minimum(right, s.end) - np.maximum(left, s.start), 0, None) / timeline.width
        column = classes[:, vocabulary.id(s.label)]
        np.maximum(column, covered, out=column)
        for array, moment in ((start, s.start), (end, s.end)):
            near = np.clip(1 - np.abs((left + right) / 2 - moment) / timeline.step, 0, None)
            np.maximum(array, near, out=array)
        soon = (covered >= 0.5) & (right >= s.end - horizon_s)
        np.maximum(hazard, soon, out=hazard)
    actionness = classes.max(axis=1, initial=0.0)
    parts = [p.astype(np.float32) for p in (classes, actionness, start, end, hazard)]
    return OnlineTargets(*parts, going=actionness >= 0.5)  # type: ignore[misc, arg-type]
