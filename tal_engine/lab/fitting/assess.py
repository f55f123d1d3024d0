"""From detections on held-out videos to the document of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ...records import Segment
from .calibration import applied
from .held_out import MEASURES, HeldOut, by_each_kind, class_ap, confusion, figures, passing, segmental
from .material import Material
from .outcomes import Outcomes
from .scores import Scores

#: Held-out videos whose timelines are shown.
_TIMELINES = 12


def assessed(
    held: HeldOut, outcomes: Outcomes, scores: Scores, material: Material, half: HeldOut | None, per_hour: float | None
) -> dict[str, Any]:
    """Collect all that was measured, ready for JSON; `held` is what can be judged."""
    shown = reported(held, scores)
    name, meaning = MEASURES[held.kind]
    measured = figures(held, outcomes)
    classes = _classes(material, measured["class_ap"], scores)
    return {
        "kind": held.kind,
        "trained_on": material.kind,
        "supply": {**asdict(material.supply), "mixed": material.supply.mixed, "text": str(material.supply)},
        "measure": name,
        "meaning": meaning,
        "videos": len(held.videos),
        "background": material.supply.background,
        "hours": held.hours,
        "folds": int(held.fold.max()) + 1,
        "groups": len(set(material.groups)),
        "figures": measured["figures"],
        "segmental_f1": segmental(held, shown),
        "classes": classes,
        "not_usable": [c["name"] for c in classes if not c["recall"]],
        "confusion": confusion(held, shown),
        "scores": scores.document(held.vocabulary, per_hour),
        "curve": None if half is None else _curve(measured["class_ap"], half),
    }


def shown_beside(held: HeldOut, scores: Scores) -> dict[str, Any]:
    """Collect what needs all labels and all detections, those that nothing can judge too: timelines, every figure."""
    return {"timelines": _timelines(held, reported(held, scores)), "by_kind": by_each_kind(held)}


def reported(held: HeldOut, scores: Scores) -> dict[str, list[Segment]]:
    """Take the detections that the plan would show, by video."""
    place = {c: i for i, c in enumerate(held.vocabulary)}
    label = np.array([place[held.found.labels[c]] for c in held.found.label], np.int64)
    probability = applied(scores.curves, held.found.score, label)
    return passing(held, probability, {c: t.score for c, t in zip(held.vocabulary, scores.thresholds, strict=True)})


def _classes(material: Material, ap: Mapping[str, float | None], scores: Scores) -> list[dict[str, Any]]:
    out = []
    for c, t in zip(material.vocabulary, scores.thresholds, strict=True):
        videos = sum(c in v.labels for v in material.videos)
        out.append({"name": c, "videos": videos, "labels": material.labels_of(c), "ap": ap[c], **_rounded(t._asdict())})
    return out


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}


def _curve(whole: Mapping[str, float | None], half: HeldOut) -> dict[str, Any]:
    """Compare the AP of each class by heads of half of the videos and of all."""
    less = class_ap(half, half.outcomes())
    both = [(less[c], whole[c]) for c in whole]
    known = [(a, b) for a, b in both if a is not None and b is not None]
    mean = [float(np.mean([pair[i] for pair in known])) for i in (0, 1)] if known else None
    return {
        "shares": [0.5, 1.0],
        "class_ap": {c: list(pair) for c, pair in zip(whole, both, strict=True)},
        "mean": mean,
    }


def _timelines(held: HeldOut, shown: Mapping[str, Sequence[Segment]]) -> list[dict[str, Any]]:
    """Choose some videos of every class: labels beside what passes its threshold."""
    chosen: dict[str, None] = {}
    for turn in range(len(held.videos)):
        for c in held.vocabulary:
            having = [v.name for v in held.videos if c in v.labels and v.name not in chosen]
            if having and len(chosen) < _TIMELINES:
                chosen[having[turn % len(having)]] = None
    by_name = {v.name: v for v in held.videos}
    return [
        {
            "name": n,
            "seconds": held.seconds[n],
            "labels": list(by_name[n].labels),
            "points": [[p.seconds, p.label] for p in by_name[n].points],
            "segments": [[s.start, s.end, s.label] for s in by_name[n].segments],
            "found": [[s.start, s.end, s.label, s.score] for s in shown[n]],
        }
        for n in chosen
    ]
