"""Textbook twin of `export.matching`: the best pair left is taken, again and again."""

from __future__ import annotations


def tiou(a, b):
    """Intersection over union of two (start, end, score, label)."""
    both = min(a[1], b[1]) - max(a[0], b[0])
    return both / ((a[1] - a[0]) + (b[1] - b[0]) - both) if both > 0 else 0.0


def match(a, b, least):
    """Pairs (i, j) in order of i."""
    free_a, free_b, pairs = set(range(len(a))), set(range(len(b))), []
    while True:
        left = [
            (-tiou(a[i], b[j]), abs(a[i][2] - b[j][2]), i, j)
            for i in free_a
            for j in free_b
            if a[i][3] == b[j][3] and tiou(a[i], b[j]) >= max(least, 1e-300)
        ]
        if not left:
            return sorted(pairs)
        *_, i, j = min(left)
        free_a.remove(i)
        free_b.remove(j)
        pairs.append((i, j))
