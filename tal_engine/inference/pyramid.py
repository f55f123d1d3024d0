"""Moments of a pyramid -> proposals: every class of every moment that scores, between the borders that it points at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..errors import FeatureError, UsageError
from ..options import PyramidOptions
from ..timeline import Timeline


def decoded(
    score: NDArray[np.float32],
    distance: NDArray[np.float32],
    options: PyramidOptions,
    timeline: Timeline,
    ratio: float = 1.0,
) -> ops.Proposed:
    """Decode one video: [t - left * stride, t + right * stride] of each moment t, with each class that scores.

    Moments are middles of snippets, borders of `ops.Proposed` are their edges on the timeline; a proposal does not
    begin before the first edge.

    Args:
        score: of one video, see `records.Pyramid`.
        distance: of one video, likewise.
        options: where moments are, and which scores count.
        timeline: of the features.
        ratio: snippets of the features for each that the head read.

    Raises:
        FeatureError: a score or distance is NaN or infinite.
        UsageError: rows that are not those of a pyramid with these strides.

    Source: ActionFormer (Zhang, Wu and Li, ECCV 2022) and its public code.
    """
    if not (np.isfinite(score).all() and np.isfinite(distance).all()):
        raise FeatureError("the head gave scores or distances that are NaN or infinite")
    start, end, kept, label = [], [], [], []
    for stride, first, count in _levels(len(score), options.strides):
        level = score[first : first + count]
        at, of = np.nonzero(level > options.min_score)
        values = level[at, of]
        if options.top_k and len(values) > options.top_k:
            best = np.argsort(-values, kind="stable")[: options.top_k]
            at, of, values = at[best], of[best], values[best]
        reach = distance[first + at].astype(np.float64)
        low, high = (at - reach[:, 0]) * stride, (at + reach[:, 1]) * stride
        long = high - low > options.min_length
        start.append(low[long])
        end.append(high[long])
        kept.append(values[long].astype(np.float64))
        label.append(of[long].astype(np.int32))
    half = timeline.width / (2 * timeline.step)  # of a snippet, from its edge to its middle
    starts = np.maximum(np.concatenate(start) + half / ratio, 0.0)
    ends = np.concatenate(end) + (1 - half) / ratio
    return ops.Proposed(starts, ends, np.concatenate(kept), np.concatenate(label), np.array([0, len(starts)]))


def _levels(rows: int, strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """(stride, first row, rows) of each level: the finer a level, the more rows, and the coarsest has whole ones."""
    shares = [strides[-1] // s for s in strides]
    if rows % sum(shares):
        raise UsageError(f"the head gave {rows} moments, strides {strides} make a multiple of {sum(shares)}")
    counts = [rows // sum(shares) * share for share in shares]
    firsts = np.cumsum([0, *counts])[:-1].tolist()
    return list(zip(strides, firsts, counts, strict=True))
