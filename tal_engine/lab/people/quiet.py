"""Thresholds that keep a plan quiet about what it does not know, and how much of what it knows that costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..fitting.outcomes import Outcomes
from ..fitting.thresholds import at

Floats = NDArray[np.float64]


def quiet(
    outcomes: Outcomes, probability: Floats, floor: Sequence[float], strangers: Floats, *, named: float, keep: float
) -> list[float]:
    """Raise the least score of each class, so that few clips of what the plan does not know get a name.

    Args:
        outcomes: detections on held-out videos of what the plan knows.
        probability: of each detection, [n].
        floor: least scores that are chosen already, by class; none is lowered.
        strangers: best score of every class in clips of what the plan does not know, [clips, classes]; 0 where a class
            has none, or may be there.
        named: share of these clips that may get a name; see `exceeded_by`.
        keep: share of what a class finds at its floor that it still finds, whatever strangers do: a class that can
            not be told from them goes on naming some.
    """
    out = []
    for c, (least, above) in enumerate(zip(floor, np.nextafter(exceeded_by(strangers, named), np.inf), strict=True)):
        mine = outcomes.label == c
        found = np.sort(probability[mine & outcomes.right & (probability >= least)])[::-1]
        most = found[int(np.ceil(keep * len(found))) - 1] if len(found) else 1.0
        out.append(float(max(least, min(above, most, 1.0))))
    return out


def exceeded_by(strangers: Floats, share: float) -> Floats:
    """Return the least scores [classes] that at most a share of the clips exceeds in any class.

    All classes have the same rank from the top, so each may name as many clips.

    Args:
        strangers: best scores, [clips, classes].
        share: of the clips.

    >>> exceeded_by(np.array([[0.9, 0.0], [0.3, 0.8], [0.2, 0.1], [0.1, 0.0]]), 0.5)
    array([0.3, 0.1])
    """
    ranked = -np.sort(-strangers, axis=0)
    fine = [row for row in ranked if (strangers > row).any(axis=1).mean() <= share]
    return np.asarray(fine[-1])


def told(outcomes: Outcomes, probability: Floats, thresholds: Sequence[float], strangers: Floats) -> dict[str, float]:
    """Measure thresholds: recall, precision and false alarms of all classes, and the share of strangers named.

    Args:
        outcomes: detections on held-out videos.
        probability: of each detection, [n].
        thresholds: by class.
        strangers: best scores, [clips, classes].
    """
    least = np.asarray(thresholds)
    hours, positives = float(outcomes.hours.sum()), int(outcomes.positives.sum())
    found = at(0.0, probability - least[outcomes.label], outcomes.right, positives, hours)
    named = float((strangers >= least).any(axis=1).mean())
    return {
        "recall": found.recall, "precision": found.precision, "false_alarms_per_hour": found.per_hour,
        "foreign_named": named,
    }  # fmt: skip
