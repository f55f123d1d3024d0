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
