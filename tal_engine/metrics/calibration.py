"""How well scores are probabilities, and the logistic curve that makes them so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS, _SMALL = 100, 1e-9


def platt(score: Floats, right: NDArray[np.bool_], ridge: float = 1e-9) -> tuple[float, float]:
    """Fit 1 / (1 + exp(-(slope * score + offset))) by Newton's method, on targets short of 0 and 1 (Platt, 1999).

    Args:
        score: [n] scores.
        right: [n] whether each is right.
        ridge: weight of the squared slope and offset, in deviations of the scores; bounds the slope where scores
            separate right from wrong without an error.

    Returns:
        Slope and offset; the slope is not positive where higher scores are no better.

    >>> slope, offset = platt(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, True, False, True]))
    >>> slope > 0, round(1.5 * slope + offset, 6) == 0
    (True, True)
    """
    hits, misses = int(right.sum()), int((~right).sum())
    middle, spread = float(score.mean()), float(score.std()) or 1.0
    x = np.stack([(score - middle) / spread, np.ones_like(score)], axis=1)
    target = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
    w = np.array([0.0, float(np.log((hits + 1) / (misses + 1)))])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(2)
        move = np.linalg.solve(hessian, x.T @ (target - p) - ridge * w)
        before = _loss(x, w, target, ridge)
        while _loss(x, w + move, target, ridge) > before and np.abs(move).max() > _SMALL:
            move = move / 2  # many scores near one value make whole steps oscillate
        w = w + move
        if np.abs(move).max() <= _SMALL:
            break
    slope = float(w[0]) / spread
    return slope, float(w[1]) - slope * middle


def _loss(x: Floats, w: Floats, target: Floats, ridge: float) -> float:
    """Compute the negative log-likelihood and the ridge."""
    logit = x @ w
    return float((np.logaddexp(0, logit) - target * logit).sum() + ridge / 2 * (w @ w))


def calibration_error(probability: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Compute the expected calibration error over bins of equal width (Guo et al., ICML 2017, Eq. 3).

    NaN of nothing.

    >>> calibration_error(np.array([0.25] * 4), np.array([True, False, False, False]))
    0.0
    """
    if not len(right):
        return float("nan")
    return sum(abs(p - r) * n for p, r, n in reliability(probability, right, bins)) / len(right)


def reliability(probability: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[tuple[float, float, int]]:
    """Compute (mean probability, share that is right, outcomes) of each bin that is not empty."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    masks = [m for m in (place == b for b in range(bins)) if m.any()]
    return [(float(probability[m].mean()), float(right[m].mean()), int(m.sum())) for m in masks]
