"""Segmental F1 (Lea et al., CVPR 2017): one label a snippet, grouped into segments, matched by overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Start and end (snippets, half open) and label.
Span = tuple[int, int, int]


def painted(columns: Sequence[ArrayLike], centres: NDArray[np.float64]) -> list[Span]:
    """Segments as runs of snippets: each snippet has the label of the best segment over its middle, or none.

    Args:
        columns: start, end, score and label of segments, seconds; or nothing where there is none.
        centres: middles of snippets.

    >>> painted(([0, 1], [4, 2], [0.3, 0.9], [7, 8]), np.arange(5) + 0.5)
    [(0, 1, 7), (1, 2, 8), (2, 4, 7)]
    """
    label = np.full(len(centres), -1)
    if columns:
        start, end, score, of = (np.asarray(c) for c in columns)
        for i in np.argsort(score, kind="stable"):
            label[(centres >= start[i]) & (centres < end[i])] = of[i]
    cuts = np.flatnonzero(np.diff(label)) + 1
    borders = [0, *cuts.tolist(), len(label)]
    return [(a, b, int(label[a])) for a, b in pairwise(borders) if b > a and label[a] >= 0]


def segmental_f1(pairs: Sequence[tuple[Sequence[Span], Sequence[Span]]], overlap: float) -> float:
    """F1 of (found, true) segments of videos together.

    Found ones in the order of time: one is right if the true segment of its class that it overlaps most does so by
    `overlap` (intersection over union) and was not met before.

    >>> segmental_f1([([(0, 4, 1), (4, 6, 2)], [(0, 5, 1)])], 0.5)
    0.6666666666666666
    """
    right = wrong = missed = 0
    for found, true in pairs:
        met = [False] * len(true)
        for a, b, label in found:
            shared = [
                max(0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c)) if label == of else 0.0 for c, d, of in true
            ]
            best = int(np.argmax(shared)) if shared else -1
            if best >= 0 and shared[best] >= overlap and not met[best]:
                met[best] = True
                right += 1
            else:
                wrong += 1
        missed += met.count(False)
    total = 2 * right + wrong + missed
    return 2 * right / total if total else 0.0
