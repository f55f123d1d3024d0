"""Detections on held-out videos, each right or wrong by the kind of labels, and what is measured of that.

With segments a detection is right if it overlaps a free instance of its class by tIoU 0.5, the best one first. With
points it is right if it holds a free point of its class, the nearest to its middle first. With labels of videos there
are no times to be right about: of each video and class only the best detection counts, and it is right if the video
has the class. Nothing of the latter says how well actions are found *in time*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...annotations.labels import Kind, VideoLabels
from ...annotations.points import Point
from ...annotations.tables import Table
from ...inference.operating_point import overlap
from ...records import Segment

#: Overlap that makes a detection right where segments are known.
TIOU = 0.5


@dataclass(frozen=True)
class Outcomes:
    """n detections and whether each is right; label, video and fold are positions and numbers.

    positives: true instances, points or videos by class and video, [classes, videos]. hours: of each video.
    """

    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    label: NDArray[np.int64]
    video: NDArray[np.int64]
    positives: NDArray[np.int64]
    hours: NDArray[np.float64]

    def of_class(self, c: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
        """Take scores, whether they are right, and the positives of a class."""
        mine = self.label == c
        return self.score[mine], self.right[mine], int(self.positives[c].sum())

    def on(self, videos: NDArray[np.bool_]) -> Outcomes:
        """Take the part on some videos, which keep their numbers."""
        mine = videos[self.video]
        rows = (self.score[mine], self.right[mine], self.label[mine], self.video[mine])
        return Outcomes(*rows, self.positives * videos, self.hours * videos)


def outcomes_of(
    found: Table, items: Sequence[VideoLabels], vocabulary: Sequence[str], kind: Kind, seconds: Mapping[str, float]
) -> Outcomes:
    """Judge the detections of videos.

    Args:
        found: detections; its labels are the vocabulary's, in any order.
        items: the videos with their labels.
        vocabulary: the classes, whose positions are `Outcomes.label`.
        kind: what the labels are.
        seconds: duration of each video.
    """
    place = {name: i for i, name in enumerate(vocabulary)}
    by_video = _by_video(found)
    rows: list[tuple[float, bool, int, int]] = []
    positives = np.zeros((len(vocabulary), len(items)), np.int64)
    for v, item in enumerate(items):
        mine = by_video.get(item.name, [])
        for c, name in enumerate(vocabulary):
            of_class = sorted((s for s in mine if s.label == name), key=lambda s: (-s.score, s.start, s.end))
            right, positives[c, v] = _judged(of_class, item, name, kind)
            rows += [(s.score, r, place[name], v) for s, r in zip(of_class, right, strict=False)]
    score, ok, label, video = zip(*rows, strict=True) if rows else ((), (), (), ())
    hours = np.array([seconds[item.name] for item in items]) / 3600
    return Outcomes(
        np.array(score, np.float64), np.array(ok, bool), np.array(label, np.int64), np.array(video, np.int64),
        positives, hours,
    )  # fmt: skip


def _by_video(found: Table) -> dict[str, list[Segment]]:
    out: dict[str, list[Segment]] = {}
    columns = (found.video, found.label, found.start, found.end, found.score)
    for v, c, start, end, score in zip(*(x.tolist() for x in columns), strict=True):
        out.setdefault(found.videos[v], []).append(Segment(start, end, found.labels[c], score))
    return out


def _judged(ranked: Sequence[Segment], item: VideoLabels, label: str, kind: Kind) -> tuple[list[bool], int]:
    """Judge each detection of a class, best first; and say how many could be right."""
    if kind == "video":
        return [label in item.labels] * min(len(ranked), 1), int(label in item.labels)
    if kind == "point":
        points = [p for p in item.points if p.label == label]
        return _hits(ranked, points), len(points)
    true = [s for s in item.segments if s.label == label]
    return _overlapping(ranked, true), len(true)


def _hits(ranked: Sequence[Segment], points: Sequence[Point]) -> list[bool]:
    """Find which detections hold a point that no better one took."""
    free, out = list(points), []
    for s in ranked:
        inside = [p for p in free if s.start <= p.seconds <= s.end]
        if inside:
            free.remove(min(inside, key=lambda p: abs(p.seconds - (s.start + s.end) / 2)))
        out.append(bool(inside))
    return out


def _overlapping(ranked: Sequence[Segment], true: Sequence[Segment], tiou: float = TIOU) -> list[bool]:
    """Find which detections overlap an instance that no better one took."""
    free, out = list(true), []
    for s in ranked:
        best = max(free, key=lambda t: overlap(s, t), default=None)
        hit = best is not None and overlap(s, best) >= tiou
        if best is not None and hit:
            free.remove(best)
        out.append(hit)
    return out


def average_precision(score: NDArray[np.float64], right: NDArray[np.bool_], positives: int) -> float:
    """Measure the area under the precision envelope over recall (`metrics`' "interpolated"); NaN without positives.

    Of equal scores wrong ones count first, so that ties gain nothing.

    >>> average_precision(np.array([0.9, 0.5, 0.4]), np.array([True, False, True]), 2)
    0.8333333333333333
    """
    if not positives:
        return float("nan")
    order = np.lexsort((right, -score))
    hit = right[order]
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hit].sum() / positives)


def mean_ap(outcomes: Outcomes, classes: int) -> float:
    """Average over the classes that have positives; NaN if none has."""
    found = [average_precision(*outcomes.of_class(c)) for c in range(classes)]
    known = [x for x in found if x == x]
    return float(np.mean(known)) if known else float("nan")
