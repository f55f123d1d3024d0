"""/api/measures, /api/thresholds, /api/agreement: how good the head is, where to cut, how far people agree."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from ..errors import UsageError
from .advice import worth_most
from .agreement import agreement
from .studio import Studio, studio_of

router = APIRouter(prefix="/api", tags=["measures"])

Here = Annotated[Studio, Depends(studio_of)]


@router.get("/measures")
def measures(studio: Here) -> dict[str, Any]:
    """Return figures over the number of labels, by class, and advice."""
    with studio.project.lock:
        state = studio.project.state
        now = studio.findings.result.get("measures") or {}
        labelled = [v for v in state.held_out if v in state.videos and state.videos[v].done]
        advice = [*worth_most(state.measured), *now.get("advice", [])]
        waiting = [state.videos[v].name for v in state.held_out if v in state.videos and v not in labelled]
        if waiting:
            names = ", ".join(waiting[:5]) + (f" and {len(waiting) - 5} more" if len(waiting) > 5 else "")
            advice.append(f"Label the held-out videos too, and note that they are done: {names}.")
        return {
            "clicks": list(state.measured), "by_class": now.get("by_class", []), "advice": advice,
            "measure": now.get("measure", "mAP@0.5"),
            "held_out": {"videos": len(state.held_out), "labelled": len(labelled), "why": state.held_out_why},
        }  # fmt: skip


@router.get("/thresholds")
def thresholds(studio: Here) -> dict[str, Any]:
    """Return the threshold of each class, and what others would give on held-out videos."""
    with studio.project.lock:
        known = studio.findings.thresholds(studio.project.state)
    curves = (studio.findings.result.get("measures") or {}).get("thresholds", {})
    return {c: {"threshold": t, "curve": curves.get(c, {}).get("curve", [])} for c, t in known.items()}


@router.put("/thresholds")
def set_thresholds(wanted: Annotated[dict[str, float], Body()], studio: Here) -> dict[str, Any]:
    """Set thresholds of classes."""
    names = studio.project.state.class_names
    for name, value in wanted.items():
        if name not in names:
            raise UsageError(f"class is {name[:100]!r}, must be one of {', '.join(names) or 'none yet'}")
        if not 0 <= value <= 1:
            raise UsageError(f"threshold of {name!r} is {value}, must be in [0, 1]")
    studio.project.set("thresholds", values=wanted)
    return thresholds(studio)


@router.get("/agreement")
def agreed(studio: Here) -> dict[str, Any]:
    """Compare what people marked in the same videos; what one corrects of another's is no look of its own."""
    with studio.project.lock:
        labels = list(studio.project.state.own.values())
    return agreement(labels, {v.id: v.duration for v in studio.library.videos.values()})
