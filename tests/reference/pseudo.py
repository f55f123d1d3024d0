"""Ternary pseudo-labels and the two losses on them, loop by loop (CBP + VLP, Eq. 4, 6, 7)."""

from __future__ import annotations

import math

import numpy as np


def ternary(p, y, high, low, mask):
    """p [B][T][C], y [B][C], mask [B][T]."""
    b, t, c = p.shape
    h = np.full((b, t, c), -1.0)
    for i in range(b):
        for j in range(t):
            for k in range(c):
                if not mask[i, j]:
                    continue
                if y[i, k] and p[i, j, k] > high:
                    h[i, j, k] = 1
                elif not y[i, k] or p[i, j, k] < low:
                    h[i, j, k] = 0
    return h


def distillation(h, p, over):
    """KL of Bernoulli(h) from Bernoulli(p), summed over confident ones, by the number of labels or of snippets."""
    total, labels, snippets = 0.0, 0, 0
    for row_h, row_p in zip(h.reshape(-1, h.shape[-1]), p.reshape(-1, p.shape[-1]), strict=True):
        whole = all(a >= 0 for a in row_h)
        snippets += whole
        if over == "frames" and not whole:
            continue
        for a, b in zip(row_h, row_p, strict=True):
            if a >= 0:
                labels += 1
                total += sum(x * math.log(x / q) for x, q in ((a, b), (1 - a, 1 - b)) if x > 0)
    return total / (labels if over == "pairs" else snippets)


def contrast(f, h, tau, similarity, reduction):
    """Eq. 7 over all anchors that have a positive; 0 where there are none, or no background."""
    f = f.reshape(-1, f.shape[-1])
    if similarity == "cosine":
        f = f / np.linalg.norm(f, axis=1, keepdims=True)
    h = h.reshape(-1, h.shape[-1])
    background = [j for j in range(len(f)) if all(v == 0 for v in h[j])]
    losses = []
    for c in range(h.shape[1]):
        same = [i for i in range(len(f)) if h[i, c] == 1]
        for i in same:
            positives = sum(math.exp(f[i] @ f[m] / tau) for m in same if m != i)
            if positives and background:
                negatives = sum(math.exp(f[i] @ f[j] / tau) for j in background)
                losses.append(-math.log(positives / (positives + negatives)))
    if not losses:
        return 0.0
    return float(np.sum(losses) if reduction == "sum" else np.mean(losses))
