"""Losses of the base heads as their papers write them: loops over plain numbers."""

from __future__ import annotations

import math


def softmax(row):
    e = [math.exp(v - max(row)) for v in row]
    return [v / sum(e) for v in e]


def top_mean(cas, ratio):
    """Mean of each class's T // ratio largest values; cas [T][C]."""
    k = max(1, len(cas) // ratio)
    return [sum(sorted((row[c] for row in cas), reverse=True)[:k]) / k for c in range(len(cas[0]))]


def bce(logits, labels):
    """Over the softmax, labels of sum 1, mean over videos and classes."""
    total, count = 0.0, 0
    for row, wanted in zip(logits, labels, strict=True):
        for p, y in zip(softmax(row), wanted, strict=True):
            y = y / sum(wanted)
            total -= y * math.log(p) + (1 - y) * math.log(1 - p)
            count += 1
    return total / count


def mil_ce(cas, labels, ratio):
    total = 0.0
    for video, wanted in zip(cas, labels, strict=True):
        p = softmax(top_mean(video, ratio))
        total -= sum(y / (sum(wanted) + 1e-4) * math.log(q) for y, q in zip(wanted, p, strict=True))
    return total / len(cas)


def generalized_ce(probability, positive, q):
    total = 0.0
    for p, kind in zip(probability, positive, strict=True):
        right = [(1 - (a + 1e-7) ** q) / q for a, k in zip(p, kind, strict=True) if k]
        wrong = [(1 - (1 - a + 1e-7) ** q) / q for a, k in zip(p, kind, strict=True) if not k]
        total += sum(right) / max(len(right), 1) + sum(wrong) / max(len(wrong), 1)
    return total / len(probability)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def info_nce(query, positive, negatives, temperature):
    total = 0.0
    for q, p, others in zip(query, positive, negatives, strict=True):
        logits = [cosine(q, p) / temperature, *(cosine(q, n) / temperature for n in others)]
        total -= math.log(softmax(logits)[0])
    return total / len(query)
