"""Which segment of one result is which segment of another.

One definition for the gate and for `tal diff`, the usual greedy one: of all pairs of the same class whose temporal
intersection over union is at least `least`, the pair with the largest is taken, then the largest among segments that
are still free, and so on. Of equal overlaps the pair with the nearer scores is taken, then the one that comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Segments that overlap by less are different ones: one vanished and another appeared.
SAME = 0.5


@dataclass(frozen=True)
class Matching:
    """Pairs [M, 2] of row numbers of both sides, and the rows that are left on each side."""

    pairs: NDArray[np.intp]
    only_a: NDArray[np.intp]
    only_b: NDArray[np.intp]


def match(a: NDArray[np.void], b: NDArray[np.void], least: float = SAME) -> Matching:
    """Match two arrays of `records.PROPOSAL`; each segment is in at most one pair."""
    pairs_by_class = [np.empty((0, 2), np.intp)]
    for label in np.intersect1d(a["label"], b["label"]):
        rows, columns = np.flatnonzero(a["label"] == label), np.flatnonzero(b["label"] == label)
        pairs_by_class.append(_greedy(a, b, rows, columns, least))
    pairs = np.concatenate(pairs_by_class)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    left, right = (np.setdiff1d(np.arange(len(x)), pairs[:, side]) for side, x in enumerate((a, b)))
    return Matching(pairs, left, right)


def _greedy(
    a: NDArray[np.void], b: NDArray[np.void], rows: NDArray[np.intp], columns: NDArray[np.intp], least: float
) -> NDArray[np.intp]:
    """Pair row numbers among segments of one class."""
    x, y = a[rows], b[columns]
    both = np.minimum(x["end"][:, None], y["end"]) - np.maximum(x["start"][:, None], y["start"])
    either = (x["end"] - x["start"])[:, None] + (y["end"] - y["start"]) - both
    overlap = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    i, j = np.nonzero((overlap >= least) & (both > 0))
    order = np.lexsort((j, i, np.abs(x["score"][i] - y["score"][j]), -overlap[i, j]))
    used_i, used_j = np.zeros(len(x), bool), np.zeros(len(y), bool)
    taken = []
    for p, q in zip(i[order].tolist(), j[order].tolist(), strict=True):
        if not (used_i[p] or used_j[q]):
            used_i[p] = used_j[q] = True
            taken.append((rows[p], columns[q]))
    return np.array(taken, np.intp).reshape(-1, 2)


def moved(a: NDArray[np.void], b: NDArray[np.void], matching: Matching) -> NDArray[np.float64]:
    """Return the seconds by which each pair moved: the larger change of start and end."""
    x, y = a[matching.pairs[:, 0]], b[matching.pairs[:, 1]]
    shift: NDArray[np.float64] = np.maximum(np.abs(x["start"] - y["start"]), np.abs(x["end"] - y["end"]))
    return shift


def rescored(a: NDArray[np.void], b: NDArray[np.void], matching: Matching) -> NDArray[np.float64]:
    """Return the rise of each pair's score."""
    return np.asarray(b["score"][matching.pairs[:, 1]] - a["score"][matching.pairs[:, 0]], np.float64)
