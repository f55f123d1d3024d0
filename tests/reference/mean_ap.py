"""Average precision, one class and one threshold at a time."""

from __future__ import annotations

import math
from fractions import Fraction

from .nms import tiou


def reaches(overlap, threshold, inclusive):
    return overlap >= threshold if inclusive else overlap > threshold


def best_free(truth, predictions, order, threshold, inclusive):
    """Which predictions are right: each in its turn takes the free true one it overlaps most."""
    taken, hits = set(), set()
    for i in order:
        video, start, end = predictions[i][:3]
        near = [(tiou((start, end), t[1:]), k) for k, t in enumerate(truth) if t[0] == video]
        near.sort(key=lambda r: (-r[0], r[1]))
        match = next((k for o, k in near if reaches(o, threshold, inclusive) and k not in taken), None)
        if match is not None:
            taken.add(match)
            hits.add(i)
    return hits


def truth_first(truth, predictions, order, threshold, inclusive):
    """Which predictions are right: each true one in turn takes the free prediction it overlaps most."""
    hits = set()
    for video, start, end in truth:
        near = [
            (tiou((start, end), predictions[i][1:3]), r, i) for r, i in enumerate(order) if predictions[i][0] == video
        ]
        near = [n for n in near if n[2] not in hits and n[0] > 0]
        if near:
            overlap, _, i = min(near, key=lambda n: (-n[0], n[1]))
            if reaches(overlap, threshold, inclusive):
                hits.add(i)
    return hits


def eleven_points(precision, right, positives):
    """Mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or more."""
    recall = [Fraction(sum(right[: k + 1]), positives) for k in range(len(right))]
    levels = [Fraction(i, 10) for i in range(11)]
    return sum(max((p for p, r in zip(precision, recall, strict=True) if r >= t), default=0) for t in levels) / 11


def average_precision(
    truth, predictions, threshold, *, matching="best_free", rule="interpolated", inclusive=True, ties="ranked",
    order=None, ignorable=None,
):  # fmt: skip
    """AP of one class.

    truth: list of (video, start, end). predictions: list of (video, start, end, score). order: positions of the
    predictions, best first; without it by score, start, end, video, position.
    """
    for row in [*truth, *predictions]:
        if not all(map(math.isfinite, row[1:])) or row[2] < row[1]:
            raise ValueError(row)
    if not truth:
        return float("nan")
    order = order or sorted(
        range(len(predictions)), key=lambda i: (-predictions[i][3], *predictions[i][1:3], predictions[i][0], i)
    )
    hits = {"best_free": best_free, "truth_first": truth_first}[matching](
        truth, predictions, order, threshold, inclusive
    )
    if ties != "ranked":
        order.sort(key=lambda i: (-predictions[i][3], (i in hits) != (ties == "true_first")))
    order = [i for i in order if i in hits or not (ignorable and ignorable[i])]
    right = [i in hits for i in order]
    precision = [sum(right[: k + 1]) / (k + 1) for k in range(len(order))]
    if rule == "eleven_point":
        return eleven_points(precision, right, len(truth))
    if rule == "interpolated":
        precision = [max(precision[k:]) for k in range(len(precision))]
    return math.fsum(p for p, r in zip(precision, right, strict=True) if r) / len(truth)
