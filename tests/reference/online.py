"""Average event detection delay as the definition says, one true instance and one detection at a time."""

from __future__ import annotations

import math

from .mean_ap import reaches
from .nms import tiou


def average_delay(truth, finals, threshold, inclusive=True):
    """(mean delay or NaN, hits).

    truth: list of (video, label, start, end). finals: list of (video, label, start, end, score, decided).
    """
    order = sorted(range(len(finals)), key=lambda i: (-finals[i][4], finals[i][2], finals[i][3], i))
    taken, delays = set(), []
    for i in order:
        video, label, start, end, _, decided = finals[i]
        best = None
        for j, (v, c, s, e) in enumerate(truth):
            if (v, c) != (video, label) or j in taken:
                continue
            shared = tiou((start, end), (s, e))
            if reaches(shared, threshold, inclusive) and (best is None or shared > best[0]):
                best = shared, j
        if best is not None:
            taken.add(best[1])
            delays.append(decided - truth[best[1]][3])
    return (math.fsum(delays) / len(delays) if delays else math.nan), len(delays)


def frame_ap(scores, right):
    """(AP, calibrated AP) of the frames of one class: every right frame looks at all that score as much or more."""
    positives = sum(right)
    if not positives:
        return math.nan, math.nan
    ratio = (len(right) - positives) / positives
    plain, calibrated = [], []
    for score, good in zip(scores, right, strict=True):
        if good:
            above = [r for s, r in zip(scores, right, strict=True) if s >= score]
            tp, fp = sum(above), len(above) - sum(above)
            plain.append(tp / (tp + fp))
            calibrated.append(tp / (tp + (fp / ratio if fp else 0)))
    return math.fsum(plain) / positives, math.fsum(calibrated) / positives


def point_ap(truth, told, offset):
    """Interpolated AP of one class. truth: list of (video, start). told: list of (video, moment, score)."""
    ranked = sorted(range(len(told)), key=lambda i: (-told[i][2], told[i][1], told[i][0], i))
    taken, hits = set(), []
    for i in ranked:
        near = [(abs(s - told[i][1]), j) for j, (v, s) in enumerate(truth) if v == told[i][0] and j not in taken]
        best = min(near, default=(math.inf, -1))
        hits.append(best[0] <= offset)
        if hits[-1]:
            taken.add(best[1])
    total = 0.0
    for k in range(len(hits)):
        if hits[k]:
            total += max(sum(hits[: j + 1]) / (j + 1) for j in range(k, len(hits)))
    return total / len(truth)


def start_delays(truth, told, early):
    """Delays of started events that are of an instance: (video, label, start, end); told: (video, label, moment)."""
    taken, delays = set(), []
    for i in sorted(range(len(told)), key=lambda i: (told[i][2], i)):
        video, label, moment = told[i]
        mine = [(s, j) for j, (v, c, s, e) in enumerate(truth)
                if (v, c) == (video, label) and s - early <= moment < e and j not in taken]  # fmt: skip
        if mine:
            start, j = min(mine)
            taken.add(j)
            delays.append(moment - start)
    return delays
