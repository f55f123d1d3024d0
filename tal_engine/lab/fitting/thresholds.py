"""Where to cut scores: the threshold of each class with the best F1, or with so many false alarms an hour."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Threshold(NamedTuple):
    """A score that detections have to reach, and what those that do are worth on held-out videos."""

    score: float
    f1: float
    precision: float
    recall: float
    #: False alarms, and how many there are in an hour of video.
    wrong: int
    per_hour: float


def best_f1(score: Floats, right: NDArray[np.bool_], positives: int, hours: float) -> Threshold:
    """Find the threshold with the best F1; of equals the highest. Nothing passes where nothing is right.

    Args:
        score: of detections, [n].
        right: whether each has found an instance that no other one found, [n].
        positives: true instances.
        hours: length of the videos.

    >>> best_f1(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]), 2, 1.0).score
    0.8
    """
    cuts, hits, count = _cuts(score, right)
    f1 = 2 * hits / np.maximum(count + positives, 1)
    if not len(cuts) or f1.max() <= 0:
        return at(np.nextafter(score.max(), np.inf) if len(score) else np.inf, score, right, positives, hours)
    return at(float(cuts[int(np.argmax(f1))]), score, right, positives, hours)


def for_false_alarms(
    score: Floats, right: NDArray[np.bool_], positives: int, hours: float, per_hour: float
) -> Threshold:
    """Find the lowest threshold with at most `per_hour` false alarms an hour on these videos."""
    cuts, hits, count = _cuts(score, right)
    fine = np.flatnonzero(count - hits <= per_hour * hours)
    if len(fine):
        return at(float(cuts[fine[-1]]), score, right, positives, hours)
    return at(np.nextafter(score.max(), np.inf) if len(score) else np.inf, score, right, positives, hours)


def at(threshold: float, score: Floats, right: NDArray[np.bool_], positives: int, hours: float) -> Threshold:
    """Measure what a threshold is worth."""
    passing = score >= threshold
    hits, count = int(right[passing].sum()), int(passing.sum())
    return Threshold(
        float(threshold),
        f1=2 * hits / max(count + positives, 1),
        precision=hits / count if count else 0.0,
        recall=hits / positives if positives else 0.0,
        wrong=count - hits,
        per_hour=(count - hits) / hours if hours > 0 else 0.0,
    )


def _cuts(score: Floats, right: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """List each different score, highest first, with the right detections and all detections that reach it."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)
    return ranked[last], np.cumsum(right[order])[last].astype(np.int64), (last + 1).astype(np.int64)
