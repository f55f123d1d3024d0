"""How well scores are probabilities, and the logistic curve that makes them so."""

from __future__ import annotations

from typing import NamedTuple

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


class CalibrationError(NamedTuple):
    """An expected calibration error, and what a perfectly calibrated score would show on as few outcomes.

    found: see `calibration_error`. by_chance: its mean where each outcome is right with just the probability that is
    claimed; the share of right ones in a bin then differs from the claim by luck alone, so this is the bias of `found`.
    p: how often luck does as much; scores are known to be off where it is small. corrected: the root of the mean
    squared error of the bins, less its bias. outcomes: how many there are.
    """

    found: float
    by_chance: float
    p: float
    corrected: float
    outcomes: int


def judged_error(
    probability: Floats, right: NDArray[np.bool_], bins: int = 10, draws: int = 1000, seed: int = 0
) -> CalibrationError:
    """Measure an expected calibration error beside what luck makes of it; all NaN of nothing.

    Args:
        probability: [n] of being right.
        right: [n] outcomes.
        bins: of equal width.
        draws: of outcomes from the probabilities (consistency resampling: Bröcker and Smith, Weather and Forecasting
            2007; as a test: Vaicenavicius et al., AISTATS 2019).
        seed: of the draws.

    Example:
        >>> found = judged_error(np.full(26, 0.5), np.arange(26) < 16)  # 10 points off, of 26 outcomes
        >>> round(found.found, 2), round(found.by_chance, 2), found.p > 0.2
        (0.12, 0.08, True)
    """
    n = len(right)
    if not n:
        nothing = float("nan")
        return CalibrationError(nothing, nothing, nothing, nothing, 0)
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    hot = (place[:, None] == np.arange(bins)).astype(np.float64)
    hot = hot[:, hot.any(0)]
    drawn = np.random.default_rng(seed).random((draws, n)) < probability
    claimed = probability @ hot
    by_chance = np.abs(drawn @ hot - claimed).sum(1) / n
    found = calibration_error(probability, right, bins)
    p = (1 + int((by_chance >= found - 1e-12).sum())) / (1 + draws)
    return CalibrationError(found, float(by_chance.mean()), p, corrected_error(probability, right, bins), n)


def corrected_error(probability: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Compute the root mean square calibration error with the bias of the bins taken off; 0 where that is more.

    A bin of m outcomes of which a share r is right adds r (1 - r) / (m - 1) to its squared error by luck. Bins of a
    single outcome say nothing of their luck and are left out.

    Source: Kumar, Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019, section 5.

    >>> corrected_error(np.full(4, 0.5), np.array([True, True, False, False]))
    0.0
    """
    parts = [(p, r, m) for p, r, m in reliability(probability, right, bins) if m > 1]
    if not parts:
        return float("nan")
    square = sum(m * ((p - r) ** 2 - r * (1 - r) / (m - 1)) for p, r, m in parts) / sum(m for *_, m in parts)
    return float(np.sqrt(max(square, 0.0)))
