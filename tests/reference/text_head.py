"""The head of texts, written out one snippet and one text at a time."""

from __future__ import annotations

import math

import numpy as np


def unit(v):
    length = math.sqrt(sum(float(x) ** 2 for x in v))
    return np.array([float(x) / max(length, 1e-6) for x in v])


def activations(features, classes, background, scale, centre, smooth):
    """cas [T, C + 1] of features [T, D], texts of classes [C, D] and of background [K, D]."""
    xs = [unit(f) for f in features]
    mean = sum(xs) / len(xs)
    zs = [unit(x - centre * mean) for x in xs] if centre else xs
    half, out = smooth // 2, []
    for t in range(len(zs)):
        near = zs[max(t - half, 0) : t + half + 1]

        def likeness(text, near=near):
            return scale * sum(float(np.dot(z, text)) for z in near) / len(near)

        logits = [likeness(c) for c in classes] + [max(likeness(b) for b in background)]
        top = max(logits)
        powers = [math.exp(v - top) for v in logits]
        out.append([p / sum(powers) for p in powers])
    return np.array(out)
