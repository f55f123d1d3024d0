"""Folds over videos, never over snippets: every class is dealt out evenly, and what belongs together stays together.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011, algorithm 1), over groups of videos instead
of single ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError


def folds_of(labels: Sequence[Collection[str]], groups: Sequence[str], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Deal videos into folds: the fold of each, [videos], in 0..count-1.

    Args:
        labels: classes of each video; a video may have none.
        groups: of each video, such as the person in it; videos of one group are in one fold.
        count: folds, at least 2 and at most as many as there are groups.
        seed: of the draws between equals.

    Raises:
        UsageError: fewer than two folds, or more than groups.

    >>> folds_of([["run"], ["run"], ["jump"], ["jump"]], ["a", "b", "c", "d"], 2).tolist()
    [0, 1, 0, 1]
    """
    names = sorted(set(groups))
    if not 2 <= count <= len(names):
        raise UsageError(f"folds is {count}, must be in 2..{len(names)}: there are {len(names)} groups of videos")
    rng = np.random.default_rng(seed)
    classes = sorted({label for of in labels for label in of})
    hot = _counts(labels, groups, names, classes)
    members = Counter(groups)
    sizes = np.array([members[n] for n in names], np.float64)
    wanted: NDArray[np.float64] = np.tile(hot.sum(0) / count, (count, 1))
    room: NDArray[np.float64] = np.full(count, sizes.sum() / count)
    fold: NDArray[np.int64] = np.full(len(names), -1, np.int64)
    while (free := np.flatnonzero(fold < 0)).size:
        left = hot[free].sum(0)
        if not left.any():
            chosen, need = int(free[np.argmax(sizes[free])]), room
        else:
            rarest = int(np.argmin(np.where(left > 0, left, np.inf)))
            having = free[hot[free, rarest] > 0]
            chosen, need = int(having[np.argmax(hot[having, rarest])]), wanted[:, rarest]
        place = _neediest(need, room, rng)
        fold[chosen] = place
        wanted[place] -= hot[chosen]
        room[place] -= sizes[chosen]
    place_of = {name: k for k, name in enumerate(names)}
    return _all_used(fold, sizes, count)[[place_of[g] for g in groups]]


def _counts(
    labels: Sequence[Collection[str]], groups: Sequence[str], names: list[str], classes: list[str]
) -> NDArray[np.float64]:
    """Count the videos of each class in each group, [groups, classes]."""
    out = np.zeros((len(names), len(classes)))
    row, column = ({name: k for k, name in enumerate(of)} for of in (names, classes))
    for of, group in zip(labels, groups, strict=True):
        for label in set(of):
            out[row[group], column[label]] += 1
    return out


def _neediest(need: NDArray[np.float64], room: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Choose the fold that lacks most of a class, of equals the one with the most room, then the first or by chance."""
    best = np.flatnonzero(np.isclose(need, need.max()))
    best = best[np.isclose(room[best], room[best].max())]
    untouched = np.isclose(room, room.max()).all()
    return int(best[0] if untouched else rng.choice(best))


def _all_used(fold: NDArray[np.int64], sizes: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Leave no fold empty: the smallest group of the fold with the most groups moves there."""
    for empty in sorted(set(range(count)) - set(fold.tolist())):
        fullest = int(np.argmax(np.bincount(fold, minlength=count)))
        members = np.flatnonzero(fold == fullest)
        fold[members[np.argmin(sizes[members])]] = empty
    return fold
