"""One segment for each point: the best proposal of a network that learned from points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .... import ops
from ....options import ProposalOptions

Floats = NDArray[np.float32]


def seeds(
    cas: Floats, attention: Floats, clicked: Floats, options: ProposalOptions, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the seed of each point of a video and its label id: [N, 2] in snippets, [N].

    It is the best proposal of the point's class that holds the point and neither of those beside it. All proposals are
    looked at, those that suppression would drop too (our choice), and classes are those of the points (public code:
    those that the network predicts).

    Args:
        cas: activations [T, C + 1].
        attention: how much each snippet is action, [T].
        clicked: points [T, C].
        options: how activations are cut.
        reach: half of the length of a seed where there is no such proposal, snippets.
    """
    classes = clicked.max(0)
    found = ops.propose(cas, attention, options, video=classes)
    at = np.flatnonzero(clicked.any(1))
    beside = np.concatenate([[-np.inf], at, [np.inf]]) + 0.5
    out, labels = [], []
    for t, left, right in zip(at.tolist(), beside[:-2], beside[2:], strict=True):
        middle = t + 0.5
        holds = (found.start <= middle) & (found.end >= middle) & (found.start > left) & (found.end < right)
        for label in np.flatnonzero(clicked[t]).tolist():
            fit = np.flatnonzero(holds & (found.label == label) & (found.score > 0))
            best = fit[found.score[fit].argmax()] if len(fit) else None
            out.append((middle - reach, middle + reach) if best is None else (found.start[best], found.end[best]))
            labels.append(label)
    return np.array(out, np.float64).reshape(-1, 2), np.array(labels, np.int64)
