"""Slow twins of `tal_engine.pose`: the detector's decoding and suppression, the heat map's refinement, One-Euro.

Written from the texts that describe them (MediaPipe's configuration files; Casiez, Roussel, Vogel 2012), one number at
a time.
"""

from __future__ import annotations

import math


def anchors() -> list[tuple[float, float]]:
    found = []
    for cells, layers in ((28, 1), (14, 1), (7, 3)):
        for row in range(cells):
            for column in range(cells):
                for _ in range(2 * layers):
                    found.append(((column + 0.5) / cells, (row + 0.5) / cells))
    return found


def decode(boxes, scores, least):
    """Detections (score, [left, top, right, bottom], [[x, y], ...]) in pixels of the square, best first."""
    found = []
    for (cx, cy), values, raw in zip(anchors(), boxes, scores, strict=True):
        score = 1 / (1 + math.exp(-max(-100.0, min(100.0, float(raw[0])))))
        if score < least:
            continue
        x, y = float(values[0]) + cx * 224, float(values[1]) + cy * 224
        w, h = float(values[2]), float(values[3])
        points = [[float(values[4 + 2 * k]) + cx * 224, float(values[5 + 2 * k]) + cy * 224] for k in range(4)]
        found.append((score, [x - w / 2, y - h / 2, x + w / 2, y + h / 2], points))
    return sorted(found, key=lambda d: -d[0])


def shared(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    inner = w * h
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def one_each(found, overlap=0.3):
    """Weighted suppression: the best box swallows all that overlap it, at their mean weighted by score."""
    left, people = list(found), []
    while left:
        best = left[0]
        same = [d for d in left if d is best or shared(best[1], d[1]) > overlap]
        left = [d for d in left if all(d is not s for s in same)]
        total = sum(d[0] for d in same)
        box = [sum(d[0] * d[1][k] for d in same) / total for k in range(4)]
        points = [[sum(d[0] * d[2][p][k] for d in same) / total for k in range(2)] for p in range(4)]
        people.append((best[0], box, points))
    return people


def refined(point, heat):
    """One point (x, y) in [0, 1] moved to the centre of its heat map, rows of raw values, within three cells."""
    high, wide = len(heat), len(heat[0])
    if point[0] < 0 or point[1] < 0 or int(point[0] * wide) >= wide or int(point[1] * high) >= high:
        return point
    row, column = int(point[1] * high), int(point[0] * wide)
    total = x = y = best = 0.0
    for r in range(max(0, row - 3), min(high, row + 4)):
        for c in range(max(0, column - 3), min(wide, column + 4)):
            weight = 1 / (1 + math.exp(-heat[r][c]))
            total, x, y, best = total + weight, x + weight * c, y + weight * r, max(best, weight)
    return (x / wide / total, y / high / total) if best >= 0.5 else point


class OneEuro:
    """The filter of the paper, for one number."""

    def __init__(self, least_cutoff, beta, speed_cutoff):
        self.least_cutoff, self.beta, self.speed_cutoff = least_cutoff, beta, speed_cutoff
        self.time = None

    @staticmethod
    def alpha(rate, cutoff):
        tau, period = 1 / (2 * math.pi * cutoff), 1 / rate
        return 1 / (1 + tau / period)

    def __call__(self, x, t, scale=1.0):
        if self.time is None:
            self.raw = self.smooth = x
            self.speed = 0.0
        else:
            rate = 1 / (t - self.time)
            a = self.alpha(rate, self.speed_cutoff)
            self.speed = a * (x - self.raw) * rate / scale + (1 - a) * self.speed
            a = self.alpha(rate, self.least_cutoff + self.beta * abs(self.speed))
            self.smooth, self.raw = a * x + (1 - a) * self.smooth, x
        self.time = t
        return self.smooth
