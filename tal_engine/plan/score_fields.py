"""What the scores of a plan mean: maps of raw scores to [0, 1] and least scores, class by class.

A raw score orders the segments of one class and means nothing else. Calibrated, a score of 0.7 says that of segments
with such scores 70 % are right: they overlap a true instance of their class by `ScoreCalibration.tiou` or more. Maps
rise, so the order within a class stays as it was; between classes it may change. See docs/scores.md.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from .fields import Count, Name, Strict

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A number of a plan's scores, and a share.
Finite = Annotated[float, pydantic.Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Share = Annotated[float, pydantic.Field(allow_inf_nan=False, ge=0, le=1)]

#: By how much a map of knots rises in all where it is level: less than any calibration is true to.
_RISE = 1e-4
#: Halvings of an interval of float64 after which its ends are neighbours.
_HALVINGS = 200
#: Raw scores between which a map is inverted.
_LARGEST = 1e12


class Knots(Strict):
    """A map that is linear between knots and level beyond them.

    Where it is level, a rise of `_RISE` in all keeps the order of scores that would be equal.
    """

    raw: Annotated[list[Finite], pydantic.Field(min_length=2, max_length=1000)]
    calibrated: Annotated[list[Share], pydantic.Field(min_length=2, max_length=1000)]

    @pydantic.model_validator(mode="after")
    def _rising(self) -> Knots:
        if len(self.raw) != len(self.calibrated):
            raise ValueError(f"{len(self.raw)} raw scores and {len(self.calibrated)} calibrated ones, must be as many")
        for before, after in pairwise(self.raw):
            if not after > before:
                raise ValueError(f"raw goes from {before!r} to {after!r}, must rise from knot to knot")
        for before, after in pairwise(self.calibrated):
            if after < before:
                raise ValueError(f"calibrated goes from {before!r} to {after!r}, must not fall from knot to knot")
        return self

    def __call__(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrate scores to [0, 1]; a larger raw score never gives a smaller one. NaN and infinities stay."""
        x, y = np.asarray(self.raw), np.asarray(self.calibrated)
        known = np.where(np.isfinite(raw), raw, 0.0)
        at = np.clip(np.searchsorted(x, known, "right") - 1, 0, len(x) - 2)
        share = np.clip((known - x[at]) / (x[at + 1] - x[at]), 0, 1)
        # Not `np.interp`, which may pass the right knot by a rounding error and so turn two scores round.
        level = np.minimum(y[at] + (y[at + 1] - y[at]) * share, y[at + 1])
        z = (known - (x[0] + x[-1]) / 2) / (x[-1] - x[0])
        return np.where(np.isfinite(raw), (1 - _RISE) * level + _RISE * (0.5 + 0.5 * z / (1 + np.abs(z))), raw)


class Logistic(Strict):
    """1 / (1 + exp(-(slope * raw + offset))): Platt scaling; temperature T where slope is 1 / T and offset 0."""

    slope: Annotated[float, pydantic.Field(gt=0, le=1e12, allow_inf_nan=False)]
    offset: Finite = 0.0

    def __call__(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrate scores to [0, 1]. NaN and infinities stay."""
        z = self.slope * np.asarray(raw, np.float64) + self.offset
        small = np.exp(-np.abs(z))
        out = np.where(z >= 0, 1 / (1 + small), small / (1 + small))
        return np.where(np.isfinite(raw), out, raw)


def _kind(value: Any) -> str:
    """Return the kind of a map: the logistic one has a slope."""
    logistic = "slope" in value if isinstance(value, dict) else isinstance(value, Logistic)
    return "logistic" if logistic else "knots"


ScoreMap = Annotated[
    Annotated[Knots, pydantic.Tag("knots")] | Annotated[Logistic, pydantic.Tag("logistic")],
    pydantic.Discriminator(_kind),
]


def least_raw(score_map: Knots | Logistic, calibrated: float) -> float:
    """Return the least raw score whose calibrated one is at least `calibrated`; infinite where none or all are.

    >>> round(least_raw(Logistic(slope=2.0), 0.5), 6) == 0
    True
    """
    low, high = -_LARGEST, _LARGEST
    if score_map(np.asarray([low]))[0] >= calibrated:
        return -math.inf
    if not score_map(np.asarray([high]))[0] >= calibrated:
        return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if score_map(np.asarray([middle]))[0] >= calibrated else (middle, high)
    return high


class ScoreCalibration(Strict):
    """A map for each class, how it was fitted, and how well it holds.

    tiou: what counts as right. videos, segments: how many it was fitted on. ece: expected calibration error in
    [0, 1] on segments that no map was fitted on, such as those of held-out folds; None where it was not measured.
    """

    method: Literal["isotonic", "platt", "temperature", "mixed"]
    classes: Annotated[dict[Name, ScoreMap], pydantic.Field(min_length=1)]
    tiou: Annotated[float, pydantic.Field(gt=0, le=1, allow_inf_nan=False)] = 0.5
    fitted_on: str = ""
    videos: Count = 0
    segments: Count = 0
    ece: Share | None = None


class ScoreThresholds(Strict):
    """The least score of each class: calibrated where the plan calibrates, raw where it does not.

    Classes that are not named have the plan's operating point. chosen_for: the best F1, or so many false alarms an
    hour, `false_alarms_per_hour`, or "operating_point": an operating point of raw scores, carried over.
    """

    classes: Annotated[dict[Name, Finite], pydantic.Field(min_length=1)]
    chosen_for: Literal["f1", "false_alarms_per_hour", "operating_point"]
    false_alarms_per_hour: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] | None = None
    fitted_on: str = ""
    videos: Count = 0

    @pydantic.model_validator(mode="after")
    def _target(self) -> ScoreThresholds:
        if (self.chosen_for == "false_alarms_per_hour") != (self.false_alarms_per_hour is not None):
            raise ValueError(
                f"chosen_for is {self.chosen_for!r} and false_alarms_per_hour {self.false_alarms_per_hour!r}: "
                "the number belongs to 'false_alarms_per_hour', and to nothing else"
            )
        return self


def check_scores(
    vocabulary: Iterable[str],
    calibration: ScoreCalibration | None,
    thresholds: ScoreThresholds | None,
    min_score: float,
) -> None:
    """Refuse what does not go together.

    Raises:
        ValueError: naming the class or the number.
    """
    known = list(vocabulary)
    for what, part in (("calibration", calibration), ("thresholds", thresholds)):
        unknown = [] if part is None else sorted(set(part.classes) - set(known))
        if unknown:
            raise ValueError(f"{what}: class {unknown[0]!r} is not in the vocabulary: {', '.join(known)}")
    if calibration is None:
        return
    if missing := [name for name in known if name not in calibration.classes]:
        raise ValueError(f"calibration: class {missing[0]!r} has no map; all have one or none has")
    for name, least in () if thresholds is None else thresholds.classes.items():
        if not 0 <= least <= 1:
            raise ValueError(f"thresholds: {name!r} has {least!r}, must be in [0, 1] as scores are calibrated")
    if min_score > 1:
        raise ValueError(f"segment.min_score is {min_score!r}, must be at most 1 as scores are calibrated")
