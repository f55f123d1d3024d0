"""What a causal head is taught: a teacher's segments over whole videos, as probabilities by snippet.

A teacher is whatever gives segments: a plan, or the truth. Labels of the video, where there are any, say which of its
classes may be right.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def targets_of(
    segments: Sequence[Segment],
    vocabulary: Vocabulary,
    timeline: Timeline,
    count: int,
    horizon_s: float,
    *,
    allowed: Collection[str] | None = None,
    scored: bool = True,
) -> OnlineTargets:
    """Spread segments over the snippets that they cover.

    Args:
        segments: of one video; where two of a class overlap, the likelier one counts.
        vocabulary: the classes.
        timeline: of the features.
        count: how many snippets there are.
        horizon_s: of the hazard.
        allowed: classes that the video is labelled with; others are left out. None allows all.
        scored: a segment is as likely as its score, in [0, 1]; False takes all as certain.
    """
    shape = (count, len(vocabulary))
    classes = np.zeros(shape)
    start, end, hazard = np.zeros(count), np.zeros(count), np.zeros(count)
    left = timeline.left(np.arange(count, dtype=np.float64))
    right = left + timeline.width
    for s in segments:
        if allowed is not None and s.label not in allowed:
            continue
        sure = min(max(s.score, 0.0), 1.0) if scored else 1.0
        covered = np.clip(np.minimum(right, s.end) - np.maximum(left, s.start), 0, None) / timeline.width
        column = classes[:, vocabulary.id(s.label)]
        np.maximum(column, sure * covered, out=column)
        for array, moment in ((start, s.start), (end, s.end)):
            near = np.clip(1 - np.abs((left + right) / 2 - moment) / timeline.step, 0, None)
            np.maximum(array, sure * near, out=array)
        soon = (covered >= 0.5) & (right >= s.end - horizon_s)
        np.maximum(hazard, sure * soon, out=hazard)
    actionness = classes.max(axis=1, initial=0.0)
    classes, actionness, start, end, hazard = (p.astype(np.float32) for p in (classes, actionness, start, end, hazard))
    return OnlineTargets(classes, actionness, start, end, hazard, actionness >= 0.5)
