"""Proposals straight from the definitions of methods.md 1.5, 1.6 and 1.8."""

from __future__ import annotations

import math

import numpy as np


def upsample(x, factor):
    """Linear interpolation at 0, 1/factor, ... < N; past the last point the last slope goes on."""
    n = len(x)
    if factor == 1 or n == 1:
        return np.repeat(np.asarray(x, float), factor)
    out = []
    for i in range(n * factor):
        left = min(i // factor, n - 2)
        position = i / factor - left
        out.append(float(x[left]) + (float(x[left + 1]) - float(x[left])) * position)
    return np.array(out)


def scaled(x, rule):
    x = [float(v) for v in x]
    low, high = min(x), max(x)
    if rule == "none":
        return x
    if rule == "minmax":
        return [(v - low) / (high - low) if high > low else 0.0 for v in x]
    low, high = max(low, 0.0), max(high, 0.0)
    span = high - low if high - low > 0 else 1.0
    return [min(max((v - low) / span, 0.0), 1.0) for v in x]


def video_scores(cas, options):
    t, columns = cas.shape
    classes = columns - options.background
    if t == 0:
        return np.zeros(classes)
    k = max(1, t // options.topk_ratio)
    logits = np.array([np.mean(sorted(cas[:, c].astype(float), reverse=True)[:k]) for c in range(columns)])
    if options.class_score == "sigmoid":
        with np.errstate(over="ignore"):
            return (1 / (1 + np.exp(-logits)))[:classes]
    e = np.exp(logits - logits.max())
    return (e / e.sum())[:classes]


def groups(sequence, threshold):
    """Runs of sequence > threshold as (first, last), both included."""
    found, start = [], None
    for i, v in enumerate(sequence):
        if v > threshold and start is None:
            start = i
        if v <= threshold and start is not None:
            found.append((start, i - 1))
            start = None
    if start is not None:
        found.append((start, len(sequence) - 1))
    return found


def contrast(w, s, e, outer_ratio):
    n = e - s + 1
    outer_s = max(0, int(s - outer_ratio * n)) if s - outer_ratio * n > 0 else 0
    outer_e = int(min(len(w) - 1, e + outer_ratio * n))
    outer = [w[i] for i in range(outer_s, s)] + [w[i] for i in range(e + 1, outer_e + 1)]
    return math.fsum(w[s : e + 1]) / n - (math.fsum(outer) / len(outer) if outer else 0.0)


def propose(cas, attention, options, video=None):
    """List of (start, end, score, label) of one video, options as tal_engine.options.ProposalOptions."""
    if video is not None and not np.isfinite(video).all():
        raise ValueError("not finite")
    if not np.isfinite(cas).all() or (attention is not None and not np.isfinite(attention).all()):
        raise ValueError("not finite")
    if len(cas) == 0:
        return []
    p = video_scores(cas, options) if video is None else video
    kept = [c for c in range(len(p)) if p[c] >= options.class_threshold]
    if not kept and options.class_fallback:
        kept = [int(np.argmax(p))]
    out = []
    for source in options.sources:
        if source.of == "attention" and attention is None:
            continue
        for c in kept:
            sequence = cas[:, c] if source.of == "cas" else attention
            cut = upsample(scaled(sequence, source.scale), options.upsample)
            w = upsample(scaled(cas[:, c], source.score_scale), options.upsample)
            for threshold in source.thresholds:
                found = groups(cut, threshold)
                if options.compat_any and found == [(0, 0)]:
                    found = []
                for s, e in found:
                    if e - s + 1 < options.min_length:
                        continue
                    inside = (
                        contrast(w, s, e, source.outer_ratio) if source.scoring == "contrast" else max(w[s : e + 1])
                    )
                    score = inside + source.class_weight * p[c]
                    out.append((s / options.upsample, (e + 1) / options.upsample, score, c))
    return out
