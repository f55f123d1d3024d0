"""Attention weighting and losses of VLC as its paper and public code write them: loops over plain numbers."""

from __future__ import annotations

import math

import numpy as np


def softmax(row):
    e = np.exp(np.array(row) - max(row))
    return e / e.sum()


def weighted(logits, weight, allowed, rule):
    """Rows of logits [M][T]; weight [T]; allowed [M][T]. "inside" or "after" the softmax."""
    rows = []
    for line, open_ in zip(logits, allowed, strict=True):
        at = [t for t in range(len(line)) if open_[t]]
        if rule == "inside":
            p = softmax([line[t] * weight[t] for t in at])
        else:
            p = softmax([line[t] for t in at]) * np.array([weight[t] for t in at])
            p = p / p.sum()
        row = np.zeros(len(line))
        row[at] = p
        rows.append(row)
    return np.array(rows)


def attention(x, memory, layers, heads, weight, allowed, rule):
    """Multi-head attention of x [M, D] to memory [T, D]; layers: (matrix, bias) of query, key, value, out."""
    q, k, v = (np.asarray(s) @ w.T + b for s, (w, b) in zip((x, memory, memory), layers[:3], strict=True))
    size = q.shape[1] // heads
    out = []
    for h in range(heads):
        at = slice(h * size, (h + 1) * size)
        p = weighted(q[:, at] @ k[:, at].T / math.sqrt(size), weight, allowed, rule)
        out.append(p @ v[:, at])
    return np.concatenate(out, 1) @ layers[3][0].T + layers[3][1]


def sentence_loss(logits, words, smoothing, rule):
    """Loss of one sentence: logits [M][V], the right words [M]; "sum" (Eq. 9) or "mean"."""
    total = 0.0
    for row, word in zip(logits, words, strict=True):
        logs = np.log(softmax(row))
        total += (1 - smoothing) * -logs[word] + smoothing / len(row) * -logs.sum()
    return total if rule == "sum" else total / len(words)


def contrast(kept, whole, rest, first, second):
    """Eq. 10, mean over videos."""
    pairs = zip(kept, whole, rest, strict=True)
    return float(np.mean([max(k - w + first, 0) + max(k - r + second, 0) for k, w, r in pairs]))


def disagreement(a, b, rule):
    """Eq. 11 and Table 5, one direction: a learns from b."""
    values = []
    for x, y in zip(np.ravel(a), np.ravel(b), strict=True):
        if rule == "kl":
            values.append(y * math.log(y / x) + (1 - y) * math.log((1 - y) / (1 - x)))
        else:
            values.append((x - y) ** 2 if rule == "mse" else abs(x - y))
    return float(np.mean(values))
