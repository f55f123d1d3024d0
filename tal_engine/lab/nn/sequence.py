"""From points to the sequence of actions that fits the activations best (LACP, ICCV 2021). NumPy; no gradient.

A sequence is a video cut into spans that are action and background by turns. Its score is the mean over the spans of
the outer-inner contrast, which depends on a span's own ends only: the best sequence is found exactly,
cut by cut, where the public code keeps the 25 best beginnings and drops those under .1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Of a span's length, what the contrast compares it with on each side: 1 / 4.
_SIDE = 4
#: Pairs of cuts that are weighed at a time, so that memory does not grow with the square of a long gap.
_PAIRS = 1 << 20


class Seeds(NamedTuple):
    """What is known of each snippet before the search.

    owner: [T], the snippet of the point that it belongs to, -1 for none. background: [T].
    """

    owner: Ints
    background: Bools


class Sequence(NamedTuple):
    """A video of T snippets cut into S spans.

    cuts: [S + 1] from 0 to T; span i is [cuts[i], cuts[i + 1]). first: span 0 is action. score: mean contrast.
    """

    cuts: Ints
    first: bool
    score: float

    def spans(self, action: bool) -> list[tuple[int, int]]:
        """Return the ends of the spans that are action, or of those that are not."""
        begin = 0 if self.first == action else 1
        ends = self.cuts.tolist()
        return list(zip(ends[begin:-1:2], ends[begin + 1 :: 2], strict=True))


def mine_seeds(background: Floats, clicked: Bools, sure: float, active: float) -> Seeds:
    """Mine seeds around and between points (LACP's public code).

    In each gap between two points, and outside of the outermost, snippets are background where their score reaches
    `sure`, the most likely one if none does, and all between those; beside an end of the video all up to it. From a
    point on, snippets belong to the point while their score is at most `active`.

    Args:
        background: [T], score of the background class.
        clicked: [T], whether a point of any class is there.
        sure: score from which a snippet is background.
        active: score up to which a snippet belongs to a point.
    """
    length = len(background)
    at = np.flatnonzero(clicked)
    owner, is_background = np.full(length, -1), np.zeros(length, bool)
    if not len(at):
        return Seeds(owner, is_background)
    owner[at] = at
    for low, high in zip([0, *(at + 1)], [*at, length], strict=True):
        gap = background[low:high]
        if not len(gap):
            continue
        likely = np.flatnonzero(gap >= sure)
        first, last = (likely[0], likely[-1]) if len(likely) else (gap.argmax(), gap.argmax())
        first, last = (0 if low == 0 else first), (len(gap) - 1 if high == length else last)
        is_background[low + first : low + last + 1] = True
        if low > 0:
            owner[low : low + _leading(gap[:first] <= active)] = low - 1
        if high < length:
            owner[high - _leading(gap[:last:-1] <= active) : high] = high
    return Seeds(owner, is_background)


def _leading(x: Bools) -> int:
    """Count how many are true before the first that is not."""
    return len(x) if x.all() else int(x.argmin())


def best_sequence(probability: Floats, action: Bools, background: Bools) -> Sequence:
    """Find the sequence of the highest score that agrees with all seeds.

    Neighbouring seeds of one kind are in one span, so that there is one cut between each two of different kinds.
    Of equal scores the earliest cuts are taken, from the last cut on.

    Args:
        probability: [T] of the class.
        action: [T], seeds of the class, at least one.
        background: [T], seeds of background and of other classes, none of which is a seed of the class.

    Complexity: O(g * h) for each two neighbouring gaps of g and h possible cuts.
    """
    length = len(probability)
    seeds = np.flatnonzero(action | background)
    turns = np.flatnonzero(action[seeds][1:] != action[seeds][:-1])
    places = [np.arange(a + 1, b + 1) for a, b in zip(seeds[turns], seeds[turns + 1], strict=True)]
    places = [np.zeros(1, np.int64), *places, np.array([length])]
    first = bool(action[seeds[0]])
    sums = {kind: np.concatenate([[0.0], np.cumsum(p)]) for kind, p in ((True, probability), (False, 1 - probability))}
    total, choices, kind = np.zeros(1), [], first
    for starts, ends in pairwise(places):
        total, choice = _continued(total, starts, ends, sums[kind])
        choices.append(choice)
        kind = not kind
    cuts, which = [length], 0
    for starts, choice in zip(places[-2::-1], choices[::-1], strict=True):
        which = int(choice[which])
        cuts.append(int(starts[which]))
    return Sequence(np.array(cuts[::-1]), first, float(total[0]) / (len(cuts) - 1))


def _continued(total: Floats, starts: Ints, ends: Ints, sums: Floats) -> tuple[Floats, Ints]:
    """Return the best sum of contrasts up to each end, and the start it came from."""
    parts = max(1, -(-len(starts) * len(ends) // _PAIRS))
    best, choice = [], []
    for some in np.array_split(ends, min(parts, len(ends))):
        value = total[:, None] + _contrast(sums, starts[:, None], some[None, :])
        choice.append(value.argmax(0))
        best.append(value.max(0))
    return np.concatenate(best), np.concatenate(choice)


def _contrast(sums: Floats, start: Ints, end: Ints) -> Floats:
    """Return the mean of [start, end) minus the mean beside it, from cumulative sums [T + 1]."""
    left, right = _around(start, end, len(sums) - 1)
    outside = (start - left) + (right - end)
    outer = sums[start] - sums[left] + sums[right] - sums[end]
    contrast: Floats = (sums[end] - sums[start]) / (end - start) - outer / np.maximum(outside, 1)
    return contrast


def _around(start: Ints, end: Ints, length: int) -> tuple[Ints, Ints]:
    """Return the ends of a span's sides; the left side is rounded up, the right one down, as published."""
    side = end - start
    return np.maximum(start - (side + _SIDE - 1) // _SIDE, 0), np.minimum(end + side // _SIDE, length)


def contrast_weights(span: tuple[int, int], length: int) -> Floats:
    """Return weights [T] whose sum over time with a sequence is the span's contrast."""
    start, end = (np.array(x) for x in span)
    left, right = _around(start, end, length)
    weights = np.zeros(length)
    weights[left:right] = -1 / max(int(right - left - (end - start)), 1)
    weights[start:end] = 1 / (end - start)
    return weights
