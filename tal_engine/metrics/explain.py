"""Why two protocols give different scores: their rules are exchanged one by one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from ..annotations.tables import Table
from .detection import Ambiguous, evaluate_tables
from .protocols import Protocol


@dataclass(frozen=True)
class Step:
    """One rule changed: its old and new value, and the average mAP after it."""

    rule: str
    before: Any
    after: Any
    average: float
    moved: float


#: Points of mAP that equal scores may decide before `tal eval --explain` warns.
TIE_POINTS = 0.1


def tie_span(
    truth: Table, detections: Table, rules: Protocol, *, ambiguous: Ambiguous | None = None
) -> tuple[float, float]:
    """Return the average mAP with true positives after, and before, all others of the same score.

    Where the two differ, an order that detections do not have decides. Which detections are right is settled first, in
    the order of `ties="video"`: an order that also changes the matching can lie outside of the span.
    """
    first, last = (
        evaluate_tables(truth, detections, replace(rules, ties=ties, nan_hit=False), ambiguous=ambiguous).average
        for ties in ("true_last", "true_first")
    )
    return first, last


def explain(
    truth: Table, detections: Table, first: Protocol, other: Protocol, *, ambiguous: Ambiguous | None = None
) -> tuple[float, list[Step]]:
    """Go from one protocol to another, rule by rule, at the first one's overlaps.

    Rules act on each other, so a step's share depends on the order; the order is that of the
    fields of `Protocol`.

    Returns:
        The average mAP under `first`, and a step for every rule that differs.
    """
    now = first
    start = last = evaluate_tables(truth, detections, first, ambiguous=ambiguous).average
    steps = []
    groups: list[tuple[str, ...]] = [(f.name,) for f in fields(Protocol) if f.name not in ("name", "tious")]
    if first.reproduces or other.reproduces:
        # Rules of a published evaluator come together: half of them is no evaluator.
        together = ("matching", "ap", "inclusive", "ties", "nan_hit", "ambiguous")
        groups = [together, *(g for g in groups if g[0] not in together)]
    for group in groups:
        changed = [name for name in group if getattr(now, name) != getattr(other, name)]
        if not changed:
            continue
        before = {n: getattr(now, n) for n in changed}
        after = {n: getattr(other, n) for n in changed}
        now = replace(now, **after)
        average = evaluate_tables(truth, detections, now, ambiguous=ambiguous).average
        one = len(changed) == 1
        steps.append(
            Step(
                ", ".join(changed),
                next(iter(before.values())) if one else tuple(before.values()),
                next(iter(after.values())) if one else tuple(after.values()),
                average,
                average - last,
            )
        )
        last = average
    return start, steps
