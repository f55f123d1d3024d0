"""Segments of training videos on the snippets that a step reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...records import Features, Segment
from ...vocabulary import Vocabulary

#: A segment of which a window shows a smaller part is left out, a larger one is cut (ActionFormer's public code).
LEAST_SEEN = 0.5
#: Windows of a video that are tried until one shows a segment (ditto).
TRIALS = 200


def in_snippets(
    segments: Sequence[Segment], features: Features, vocabulary: Vocabulary, name: str
) -> NDArray[np.float64]:
    """Start, end and label id of segments, [N, 3]; times in snippets, where t is the middle of snippet t.

    Raises:
        DataError: a segment begins after the end of the features.
    """
    time = features.timeline
    rows = np.array([[s.start, s.end, vocabulary.id(s.label)] for s in segments], np.float64).reshape(-1, 3)
    late = rows[:, 0] > max(features.duration, float(time.right(len(features)))) + time.width
    if late.any():
        one = segments[int(np.argmax(late))]
        raise DataError(
            f"training video {name!r} ends at {features.duration:.2f} s, it has a segment of {one.label!r} from "
            f"{one.start:.2f} s on"
        )
    rows[:, :2] = time.index(rows[:, :2] - time.width / 2)
    return rows


def on_window(segments: NDArray[np.float64], index: NDArray[np.int64], features: Features) -> NDArray[np.float64]:
    """Segments [N, 3] that sampled snippets show, cut to them; times in sampled snippets.

    Args:
        segments: of `in_snippets`.
        index: of the snippets that were sampled, in the order of time, with or without gaps.
        features: of the video.
    """
    half = features.timeline.width / (2 * features.timeline.step)
    low, high = np.maximum(segments[:, 0], index[0] - half), np.minimum(segments[:, 1], index[-1] + half)
    seen = (high > low) & (high - low >= LEAST_SEEN * (segments[:, 1] - segments[:, 0]))
    places = np.arange(len(index), dtype=np.float64)

    def place(t: NDArray[np.float64]) -> NDArray[np.float64]:
        beyond = np.minimum(t - index[0], 0) + np.maximum(t - index[-1], 0)
        return np.asarray(np.interp(t, index, places) + beyond)

    return np.stack([place(low[seen]), place(high[seen]), segments[seen, 2]], 1)
