"""APN's targets and losses, one number at a time."""

from __future__ import annotations

import math

import numpy as np


def boundary_targets(start, end, length, region, share):
    out = np.zeros((2, length))
    for row, borders in ((0, start), (1, end)):
        for i in range(length):
            for border, s, e in zip(borders, start, end, strict=True):
                width = max(region, share * (e - s))
                low, high = max(border - width / 2, i - 0.5), min(border + width / 2, i + 0.5)
                out[row, i] = max(out[row, i], high - low)
    return out


def bmn_bce(probability, target):
    """BMN's weighted loss: ratio r = N / positives, weights r / 2 and r / (2 (r - 1)), mean over all N."""
    positives = sum(t > 0.5 for t in target)
    r = len(target) / max(positives, 1)
    total = 0.0
    for p, t in zip(probability, target, strict=True):
        total -= 0.5 * r * math.log(p) if t > 0.5 else 0.5 * r / (r - 1) * math.log(1 - p)
    return total / len(target)


def contrast(x, classes, start, end, background, temperature, similarity):
    """L_c of starts, then of ends (Eq. 1); classes are sets."""
    out = []

    def mean(low, high):
        total, weight = np.zeros(x.shape[1]), 0.0
        for t in range(len(x)):
            share = max(0.0, min(high, t + 1) - max(low, t))
            total, weight = total + share * x[t], weight + share
        v = total / weight
        return v / np.linalg.norm(v) if similarity == "cosine" else v

    ground = [mean(a, b) for a, b in background]
    for borders in (start, end):
        around = [mean(b - (e - s) / 10, b + (e - s) / 10) for b, s, e in zip(borders, start, end, strict=True)]
        for i, own in enumerate(around):
            near = sum(
                math.exp(own @ other / temperature)
                for j, other in enumerate(around)
                if j != i and classes[i] & classes[j]
            )
            far = sum(math.exp(own @ g / temperature) for g in ground)
            if near:
                out.append(-math.log(near / (near + far)))
    return out


def tiou(a, b):
    inside = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return inside / (a[1] - a[0] + b[1] - b[0] - inside)


def interpolated(x, at):
    """Features [T, D] at positions, by straight lines, ends held."""
    t = np.arange(len(x))
    return np.stack([np.interp(at, t, x[:, d]) for d in range(x.shape[1])], -1)


def pem(classes, confidences, hot, overlaps, positive, target="tiou", terms="both"):
    """Cross-entropies of probabilities, both terms or as in Eq. 3; summed over classes, mean over proposals."""
    total = 0.0
    for p, s, y, o in zip(classes, confidences, hot, overlaps, strict=True):
        for c in range(len(y)):
            own = y[c] * (o >= positive)
            for chance, wanted in ((p[c], own), (s[c], y[c] * o if target == "tiou" else own)):
                total -= wanted * math.log(chance)
                total -= (1 - wanted) * math.log(1 - chance) if terms == "both" else 0
    return total / len(hot)
