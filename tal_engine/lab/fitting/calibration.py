"""From scores to probabilities: monotone curves that are fitted on videos a head was not trained on.

Isotonic regression by pooling adjacent violators (Ayer et al., 1955) where there are many outcomes; a logistic curve
with smoothed targets (Platt, 1999) where there are few. Both are maps that a plan carries (`plan.score_fields`).
Detection scores are no logits, so a temperature alone would have nothing to divide: the logistic curve has an offset
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import FeatureError
from ...metrics.calibration import platt
from ...plan.score_fields import Knots, Logistic, ScoreMap

Floats = NDArray[np.float64]

#: From so many outcomes of the rarer kind (right or wrong) on, a curve is isotonic; with fewer its steps follow chance
#: (`benchmarks/bench_fit.py`, part "calibration").
ISOTONIC_FROM = 60
#: A class has its own curve from so many right outcomes on; the others share one.
OWN_FROM = 60
#: Outcomes that one step of an isotonic curve stands for at least, and knots of a curve at most.
_LEAST_STEP, _MOST_KNOTS = 12, 33
#: Keeps Newton's method from running off where scores part right from wrong without an error, in deviations.
_RIDGE = 1e-3
#: Slope of a curve that should be level, in deviations of the scores: their order stays.
_LEVEL = 1e-3


def fitted_curve(score: Floats, right: NDArray[np.bool_]) -> ScoreMap:
    """Fit a curve of the kind that so many outcomes allow; see `ISOTONIC_FROM`.

    Raises:
        FeatureError: there is nothing to fit on.
    """
    if not len(score):
        raise FeatureError("cannot calibrate: there are no detections on held-out videos")
    few = min(int(right.sum()), int((~right).sum())) < ISOTONIC_FROM
    return logistic(score, right) if few else isotonic(score, right)


def isotonic(score: Floats, right: NDArray[np.bool_]) -> Knots:
    """Fit the non-decreasing curve with the least squared error, its steps joined by lines between their middles.

    Steps of fewer outcomes than `_LEAST_STEP` are joined to the nearer neighbour in value first.
    """
    order = np.argsort(score, kind="stable")
    blocks = _enough(pooled(score[order], right[order].astype(np.float64)))
    at = np.array([b[1] / b[0] for b in blocks])
    value = np.array([b[2] / b[0] for b in blocks])
    if len(at) > _MOST_KNOTS:
        keep = np.unique(np.linspace(0, len(at) - 1, _MOST_KNOTS).round().astype(np.int64))
        at, value = at[keep], value[keep]
    if len(at) == 1:  # all scores say as much
        at, value = np.array([at[0], at[0] + 1.0]), np.repeat(value, 2)
    return Knots(raw=at.tolist(), calibrated=np.maximum.accumulate(np.clip(value, 0.0, 1.0)).tolist())


def pooled(score: Sequence[float] | Floats, target: Sequence[float] | Floats) -> list[tuple[float, float, float]]:
    """Pool adjacent violators: (outcomes, sum of scores, sum of targets) of each step of the isotonic fit.

    Scores come in ascending order; equal ones are one step from the start.

    >>> [t / n for n, _, t in pooled([1.0, 2.0, 3.0], [0.0, 1.0, 0.0])]
    [0.0, 0.5]
    """
    blocks: list[tuple[float, float, float]] = []
    last = None
    for s, t in zip(np.asarray(score).tolist(), np.asarray(target).tolist(), strict=True):
        tied = last is not None and s == last
        blocks.append(_joined(blocks.pop(), (1.0, s, t)) if tied else (1.0, s, t))
        last = s
        while len(blocks) > 1 and blocks[-2][2] * blocks[-1][0] >= blocks[-1][2] * blocks[-2][0]:
            top = blocks.pop()
            blocks.append(_joined(blocks.pop(), top))
    return blocks


def _joined(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _enough(blocks: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Join small steps to the neighbour whose value is nearer."""
    out = list(blocks)
    while len(out) > 1 and min(b[0] for b in out) < _LEAST_STEP:
        i = min(range(len(out)), key=lambda k: out[k][0])
        value = [b[2] / b[0] for b in out]
        beside = [k for k in (i - 1, i + 1) if 0 <= k < len(out)]
        j = min(beside, key=lambda k: abs(value[k] - value[i]))
        first = min(i, j)
        out[first : first + 2] = [_joined(out[first], out[first + 1])]
    return out


def logistic(score: Floats, right: NDArray[np.bool_]) -> Logistic:
    """Fit 1 / (1 + exp(-(slope * score + offset))); slope > 0, level where a higher score was no better."""
    slope, offset = platt(score, right, _RIDGE)
    spread = float(score.std()) or 1.0
    if slope < _LEVEL / spread:  # all say as much as the share that is right
        slope = _LEVEL / spread
        share = (int(right.sum()) + 1) / (int((~right).sum()) + 1)
        offset = float(np.log(share)) - slope * float(score.mean())
    return Logistic(slope=slope, offset=offset)


def curves_by_class(score: Floats, right: NDArray[np.bool_], label: NDArray[np.int64], classes: int) -> list[ScoreMap]:
    """Fit a curve for each class: its own where enough outcomes are right, else that of all classes together."""
    together = fitted_curve(score, right)
    mine = [label == c for c in range(classes)]
    return [fitted_curve(score[m], right[m]) if right[m].sum() >= OWN_FROM else together for m in mine]


def applied(curves: Sequence[ScoreMap], score: Floats, label: NDArray[np.int64]) -> Floats:
    """Give the probabilities of detections by the curve of their class."""
    out = np.zeros(len(score))
    for c, curve in enumerate(curves):
        out[label == c] = curve(score[label == c])
    return out


def cross_fitted(
    score: Floats, right: NDArray[np.bool_], label: NDArray[np.int64], fold: NDArray[np.int64], classes: int
) -> Floats:
    """Give probabilities by curves that were fitted on the other folds: calibration error is taken of these."""
    out = np.zeros(len(score))
    for k in np.unique(fold):
        others, mine = fold != k, fold == k
        if others.any():
            curves = curves_by_class(score[others], right[others], label[others], classes)
            out[mine] = applied(curves, score[mine], label[mine])
    return out
