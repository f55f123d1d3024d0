"""Fits the map of a plan's raw scores to [0, 1] on videos that its head was not trained on; NumPy, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..inference.operating_point import overlap
from ..metrics import calibration as metrics
from ..plan.score_fields import Logistic, ScoreCalibration
from ..records import Segment

Floats = NDArray[np.float64]
Truth = Mapping[str, Sequence[Segment]]


@dataclass(frozen=True)
class Outcomes:
    """Detections of several videos: score, whether it is right, and the number of its video, [n] each."""

    score: Floats
    right: NDArray[np.bool_]
    video: NDArray[np.int64]


def outcomes(truth: Truth, found: Mapping[str, Iterable[Segment]], tiou: float) -> Outcomes:
    """Match detections: in each video, best first, those are right that overlap a free instance of their class.

    Args:
        truth: instances by video.
        found: detections by video, with raw scores, all of them.
        tiou: least overlap.
    """
    rows: list[tuple[float, bool, int]] = []
    for number, (video, segments) in enumerate(found.items()):
        free = list(truth.get(video, ()))
        for s in sorted(segments, key=lambda s: -s.score):
            near = [(overlap(s, t), k) for k, t in enumerate(free) if t.label == s.label]
            best, k = max(near, default=(0.0, -1))
            rows.append((s.score, best >= tiou, number))
            if best >= tiou:
                del free[k]
    scores, right, numbers = (np.array([r[k] for r in rows]) for k in range(3))
    return Outcomes(scores.astype(np.float64), right.astype(np.bool_), numbers.astype(np.int64))


def platt(score: Floats, right: NDArray[np.bool_]) -> Logistic:
    """Fit the logistic map of largest likelihood; see `metrics.calibration.platt`.

    Raises:
        FeatureError: there are no right or no wrong detections, or higher scores are no better.
    """
    hits, misses = int(right.sum()), int((~right).sum())
    if not hits or not misses:
        raise FeatureError(f"cannot calibrate on {hits} right and {misses} wrong detections")
    slope, offset = metrics.platt(score, right)
    if slope <= 0:
        raise FeatureError(f"cannot calibrate: higher scores are no better (slope {slope:.3g})")
    return Logistic(slope=slope, offset=offset)


def fit_calibration(
    truth: Truth,
    found: Mapping[str, Iterable[Segment]],
    vocabulary: Iterable[str],
    *,
    tiou: float = 0.5,
    folds: int = 4,
    fitted_on: str = "",
) -> ScoreCalibration:
    """Fit one logistic map for all classes, and its calibration error on videos of folds that it was not fitted on.

    For sets too small to give each class its own map.

    Args:
        truth: see `outcomes`; of videos that the head was not trained on.
        found: see `outcomes`; of the same videos.
        tiou: see `outcomes`.
        vocabulary: classes of the plan.
        folds: of videos, for the error.
        fitted_on: in words, for `tal plan inspect`.

    Raises:
        FeatureError: see `platt`.
    """
    seen = outcomes(truth, found, tiou)
    whole = platt(seen.score, seen.right)
    held = np.zeros(len(seen.score))
    for fold in range(folds):
        mine = seen.video % folds == fold
        if mine.any():
            held[mine] = platt(seen.score[~mine], seen.right[~mine])(seen.score[mine])
    return ScoreCalibration(
        method="platt",
        classes=dict.fromkeys(vocabulary, whole),
        tiou=tiou,
        fitted_on=fitted_on,
        videos=len(found),
        segments=len(seen.score),
        ece=round(metrics.calibration_error(held, seen.right), 4),
    )
