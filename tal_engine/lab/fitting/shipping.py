"""The plan of a fit: the head of all videos behind the gate, what its scores mean, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...plan.archive import write_plan
from ..training.checkpoint import Checkpoint
from .held_out import HeldOut
from .scores import Scores
from .tools import Encoders, fit_domain, make_plan
from .training import Course


def ship(
    found: Checkpoint,
    encoders: Encoders | None,
    output: Path,
    scores: Scores,
    document: Mapping[str, Any],
    held: HeldOut,
    course: Course,
) -> dict[str, Any]:
    """Write the plan; nothing is written if the gate refuses.

    Returns:
        What the report says of it.
    """
    name = output.name.removesuffix(".plan")
    calibration, thresholds = scores.for_plan(held, document["scores"]["false_alarms_per_hour"])
    streams = course.method.inference_streams(course.config)
    seen = [course.features[v.name] for v in held.videos]
    domain = fit_domain(seen, streams, f"{len(seen)} videos of tal fit")
    plan = make_plan(
        found, encoders, name=name, description=described(document), calibration=calibration, thresholds=thresholds,
        domain=domain,
    )  # fmt: skip
    write_plan(output, plan)
    return {"bytes": output.stat().st_size, "sha256": plan.sha256, "parity": plan.manifest.parity}


def described(document: Mapping[str, Any]) -> str:
    """Describe the plan for people."""
    main = document["figures"][document["measure"]]
    mean = "not measured" if main["mean"] is None else f"{100 * main['mean']:.1f}"
    return (
        f"Made by tal fit from {_labels(document)} of {document['videos']} videos; held-out "
        f"{document['measure']} {mean} (sd {100 * main['sd']:.1f} over {document['folds']} folds)."
    )


def _labels(document: Mapping[str, Any]) -> str:
    """Name the labels: one kind, or how many videos have which."""
    supply = document["supply"]
    return f"mixed labels ({supply['text']})" if supply["mixed"] else f"{document['trained_on']} labels"
