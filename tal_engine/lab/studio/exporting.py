"""The plan of a studio: the head that was measured, what its scores mean, and what its videos look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import FitError, UsageError
from ...plan.archive import write_plan
from ...plan.score_fields import ScoreThresholds
from ...records import Features
from ...studio.order import FEATURES, HEADS, Order
from ..fitting.tools import default_encoders, fit_domain, make_plan, open_encoders
from ..training import checkpoint
from .features import made_features
from .heads import learned_from
from .lessons import lessons_of
from .measuring import judged
from .suggesting import heard
from .telling import Telling

#: Videos that say what videos look like; with fewer a plan has no such record.
_LEAST_DOMAIN = 4


def export(folder: Path, order: Order, output: Path, telling: Telling) -> dict[str, Any]:
    """Write the plan of the head that was trained last.

    Args:
        folder: of the project.
        order: labels as they are now, for what scores mean.
        output: the plan; it is not there.
        telling: gets the progress.

    Returns:
        What there is to say of it.

    Raises:
        UsageError: the plan is there already.
        FitError: no head was trained yet.
        ExportError: the plan cannot be made.
    """
    if output.exists():
        raise UsageError(f"{output.name} is there already: choose another name")
    if not (folder / HEADS / "0" / "checkpoint.json").exists():
        raise FitError("no head was trained yet: train first")
    telling.stage("exporting")
    found = checkpoint.load(folder / HEADS / "0")
    spec = order.encoders or default_encoders()
    made = made_features(order.videos, folder / FEATURES / spec, spec, telling)
    leaked = [v.name for v in order.videos if v.held_out and v.id in learned_from(folder)]
    if leaked:
        raise FitError(f"{leaked[0]} is held out now, and the head has learned from it: train first")
    telling.say(1, 3, force=True)
    seen = set(lessons_of(order.videos, made.features).groups)
    options = _scores(found, order, made.features) | _domain(found, [made.features[i] for i in sorted(seen)])
    telling.say(2, 3, force=True)
    description = f"Made by tal studio from {order.count} labels of {len(seen)} videos."
    plan = make_plan(found, open_encoders(spec, {}), name=output.stem, description=description, **options)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_plan(output, plan)
    return {
        "name": output.stem, "bytes": output.stat().st_size, "sha256": plan.sha256, "domain": "domain" in options,
        "calibrated": "calibration" in options, "classes": list(found.vocabulary), "labels": order.count,
    }  # fmt: skip


def _scores(found: checkpoint.Checkpoint, order: Order, features: Mapping[str, Features]) -> dict[str, Any]:
    """Find what scores mean and where to cut them on held-out videos; what people set goes before, and alone else."""
    chosen = {c: order.thresholds[c] for c in found.vocabulary if c in order.thresholds}
    by_people = {} if not chosen else {
        "thresholds": ScoreThresholds(classes=chosen, chosen_for="operating_point", fitted_on="people of tal studio")
    }  # fmt: skip
    held = {v.id: features[v.id] for v in order.videos if v.held_out and v.id in features}
    if not held:
        return by_people
    table = heard(found.method, found.config, found.vocabulary, found.network(), held).found
    known = judged(order, table, held, tuple(found.vocabulary))
    if known is None or known.scores is None:
        return by_people
    calibration, thresholds = known.scores.for_plan(known.held, None)
    chosen = {c: order.thresholds.get(c, t) for c, t in thresholds.classes.items()}
    return {"calibration": calibration, "thresholds": thresholds.model_copy(update={"classes": chosen})}


def _domain(found: checkpoint.Checkpoint, videos: Sequence[Features]) -> dict[str, Any]:
    """Describe what videos look like that heads learned from; {} where there are too few."""
    if len(videos) < _LEAST_DOMAIN:
        return {}
    streams = found.method.inference_streams(found.config)
    return {"domain": fit_domain(videos, streams, f"{len(videos)} videos of tal studio")}
