"""Segmental F1 at an overlap: how action segmentation scores segments.

Definition of Lea et al. (Temporal Convolutional Networks for Action Segmentation and Detection, CVPR 2017): each found
segment, in the order of time, looks at the true one of its class that it overlaps most; it is right if the overlap
(IoU) is at least the threshold and no earlier one took it. Background is no class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..records import Segment

#: The overlaps that are printed, in percent.
PERCENTS = (10, 25, 50)


def segmental_f1(truth: Mapping[str, Sequence[Segment]], found: Mapping[str, Sequence[Segment]], tiou: float) -> float:
    """Measure F1 over all videos, in [0, 1]; 1 where there is nothing to find and nothing was found.

    Args:
        truth: true segments by video.
        found: found segments by video; of an action segmentation they do not overlap each other.
        tiou: least overlap of a hit.

    >>> segmental_f1({"v": [Segment(0, 10, "run", 1)]}, {"v": [Segment(0, 6, "run", 1)]}, 0.5)
    1.0
    """
    hits = positives = count = 0
    for name in {*truth, *found}:
        true, mine = list(truth.get(name, ())), sorted(found.get(name, ()))
        hits += _hits(true, mine, tiou)
        positives, count = positives + len(true), count + len(mine)
    return 2 * hits / (positives + count) if positives + count else 1.0


def _hits(true: Sequence[Segment], found: Sequence[Segment], tiou: float) -> int:
    taken: set[int] = set()
    for s in found:
        same = [(_overlap(s, t), -i) for i, t in enumerate(true) if t.label == s.label]
        if not same:
            continue
        best, place = max(same)
        if best >= tiou and -place not in taken:
            taken.add(-place)
    return len(taken)


def _overlap(a: Segment, b: Segment) -> float:
    inter = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    union = (a.end - a.start) + (b.end - b.start) - inter
    return inter / union if union > 0 else 0.0


def one_at_a_time(found: Sequence[Segment], most: float = 0.5) -> list[Segment]:
    """Make a segmentation of detections: best first, without those that better ones cover for more than a share.

    Args:
        found: detections of one video, of all classes.
        most: share of a detection that better ones may cover.

    Returns:
        What is left, in the order of time.
    """
    kept: list[Segment] = []
    for s in sorted(found, key=lambda x: -x.score):
        covered = sum(max(0.0, min(s.end, k.end) - max(s.start, k.start)) for k in kept)
        if covered <= most * (s.end - s.start):
            kept.append(s)
    return sorted(kept)
