"""Non-maximum suppression as the definition says: take the best, decay the rest, again."""

from __future__ import annotations

import math


def tiou(a, b):
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    total = (a[1] - a[0]) + (b[1] - b[0]) - inter
    return inter / total if total > 0 else 0.0


def suppress(start, end, score, label, options):
    """(indices, scores) of one video, best first; ties by start, end, input order."""
    n = len(start)
    for i in range(n):
        if not all(map(math.isfinite, (start[i], end[i], score[i]))) or end[i] < start[i]:
            raise ValueError(f"interval {i}")
    boxes = [(start[i], end[i] + options.length_offset) for i in range(n)]
    out = []
    for group in [None] if options.class_agnostic else sorted(set(label)):
        members = [i for i in range(n) if group is None or label[i] == group]
        members = [i for i in members if not score[i] < options.min_score]
        rule = {"gaussian": _gaussian, "linear": _linear}.get(options.kind, _hard)
        out += rule(members, boxes, score, options)
    out.sort(key=lambda r: (-r[1], start[r[0]], end[r[0]], r[0]))
    out = out[: options.top_k] if options.top_k else out
    return [i for i, _ in out], [s for _, s in out]


def counts(overlap, threshold, options):
    return overlap >= threshold if options.inclusive else overlap > threshold


def _hard(members, boxes, score, options):
    """Taken in order of score; what overlaps a better one is dropped, or comes out decayed once."""
    kept, out = [], []
    for i in sorted(members, key=lambda i: (-score[i], *boxes[i], i)):
        by = next((k for k in kept if counts(tiou(boxes[k], boxes[i]), options.threshold, options)), None)
        if by is None:
            kept.append(i)
            out.append((i, score[i]))
        elif options.kind == "suppressor":
            decayed = score[i] * math.exp(-(tiou(boxes[by], boxes[i]) ** 2) / options.sigma)
            if not decayed < options.min_score:
                out.append((i, decayed))
    return out


def _linear(members, boxes, score, options):
    left = {i: score[i] for i in members}
    out = []
    while left:
        best = min(left, key=lambda i: (-left[i], *boxes[i], i))
        out.append((best, left.pop(best)))
        for i in list(left):
            overlap = tiou(boxes[best], boxes[i])
            if counts(overlap, options.threshold, options):
                left[i] *= 1 - overlap
            if left[i] < options.min_score:
                del left[i]
    return out


def _gaussian(members, boxes, score, options):
    """A score is s * exp(-S / sigma), S the sum of tIoU^2 to the boxes taken before.

    Compared as log |s| - S / sigma with the sign of s: no product can underflow into a tie.
    """
    key = {i: math.log(abs(score[i])) if score[i] else 0.0 for i in members}
    out = []

    def rank(i):
        sign = int(score[i] > 0) - int(score[i] < 0)
        return (-sign, -sign * key[i], *boxes[i], i)

    while key:
        best = min(key, key=rank)
        own = key.pop(best)
        value = score[best] * math.exp(own - math.log(abs(score[best]))) if score[best] else score[best]
        if value < options.min_score:
            continue
        out.append((best, value))
        threshold = options.threshold + options.threshold_slope * (boxes[best][1] - boxes[best][0])
        for i in key:
            overlap = tiou(boxes[best], boxes[i])
            if counts(overlap, threshold, options):
                key[i] -= overlap * overlap * (1 / options.sigma)
    return out


def gaussian_by_products(members, boxes, score, sigma):
    """The usual form, one multiplication a pair: what published code does."""
    left = {i: score[i] for i in members}
    out = []
    while left:
        best = min(left, key=lambda i: (-left[i], *boxes[i], i))
        out.append((best, left.pop(best)))
        for i in left:
            left[i] *= math.exp(-(tiou(boxes[best], boxes[i]) ** 2) / sigma)
    return out
