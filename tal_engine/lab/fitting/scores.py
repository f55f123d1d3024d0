"""Calibration and thresholds of a plan, fitted on held-out videos, and how well both hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...metrics.calibration import CalibrationError, judged_error, reliability
from ...plan.score_fields import Knots, ScoreCalibration, ScoreMap, ScoreThresholds
from .calibration import applied, cross_fitted, curves_by_class
from .held_out import HeldOut
from .outcomes import TIOU, Outcomes
from .thresholds import Threshold, at, best_f1, for_false_alarms

#: A class with fewer labels has the threshold of all classes together: its own would follow chance.
OWN_THRESHOLD_FROM = 8


@dataclass(frozen=True)
class Scores:
    """A curve and a threshold for each class, in the order of the classes; thresholds are of probabilities.

    whole, shown: calibration error by curves that were fitted on the other folds, pooled over the folds: of all
    detections, and of those that reach their threshold. bins, bins_shown: the same in their parts.
    """

    curves: tuple[ScoreMap, ...]
    thresholds: tuple[Threshold, ...]
    whole: CalibrationError
    shown: CalibrationError
    bins: tuple[tuple[float, float, int], ...]
    bins_shown: tuple[tuple[float, float, int], ...]

    @property
    def error(self) -> float:
        """The expected calibration error of all detections."""
        return self.whole.found

    @property
    def outcomes(self) -> int:
        """How many detections there are."""
        return self.whole.outcomes

    @property
    def how(self) -> str:
        """How curves were fitted: one way, or both."""
        return " and ".join(sorted({"isotonic" if isinstance(c, Knots) else "logistic" for c in self.curves}))

    def document(self, classes: tuple[str, ...], per_hour: float | None) -> dict[str, Any]:
        """Make plain data for JSON."""
        return {
            "how": self.how,
            "error": _finite(self.error),
            "whole": {k: _finite(v) for k, v in self.whole._asdict().items()},
            "shown": {k: _finite(v) for k, v in self.shown._asdict().items()},
            "bins": [list(b) for b in self.bins],
            "bins_shown": [list(b) for b in self.bins_shown],
            "outcomes": self.outcomes,
            "curves": {c: x.model_dump() for c, x in zip(classes, self.curves, strict=True)},
            "chosen_for": "f1" if per_hour is None else "false_alarms_per_hour",
            "false_alarms_per_hour": per_hour,
            "thresholds": {c: t._asdict() for c, t in zip(classes, self.thresholds, strict=True)},
        }

    def for_plan(self, held: HeldOut, per_hour: float | None) -> tuple[ScoreCalibration, ScoreThresholds]:
        """Give the same as a plan carries it."""
        meaning = {
            "video": "the best detection of a class in a video; right: the video has the class",
            "point": "detections; right: a clicked moment of the class lies inside",
            "segment": "detections; right: a segment of the class overlaps by tiou or more",
        }[held.kind]
        on = f"{len(held.videos)} held-out videos of tal fit; {meaning}"
        some_knots = any(isinstance(c, Knots) for c in self.curves)
        calibration = ScoreCalibration(
            method="isotonic" if some_knots else "platt", classes=dict(zip(held.vocabulary, self.curves, strict=True)),
            tiou=TIOU, fitted_on=on, videos=len(held.videos), segments=self.outcomes, ece=_finite(self.error),
        )  # fmt: skip
        thresholds = ScoreThresholds(
            classes={c: t.score for c, t in zip(held.vocabulary, self.thresholds, strict=True)},
            chosen_for="f1" if per_hour is None else "false_alarms_per_hour", false_alarms_per_hour=per_hour,
            fitted_on=on, videos=len(held.videos),
        )  # fmt: skip
        return calibration, thresholds


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None


def fitted_scores(held: HeldOut, outcomes: Outcomes, per_hour: float | None = None) -> Scores:
    """Fit curves and thresholds from detections on held-out videos.

    Args:
        held: the detections.
        outcomes: each right or wrong.
        per_hour: false alarms an hour, of all classes together; None takes the best F1.

    Raises:
        FeatureError: there are no detections.
    """
    n = len(held.vocabulary)
    score, right, label = outcomes.score, outcomes.right, outcomes.label
    curves = curves_by_class(score, right, label, n)
    probability = applied(curves, score, label)
    honest = cross_fitted(score, right, label, held.fold[outcomes.video], n)
    hours = [held.hours_of(c) for c in held.vocabulary]
    thresholds = _thresholds(outcomes, probability, hours, per_hour)
    least = np.array([t.score for t in thresholds])
    shown = honest >= least[label] if len(label) else np.zeros(0, bool)
    return Scores(
        tuple(curves), tuple(thresholds), judged_error(honest, right), judged_error(honest[shown], right[shown]),
        tuple(reliability(honest, right)), tuple(reliability(honest[shown], right[shown])),
    )  # fmt: skip


def _thresholds(
    outcomes: Outcomes, probability: NDArray[np.float64], hours: Sequence[float], per_hour: float | None
) -> list[Threshold]:
    """Choose for each class; classes share false alarms evenly, so that all together keep to the number.

    A class of which no detection is right, whatever its score, has a threshold above all of them: it would only make
    false alarms.
    """
    positives = outcomes.positives.sum(axis=1)
    together = best_f1(probability, outcomes.right, int(positives.sum()), max(hours)).score
    out = []
    for c, length in enumerate(hours):
        mine = outcomes.label == c
        given = (probability[mine], outcomes.right[mine], int(positives[c]), length)
        if per_hour is not None:
            out.append(for_false_alarms(*given, per_hour / len(hours)))
        elif positives[c] < OWN_THRESHOLD_FROM and outcomes.right[mine].any():
            out.append(at(together, *given))
        else:
            out.append(best_f1(*given))
    return [t._replace(score=float(min(t.score, 1.0))) for t in out]
