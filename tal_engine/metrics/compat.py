"""The matching of published evaluators, with what depends on numpy's sort and on NaN.

Slow, and only for protocols that ask for it: scores under these rules can be compared with
published ones to the last digit, on the machine and numpy that made them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..annotations.tables import Table
from ..errors import UsageError
from .protocols import Protocol


def average_precision(truth: Table, detections: Table, rules: Protocol) -> NDArray[np.float64]:
    """Compute AP [tious, classes] in another evaluator's order of equal scores.

    bench/peers.md, disagreements 1, 2, 8 and 14.

    Raises:
        UsageError: rules that those evaluators do not have.
    """
    if (
        rules.matching != "best_free"
        or rules.ap != "interpolated"
        or not rules.inclusive
        or rules.ambiguous == "ignore"
    ):
        raise UsageError(f"protocol {rules.name!r}: ties={rules.ties!r} and nan_hit go with the activitynet rules only")
    ap = np.full((len(rules.tious), len(truth.labels)), np.nan)
    for c in range(len(truth.labels)):
        true_rows = np.flatnonzero(truth.label == c)
        if len(true_rows):
            ap[:, c] = _class_ap(truth, true_rows, detections, np.flatnonzero(detections.label == c), rules)
    return ap


def _class_ap(
    truth: Table, true_rows: NDArray[np.intp], detections: Table, rows: NDArray[np.intp], rules: Protocol
) -> NDArray[np.float64]:
    by_video = {int(v): true_rows[truth.video[true_rows] == v] for v in np.unique(truth.video[true_rows])}
    score = detections.score[rows]
    ranked = rows[score.argsort()[::-1]] if rules.ties == "argsort" else rows[np.argsort(-score, kind="stable")]
    taken: dict[int, set[int]] = {k: set() for k in range(len(rules.tious))}
    hits = np.zeros((len(rules.tious), len(ranked)), bool)
    for i, row in enumerate(ranked):
        near = by_video.get(int(detections.video[row]))
        if near is None:
            continue
        overlap = _overlaps(
            detections.start[row], detections.end[row], truth.start[near], truth.end[near], rules.nan_hit
        )
        # Both families go through numpy here: of equal overlaps the last listed, and NaN before all.
        order = np.argsort(overlap, kind=None if rules.ties == "argsort" else "stable")[::-1]
        for k, tiou in enumerate(rules.tious):
            for g in order:
                if overlap[g] < tiou:  # NaN is not below anything: with nan_hit it falls through
                    break
                if int(near[g]) not in taken[k]:
                    taken[k].add(int(near[g]))
                    hits[k, i] = True
                    break
    return np.array([_area(h, len(true_rows)) for h in hits])


def _overlaps(
    start: float, end: float, starts: NDArray[np.float64], ends: NDArray[np.float64], nan_hit: bool
) -> NDArray[np.float64]:
    inter = np.clip(np.minimum(end, ends) - np.maximum(start, starts), 0, None)
    union = (ends - starts) + (end - start) - inter
    empty = np.full(len(starts), np.nan if nan_hit else 0.0)
    return np.asarray(np.divide(inter, union, out=empty, where=union > 0))


def _area(hits: NDArray[np.bool_], positives: int) -> float:
    right = np.cumsum(hits)
    precision: NDArray[Any] = right / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / positives)
