"""The plan of a studio: the head that was measured, what its scores mean, and what its videos look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import FitError, UsageError
from ...plan.archive import write_plan
from ...studio.order import FEATURES, HEADS, Order
from ..fitting.tools import default_encoders, fit_domain, make_plan, open_encoders
from ..training import checkpoint
from .features import made_features
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
    seen = lessons_of(order.videos, made.features).groups
    telling.say(1, 3, force=True)
    held = {v.id: made.features[v.id] for v in order.videos if v.held_out and v.id in made.features}
    known = None
    if held:
        table = heard(found.method, found.config, found.vocabulary, found.network(), held).found
        known = judged(order, table, held, tuple(found.vocabulary))
    options: dict[str, Any] = {}
    if known is not None and known.scores is not None:
        calibration, thresholds = known.scores.for_plan(known.held, None)
        chosen = {c: order.thresholds.get(c, t) for c, t in thresholds.classes.items()}
        options = {"calibration": calibration, "thresholds": thresholds.model_copy(update={"classes": chosen})}
    like = [f for i, f in made.features.items() if i in set(seen)]
    if len(like) >= _LEAST_DOMAIN:
        streams = found.method.inference_streams(found.config)
        options["domain"] = fit_domain(like, streams, f"{len(like)} videos of tal studio")
    telling.say(2, 3, force=True)
    description = f"Made by tal studio from {order.count} labels of {len(set(seen))} videos."
    plan = make_plan(found, open_encoders(spec, {}), name=output.stem, description=description, **options)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_plan(output, plan)
    return {
        "name": output.stem, "bytes": output.stat().st_size, "sha256": plan.sha256, "domain": "domain" in options,
        "calibrated": "calibration" in options, "classes": list(found.vocabulary), "labels": order.count,
    }  # fmt: skip
