"""How good a head is, on held-out videos that somebody looked at as a whole: figures with intervals, and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...annotations.labels import Kind
from ...annotations.tables import Table
from ...errors import TALError
from ...records import Features
from ...studio.order import Order
from ..fitting.calibration import applied
from ..fitting.held_out import HeldOut
from ..fitting.known import known_by
from ..fitting.outcomes import Outcomes, average_precision
from ..fitting.scores import Scores, fitted_scores
from .lessons import truth

#: Draws of videos with replacement, and the interval that is reported.
_DRAWS, _INTERVAL = 200, (0.05, 0.95)
#: Calibration needs so many right and so many wrong detections.
_LEAST_OUTCOMES = 5
_CUTS = 41
#: An AP from which on more labels are not asked for, and a number of labels that is small.
_GOOD, _FEW = 0.9, 5
#: Parts of the held-out videos that calibration is judged by.
_FOLDS = 3


@dataclass(frozen=True)
class Judged:
    """What is known of a head: held-out detections, each right or wrong, and what scores mean; None where unknown."""

    held: HeldOut
    outcomes: Outcomes
    scores: Scores | None


def judged(order: Order, found: Table, features: Mapping[str, Features], classes: Sequence[str]) -> Judged | None:
    """Judge detections on held-out videos that are labelled as a whole; None where there are none with actions."""
    videos = [truth(v) for v in order.videos if v.held_out and v.done and v.id in features]
    if not any(v.labels for v in videos):
        return None
    known = {k: all(known_by(v, k) == set(v.labels) for v in videos) for k in ("segment", "point")}
    kind: Kind = "segment" if known["segment"] else "point" if known["point"] else "video"
    vocabulary = tuple(classes)
    names = {v.name for v in videos}
    rows = np.array([found.videos[v] in names for v in found.video], bool)
    fold = np.arange(len(videos)) % min(_FOLDS, len(videos))
    seconds = {v.name: features[v.name].duration for v in videos}
    held = HeldOut(found.where(rows), tuple(videos), fold, vocabulary, kind, seconds).judged(kind)
    outcomes = held.outcomes()
    enough = min(int(outcomes.right.sum()), int((~outcomes.right).sum())) >= _LEAST_OUTCOMES
    try:
        scores = fitted_scores(held, outcomes) if enough else None
    except TALError:
        scores = None
    return Judged(held, outcomes, scores)


def probabilities(found: Table, known: Judged | None) -> NDArray[np.float64]:
    """Give the probability of each detection; its score in [0, 1] where nothing says what scores mean."""
    score = found.score.astype(np.float64)
    if known is None or known.scores is None:
        return np.clip(score, 0.0, 1.0)
    place = {c: i for i, c in enumerate(known.held.vocabulary)}
    label = np.array([place[found.labels[c]] for c in found.label], np.int64)
    return np.clip(applied(known.scores.curves, score, label), 0.0, 1.0)


def document(order: Order, known: Judged, classes: Sequence[str]) -> dict[str, Any]:
    """Measure: mean AP and false alarms an hour with their intervals, by class, and what each threshold gives."""
    o, names = known.outcomes, list(known.held.vocabulary)
    probability = _probability(known)
    least = {c: order.thresholds.get(c, default) for c, default in _defaults(known, probability).items()}
    passing = probability >= np.array([least[c] for c in names])[o.label] if len(o.label) else np.zeros(0, bool)
    weights = np.random.default_rng(order.seed).multinomial(
        len(o.hours), np.full(len(o.hours), 1 / len(o.hours)), _DRAWS
    )
    drawn = [figures(o, passing, w) for w in weights]
    ap, alarms = figures(o, passing, np.ones(len(o.hours), np.int64))
    counts = Counter(x.label for v in order.videos if not v.held_out for x in v.labels if x.kind != "nothing")
    by_class = [
        {"label": c, "ap": _number(average_precision(*o.of_class(i))), "labels": counts[c],
         "held_out": int(o.positives[i].sum()), "threshold": least[c]}
        for i, c in enumerate(names)
    ]  # fmt: skip
    kind = {"segment": "mAP@0.5", "point": "point mAP", "video": "video mAP"}[known.held.kind]
    return {
        "measure": kind, "labels": order.count, "revision": order.revision, "mAP": _number(ap), "false_alarms": alarms,
        **_interval("low", "high", [d[0] for d in drawn]), **_interval("low_fa", "high_fa", [d[1] for d in drawn]),
        "by_class": by_class, "advice": advice(by_class, order),
        "thresholds": {c: {"threshold": least[c], "curve": _curve(o, probability, i)} for i, c in enumerate(names)},
        "videos": len(o.hours), "hours": float(o.hours.sum()),
    }  # fmt: skip


def figures(o: Outcomes, passing: NDArray[np.bool_], weights: NDArray[np.int64]) -> tuple[float, float]:
    """Measure the mean AP and the false alarms an hour where each video counts as often as its weight says."""
    found = []
    times = weights[o.video] if len(o.video) else np.zeros(0, np.int64)
    for c in range(len(o.positives)):
        positives = int((o.positives[c] * weights).sum())
        mine = o.label == c
        if positives:
            found.append(average_precision(np.repeat(o.score[mine], times[mine]),
                                           np.repeat(o.right[mine], times[mine]), positives))  # fmt: skip
    hours = float((o.hours * weights).sum())
    wrong = int(times[passing & ~o.right].sum())
    return (float(np.mean(found)) if found else float("nan")), (wrong / hours if hours else 0.0)


def _probability(known: Judged) -> NDArray[np.float64]:
    o = known.outcomes
    if known.scores is None:
        return np.clip(o.score, 0.0, 1.0)
    return np.clip(applied(known.scores.curves, o.score, o.label), 0.0, 1.0)


def _defaults(known: Judged, probability: NDArray[np.float64]) -> dict[str, float]:
    """Give the threshold of each class that nobody has set."""
    names = known.held.vocabulary
    if known.scores is None:
        return dict.fromkeys(names, 0.5)
    return {c: round(min(t.score, 1.0), 4) for c, t in zip(names, known.scores.thresholds, strict=True)}


def _curve(o: Outcomes, probability: NDArray[np.float64], c: int) -> list[dict[str, float]]:
    mine, positives = o.label == c, int(o.positives[c].sum())
    out = []
    for cut in np.linspace(0, 1, _CUTS):
        passing = mine & (probability >= cut)
        hits = int(o.right[passing].sum())
        out.append({"threshold": round(float(cut), 4), "hits": hits, "false_alarms": int(passing.sum()) - hits,
                    "missed": positives - hits})  # fmt: skip
    return out


def _interval(low: str, high: str, values: Sequence[float]) -> dict[str, float | None]:
    known = [v for v in values if v == v]
    if not known:
        return {low: None, high: None}
    return {name: float(q) for name, q in zip((low, high), np.quantile(known, _INTERVAL), strict=True)}


def _number(x: float) -> float | None:
    return None if x != x else round(float(x), 5)


def advice(by_class: Sequence[Mapping[str, Any]], order: Order) -> list[str]:
    """Write what would help most, in sentences."""
    out = []
    unseen = [c["label"] for c in by_class if not c["held_out"]]
    if unseen:
        names = ", ".join(map(repr, unseen))
        out.append(f"No held-out video has {names}: hold one out that has, or it is not measured.")
    learned = {c["label"] for c in by_class}
    out += [f"{c!r} has no labels yet: mark some moments of it." for c in order.classes if c not in learned]
    known = sorted((c for c in by_class if c["ap"] is not None), key=lambda c: (c["ap"], c["labels"]))
    worst = known[0] if known and known[0]["ap"] < _GOOD else None
    several = len(known) > 1
    if worst is not None:
        out.append(
            f"Mark more of {worst['label']!r}{' first' * several}: its AP is {100 * worst['ap']:.0f}"
            f"{', the lowest,' * several} and it has {worst['labels']} labels."
        )
    few = [c for c in by_class if c["labels"] < _FEW and c is not worst]
    if few:
        told = ", ".join(f"{c['label']!r} ({c['labels']})" for c in few)
        out.append(f"Few labels: {told}.")
    return out
