"""PseR one segment at a time: slow, and read off the public code (zhenyingfang/PseR) rather than off ours."""

from __future__ import annotations

import math


def bag(start, end, scales, shift):
    """Segments around a seed: at each length, where it is, moved left, moved right."""
    out, middle = [], (start + end) / 2
    for scale in scales:
        length = (end - start) * scale
        for by in (0, -shift, shift):
            at = middle + by * length
            out.append((at - length / 2, at + length / 2))
    return out


def iou(a, b):
    """Of two segments."""
    inner = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inner / ((a[1] - a[0]) + (b[1] - b[0]) - inner)


def interpolate(x, t):
    """The feature [D] at a place; nothing more than a snippet outside."""
    if t < -1 or t > len(x):
        return [0.0] * len(x[0])
    t = min(max(t, 0.0), len(x) - 1.0)
    low = int(t)
    high = min(low + 1, len(x) - 1)
    return [a * (1 - (t - low)) + b * (t - low) for a, b in zip(x[low], x[high], strict=True)]


def align(x, start, end, bins):
    """Features of a segment, part after part: each the mean of so many samples as the part is long."""
    part = max(end - start, 1.0) / bins
    samples = math.ceil(part)
    out = []
    for p in range(bins):
        found = [interpolate(x, start + p * part + (i + 0.5) * part / samples) for i in range(samples)]
        out += [sum(column) / samples for column in zip(*found, strict=True)]
    return out


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(values):
    top = max(values)
    found = [math.exp(v - top) for v in values]
    return [v / sum(found) for v in found]


def focal(p, q):
    """Of one probability against 0 or 1."""
    return -((p - q) ** 2) * (q * math.log(p + 1e-6) + (1 - q) * math.log(1 - p + 1e-6))


def bag_loss(classes, instances, label):
    """Of one bag; both [segments][classes]."""
    total = 0.0
    for c in range(len(classes[0])):
        share = softmax([row[c] for row in instances])
        p = sum(sigmoid(row[c]) * s for row, s in zip(classes, share, strict=True))
        total += focal(min(max(p, 0.0), 1.0), float(c == label))
    return total


def merge(segments, classes, instances, overlap, label, best):
    """The pseudo-label of one bag."""
    share = softmax([row[label] for row in instances])
    good = [sigmoid(row[label]) * s * o for row, s, o in zip(classes, share, overlap, strict=True)]
    order = sorted(range(len(good)), key=lambda i: -good[i])[:best]
    whole = sum(good[i] for i in order)
    return tuple(sum(segments[i][side] * good[i] for i in order) / whole for side in (0, 1))


def seed(proposals, point, others, reach):
    """Of one point at a time: the best of proposals (start, end, score) that holds it and none of the others."""
    best, most = None, 0.0
    for start, end, score in proposals:
        alone = all(not start <= o <= end for o in others)
        if start <= point <= end and alone and score > most:
            best, most = (start, end), score
    return best or (point - reach, point + reach)
