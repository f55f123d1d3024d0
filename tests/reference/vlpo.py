"""VLPO's losses and pseudo-labels straight from the equations of the paper, one video at a time, in loops."""

from __future__ import annotations

import math

import numpy as np


def softmax(x):
    e = [math.exp(v - max(x)) for v in x]
    return [v / sum(e) for v in e]


def cosine(a, b):
    return float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))


def top_indices(x, ratio):
    """Of a sequence, the max(1, T // ratio) largest; of equals the earlier."""
    return set(sorted(range(len(x)), key=lambda i: (-x[i], i))[: max(1, len(x) // ratio)])


def actionness_loss(scores, positives, q):
    """Eq. 1."""

    def side(indices, of):
        return sum((1 - of(scores[i]) ** q) / q for i in indices) / len(indices) if indices else 0.0

    negatives = set(range(len(scores))) - positives
    return side(positives, lambda s: s) + side(negatives, lambda s: 1 - s)


def preferences(video, text, project_video, project_text):
    """M^t and M^v of Eq. 3, norm = cosine; the projections are functions of one vector."""
    m_t = [[cosine(x, (t + project_text(t)) / 2) for t in text] for x in video]
    m_v = [[cosine((x + project_video(x)) / 2, t) for t in text] for x in video]
    return np.array(m_t), np.array(m_v)


def kl_loss(m_t, m_v, temperature):
    """Eq. 4, mean over snippets and classes."""
    total = 0.0
    for a, b in zip(m_t, m_v, strict=True):
        p, q = softmax(a / temperature), softmax(b / temperature)
        total += sum(x * math.log(x / y) + y * math.log(y / x) for x, y in zip(p, q, strict=True)) / 2
    return total / m_t.size


def hybrid(a, s, y):
    """Eq. 5: a [T, C], s [T], y [C]."""
    return np.array([[a[i, c] + (s[i] if y[c] else 1 - s[i]) for c in range(len(y))] for i in range(len(s))])


def video_loss(logits, y):
    p = softmax(logits)
    return -sum(math.log(p[c]) * y[c] / (sum(y) + 1e-4) for c in range(len(y)))


def selected_mean(values, chooser, ratio):
    """Mean over each class's idx, which `chooser` gives and `values` fill (Eq. 6)."""
    columns = range(values.shape[1])
    return [float(np.mean([values[i, c] for i in top_indices(list(chooser[:, c]), ratio)])) for c in columns]


def normalised(m):
    """M over time, in [0, 1] per class."""
    out = np.zeros_like(m)
    for c in range(m.shape[1]):
        low, high = min(m[:, c]), max(m[:, c])
        out[:, c] = [(v - low) / (high - low) if high > low else 0.0 for v in m[:, c]]
    return out


def snippet_labels(m, y, high):
    """b of Eq. 7."""
    own = [c for c in range(len(y)) if y[c]]
    b = np.full(m.shape, 1 / len(y))
    for i, row in enumerate(m):
        best = max(own, key=lambda c: row[c])
        if row[best] > high:
            b[i] = [float(c == best) for c in range(len(y))]
    return b


def snippet_loss(cas, b):
    """Eq. 7."""
    return -sum(b[i, c] * math.log(softmax(cas[i])[c]) for i in range(len(cas)) for c in range(len(b[i]))) / len(cas)


def refined_positives(s, m, y, ratio, low, high):
    """C_p of Eq. 9 to 12."""
    confidence = [max(row[c] for c in range(len(y)) if y[c]) for row in m]
    sure = {i for i, v in enumerate(confidence) if v > high}
    never = {i for i, v in enumerate(confidence) if v < low}
    return (top_indices(s, ratio) - never) | sure
