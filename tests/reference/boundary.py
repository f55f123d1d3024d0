"""Pairs of boundary candidates by looking at every pair."""

from __future__ import annotations

import math


def candidates(p, share):
    n = len(p)
    return [i for i in range(n) if i in (0, n - 1) or (p[i] > p[i - 1] and p[i] > p[i + 1]) or p[i] > share * max(p)]


def pairs(start, end, peak_share, d_min, d_max, top_k):
    if not all(map(math.isfinite, [*start, *end])):
        raise ValueError("not finite")
    found = [
        (start[s] * end[e], s, e)
        for s in candidates(start, peak_share)
        for e in candidates(end, peak_share)
        if e - s >= d_min and (d_max == 0 or e - s <= d_max)
    ]
    if top_k:
        found = sorted(found, key=lambda r: (-r[0], r[1], r[2]))[:top_k]
    return found
