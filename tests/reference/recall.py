"""Average recall against the average number of proposals, as the ActivityNet toolkit defines it."""

from __future__ import annotations

import math

from .nms import tiou


def average_recall(truth, proposals, thresholds, max_average, steps):
    """(recall [thresholds][steps], proposals_per_video [steps]).

    truth: list of (video, start, end); proposals: list of (video, start, end, score).
    """
    for row in [*truth, *proposals]:
        if not all(map(math.isfinite, row[1:])) or row[2] < row[1]:
            raise ValueError(row)
    empty = [[0.0] * steps for _ in thresholds], [0.0] * steps
    videos = sorted({t[0] for t in truth})
    if not videos or not proposals:
        return empty
    average = max_average or len(proposals) / len(videos)
    ratio = average * len(videos) / len(proposals)
    kept = {}
    for v in videos:
        mine = [p for p in proposals if p[0] == v]
        mine.sort(key=lambda p: (-p[3], p[1], p[2]))
        kept[v] = mine[: int(min(len(mine) * ratio, len(mine)))]
    total = sum(map(len, kept.values()))
    if total == 0:
        return empty
    portions = [(j + 1) / steps * (average * len(videos) / total) for j in range(steps)]
    recall = []
    for threshold in thresholds:
        row = []
        for portion in portions:
            found = 0
            for v, start, end in truth:
                best = kept[v][: int(min(len(kept[v]) * portion, len(kept[v])))]
                found += any(tiou((start, end), p[1:3]) >= threshold for p in best)
            row.append(found / len(truth))
        recall.append(row)
    return recall, [p * (total / len(videos)) for p in portions]
