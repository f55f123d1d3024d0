"""The two evaluation kits of THUMOS14, from first principles: one class, one threshold, loops only.

first   TH14eventdetpr.m of TH14evalkit: true positives of all videos are listed before all others, then sorted stably
        by score; AP is the mean of the best precision at 11 recalls.
later   TH14evalDet_Updated.m: detections of the videos in the order of their names, then sorted stably by score; AP is
        the sum of precisions at true positives over the number of instances.
"""

from __future__ import annotations

from fractions import Fraction

from .nms import tiou


def of_video(truth, found, doubtful, threshold):
    """(score, right) of the detections of a video that count, best first; found is in listed order."""
    ranked = sorted(found, key=lambda d: -d[2])  # stable: equal scores as listed
    free = [True] * len(ranked)
    for start, end in truth:
        candidates = [i for i in range(len(ranked)) if free[i]]
        if not candidates:
            break
        best = max(candidates, key=lambda i: tiou((start, end), ranked[i][:2]))  # the first of equals
        if tiou((start, end), ranked[best][:2]) > threshold:
            free[best] = False
    out = []
    for d, unmatched in zip(ranked, free, strict=True):
        touches = any(min(d[1], e) - max(d[0], s) > 0 for s, e in doubtful)
        if not unmatched or not touches:
            out.append((d[2], not unmatched))
    return out


def average_precision(kit, truth, found, doubtful, threshold):
    """AP of one class.

    truth: (video, start, end) as listed. found: (video, start, end, score) as listed. doubtful: (video, start, end).
    """
    counted = []
    for video in sorted({r[0] for r in [*truth, *found]}):
        parts = ([r[1:] for r in rows if r[0] == video] for rows in (truth, found, doubtful))
        counted += of_video(*parts, threshold)
    if kit == "first":
        counted.sort(key=lambda r: not r[1])
    counted.sort(key=lambda r: -r[0])
    right = [r[1] for r in counted]
    precision = [Fraction(sum(right[: k + 1]), k + 1) for k in range(len(right))]
    if kit == "later":
        return float(sum((p for p, r in zip(precision, right, strict=True) if r), Fraction(0)) / len(truth))
    recall = [Fraction(sum(right[: k + 1]), len(truth)) for k in range(len(right))]
    total = Fraction(0)
    for level in range(11):
        total += max((p for p, r in zip(precision, recall, strict=True) if r >= Fraction(level, 10)), default=0)
    return float(total / 11)
