"""LACP's seeds, sequences and losses as paper and public code describe them: loops, and every labelling tried."""

from __future__ import annotations

import math
from itertools import groupby, pairwise, product


def seeds(background, clicked, sure, active):
    """(snippet -> point it belongs to or None, snippets that are background)."""
    n = len(background)
    points = [t for t in range(n) if clicked[t]]
    owner, found = [None] * n, set()
    for p in points:
        owner[p] = p
    if not points:
        return owner, found
    for left, right in zip([None, *points], [*points, None], strict=True):
        inside = range(0 if left is None else left + 1, n if right is None else right)
        if not inside:
            continue
        likely = [t for t in inside if background[t] >= sure]
        if not likely:
            best = max(background[t] for t in inside)
            likely = [next(t for t in inside if background[t] == best)]
        first = inside[0] if left is None else likely[0]
        last = inside[-1] if right is None else likely[-1]
        found |= set(range(first, last + 1))
        if left is not None:
            t = left + 1
            while t < first and background[t] <= active:
                owner[t] = left
                t += 1
        if right is not None:
            t = right - 1
            while t > last and background[t] <= active:
                owner[t] = right
                t -= 1
    return owner, found


def contrast(values, start, end):
    """Outer-inner contrast of values[start:end] (methods.md 1.5)."""
    n = end - start
    low, high = max(0, int(start - 0.25 * n)), min(len(values) - 1, int(end - 1 + 0.25 * n))
    outer = [values[t] for t in [*range(low, start), *range(end, high + 1)]]
    return sum(values[start:end]) / n - (sum(outer) / len(outer) if outer else 0)


def spans(labels):
    """(kind, start, end) of each run of equal labels."""
    found, t = [], 0
    for kind, run in groupby(labels):
        n = len(list(run))
        found.append((kind, t, t + n))
        t += n
    return found


def score(labels, probability):
    other = [1 - p for p in probability]
    found = spans(labels)
    return sum(contrast(probability if kind else other, s, e) for kind, s, e in found) / len(found)


def agrees(labels, action, background):
    """Whether a labelling has the seeds, and no more turns than they ask for."""
    known = [(t, bool(action[t])) for t in range(len(labels)) if action[t] or background[t]]
    if any(labels[t] != kind for t, kind in known):
        return False
    turns = sum(a[1] != b[1] for a, b in pairwise(known))
    return len(spans(labels)) == turns + 1


def best_score(probability, action, background):
    tried = (x for x in product([False, True], repeat=len(probability)) if agrees(x, action, background))
    return max(score(x, probability) for x in tried)


def focal(p, target, chosen):
    """p [T][C + 1]: sum over the columns, mean over the chosen snippets."""
    total = 0.0
    for t in chosen:
        for q, y in zip(p[t], target[t], strict=True):
            right = q if y else 1 - q
            total -= (1 - right) ** 2 * math.log(right)
    return total / max(len(chosen), 1)
