"""Constrained k-medoids by exhaustion, and its objective."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np


def unit(x):
    x = np.asarray(x, np.float64)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def cost(x, bounds, medoids):
    """J: summed cosine distance of each frame to the medoid of its cluster."""
    x = unit(x)
    total = 0.0
    for i, m in enumerate(medoids):
        for t in range(bounds[i], bounds[i + 1]):
            total += 1 - float(x[t] @ x[m])
    return total


def best_medoid(x, a, b):
    """The frame of [a, b) with the least summed distance, looking at every pair; ties: the earliest."""
    x = unit(x)
    sums = [sum(1 - float(x[t] @ x[m]) for t in range(a, b)) for m in range(a, b)]
    return a + int(np.argmin(np.round(sums, 12)))


def exhaustive(x, points):
    """The least J over all borders, with exact medoids."""
    choices = [range(p + 1, q + 1) for p, q in pairwise(points)]
    best = np.inf
    for borders in product(*choices):
        bounds = [0, *borders, len(x)]
        medoids = [best_medoid(x, a, b) for a, b in pairwise(bounds)]
        best = min(best, cost(x, bounds, medoids))
    return best


def inner_size(values, kappa, floor):
    """How many values from the point on are action: least squares over all cuts."""
    n = len(values)
    if n < 2:
        return n

    def within(k):
        return sum(float(np.sum((np.array(part) - np.mean(part)) ** 2)) for part in (values[:k], values[k:]))

    best = min(range(1, n), key=lambda k: (round(within(k), 12), k))
    gap = np.mean(values[best:]) - np.mean(values[:best])
    return best if gap > kappa * np.std(values) + floor else n
