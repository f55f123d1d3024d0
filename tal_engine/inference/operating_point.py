"""Which score to trust: the threshold that detections should pass, chosen on labelled videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import FeatureError
from ..records import Segment


@dataclass(frozen=True)
class OperatingPoint:
    """A score threshold and what it gave on the videos it was chosen on."""

    min_score: float
    f1: float
    precision: float
    recall: float


def best_f1(
    truth: Mapping[str, Sequence[Segment]], found: Mapping[str, Sequence[Segment]], tiou: float
) -> OperatingPoint:
    """Find the threshold with the best F1 at a tIoU.

    Detections are taken by score; each is right if it overlaps a free true instance of its class
    by at least `tiou`, the best one first.

    Raises:
        FeatureError: no true instances or no detections.
    """
    positives = sum(len(t) for t in truth.values())
    ranked = sorted(((s.score, v, s) for v, segments in found.items() for s in segments), key=lambda r: -r[0])
    if not positives or not ranked:
        raise FeatureError(f"cannot choose a threshold from {positives} instances and {len(ranked)} detections")
    taken: set[tuple[str, int]] = set()
    right, best = 0, OperatingPoint(ranked[0][0], 0.0, 0.0, 0.0)
    for i, (score, video, s) in enumerate(ranked):
        near = [(overlap(s, t), k) for k, t in enumerate(truth.get(video, ())) if t.label == s.label]
        free = [(o, k) for o, k in near if o >= tiou and (video, k) not in taken]
        if free:
            taken.add((video, max(free)[1]))
            right += 1
        last_of_score = i + 1 == len(ranked) or ranked[i + 1][0] < score
        f1 = 2 * right / (i + 1 + positives)
        if last_of_score and f1 > best.f1:
            best = OperatingPoint(score, f1, right / (i + 1), right / positives)
    return best


def overlap(a: Segment, b: Segment) -> float:
    """Compute the temporal intersection over union of two segments."""
    inter = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    total = (a.end - a.start) + (b.end - b.start) - inter
    return inter / total if total > 0 else 0.0
