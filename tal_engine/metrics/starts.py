"""How soon and how often a stream tells that an action has started: point-level AP, delay, false alarms, flicker.

Protocol "odas", after Shou et al., "Online Detection of Action Start" (ECCV 2018), as the public evaluators of
StartNet and OAT have it: started events of a class, best score first, each take the nearest free true start of their
video, if it is at most the offset away from the moment at which they were told; AP is the area under the precision
envelope; p-mAP is the mean over classes, at offsets of 1 to 10 s. They sort equal scores by numpy's unstable sort, we
by the moment, the video and the place in the list.

The delay and the false alarms are ours, as papers do not count them. A started event takes the first true instance of
its class and video that is free and that it lies in, from `EARLY_S` before its start up to its end; what takes none is
a false alarm, also a second start of the same instance. Delay is the moment less the true start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..annotations.tables import Table
from .online import lateness

#: Offsets of p-mAP, seconds.
OFFSETS = tuple(float(s) for s in range(1, 11))
#: A start may be told so much before the instance that it is of, seconds (our choice): annotators differ by as much.
EARLY_S = 1.0


@dataclass(frozen=True)
class StartEvaluation:
    """What started events are worth.

    p_map: by offset. delay: percentiles in seconds, by name; {} if nothing was hit. hits: starts of true instances.
    false_alarms, hours: and their quotient. recall: share of the true instances that were told. withdrawn: starts that
    were taken back, and their share of all, `flicker`.
    """

    p_map: dict[float, float]
    delay: dict[str, float]
    hits: int
    false_alarms: int
    hours: float
    recall: float
    withdrawn: int
    flicker: float

    @property
    def false_alarms_per_hour(self) -> float:
        """NaN of no time."""
        return self.false_alarms / self.hours if self.hours else float("nan")


def evaluate_starts(truth: Table, told: Table, seconds: float, withdrawn: int = 0) -> StartEvaluation:
    """Score the started events of streams.

    Args:
        truth: true instances.
        told: a row for each started event, with the onset that was told and, as its end, the moment at which it was.
        seconds: of all streams.
        withdrawn: started events that were taken back.

    >>> from tal_engine.annotations.tables import Table
    >>> truth = Table.of([("v", "wave", 1.0, 3.0, 1.0)], source="truth")
    >>> told = Table.of([("v", "wave", 1.1, 1.5, 0.8), ("v", "wave", 8.0, 8.5, 0.7)], source="events")
    >>> found = evaluate_starts(truth, told, seconds=1800.0)
    >>> found.delay["p50"], found.false_alarms_per_hour
    (0.5, 2.0)
    """
    mine, _ = told.renamed(truth.videos, truth.labels)
    foreign = len(told) - len(mine)
    delays = _delays(truth, mine)
    false = len(mine) - len(delays) + foreign
    return StartEvaluation(
        p_map={o: point_map(truth, mine, o) for o in OFFSETS},
        delay=lateness(np.array(delays, np.float64)),
        hits=len(delays),
        false_alarms=false,
        hours=seconds / 3600,
        recall=len(delays) / len(truth) if len(truth) else float("nan"),
        withdrawn=withdrawn,
        flicker=withdrawn / len(told) if len(told) else 0.0,
    )


def _delays(truth: Table, told: Table) -> list[float]:
    """Match started events to instances in the order in which they were told; return the delays of those that do."""
    free = np.ones(len(truth), bool)
    out = []
    for i in np.lexsort((np.arange(len(told)), told.end)):
        moment = told.end[i]
        inside = (truth.start - EARLY_S <= moment) & (moment < truth.end)
        same = (truth.video == told.video[i]) & (truth.label == told.label[i])
        mine = np.flatnonzero(free & inside & same)
        if len(mine):
            first = mine[np.argmin(truth.start[mine])]
            free[first] = False
            out.append(float(moment - truth.start[first]))
    return out


def point_map(truth: Table, told: Table, offset: float) -> float:
    """Compute p-mAP at one offset in seconds; NaN if there is no instance."""
    classes = [c for c in range(len(truth.labels)) if (truth.label == c).any()]
    values = [_point_ap(truth.where(truth.label == c), told.where(told.label == c), offset) for c in classes]
    return float(np.mean(values)) if values else float("nan")


def _point_ap(truth: Table, told: Table, offset: float) -> float:
    """Of one class."""
    order = np.lexsort((np.arange(len(told)), told.video, told.end, -told.score))
    free, hit = np.ones(len(truth), bool), np.zeros(len(told), bool)
    for rank, i in enumerate(order):
        away = np.where(free & (truth.video == told.video[i]), np.abs(truth.start - told.end[i]), math.inf)
        nearest = int(np.argmin(away)) if len(away) else -1
        if nearest >= 0 and away[nearest] <= offset:
            hit[rank], free[nearest] = True, False
    return _interpolated(hit, len(truth))


def _interpolated(hit: NDArray[np.bool_], positives: int) -> float:
    """Compute the area under the precision envelope."""
    tp = np.cumsum(hit)
    precision = tp / np.arange(1, len(hit) + 1)
    envelope: Sequence[float] = np.maximum.accumulate(precision[::-1])[::-1].tolist()
    return sum(p for p, h in zip(envelope, hit.tolist(), strict=True) if h) / positives
