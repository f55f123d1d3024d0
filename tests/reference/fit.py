"""Slow twins of what a fit computes: isotonic regression, thresholds, average precision, all by their definitions."""

from __future__ import annotations

import numpy as np


def isotonic(targets):
    """The least-squares non-decreasing fit of a sequence by the min-max formula (Barlow et al., 1972)."""
    n = len(targets)
    return [max(min(np.mean(targets[s : t + 1]) for t in range(i, n)) for s in range(i + 1)) for i in range(n)]


def best_f1(scores, right, positives):
    """Best F1 over all thresholds that are a score; the highest threshold of equals. (threshold, F1)."""
    best = (None, 0.0)
    for t in sorted(set(scores), reverse=True):
        passing = [r for s, r in zip(scores, right, strict=True) if s >= t]
        f1 = 2 * sum(passing) / (len(passing) + positives)
        if f1 > best[1]:
            best = (t, f1)
    return best


def lowest_with_alarms(scores, right, allowed):
    """The lowest score of which at most so many wrong ones are as high; None if there is none."""
    fine = [t for t in set(scores) if sum(not r for s, r in zip(scores, right, strict=True) if s >= t) <= allowed]
    return min(fine, default=None)


def average_precision(scores, right, positives):
    """Sum over recall levels of the best precision at that recall or a higher one; wrong ones first among equals."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], right[i]))
    precision, hits = [], 0
    for k, i in enumerate(order, 1):
        hits += right[i]
        precision.append((hits, hits / k))
    return (
        sum(max((p for h, p in precision if h >= level), default=0.0) for level in range(1, positives + 1)) / positives
    )


def corrected_error(probabilities, right, bins=10):
    """Root of the mean squared calibration error, each bin less its own bias (Kumar et al., 2019), bin by bin."""
    total, count = 0.0, 0
    for b in range(bins):
        mine = [(p, r) for p, r in zip(probabilities, right, strict=True) if min(int(p * bins), bins - 1) == b]
        if len(mine) < 2:
            continue
        claimed, true = (sum(x[i] for x in mine) / len(mine) for i in (0, 1))
        variance = sum((r - true) ** 2 for _, r in mine) / (len(mine) - 1)
        total += len(mine) * ((claimed - true) ** 2 - variance / len(mine))
        count += len(mine)
    return max(total / count, 0.0) ** 0.5
