"""/v1/plans: what plans there are, what is inside, and whether they run here."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from ..plan.archive import Plan
from ..streaming.window import timing_of
from .service import Service, service_of

router = APIRouter(prefix="/v1/plans", tags=["plans"])

Here = Annotated[Service, Depends(service_of)]


@router.get("")
async def plans(service: Here) -> dict[str, Any]:
    """List the plans; `default` is the one that requests without a name use, `unusable` says what cannot be read."""
    unusable = await asyncio.to_thread(service.plans.unusable)
    names = [n for n in await asyncio.to_thread(service.plans.names) if n not in unusable]
    default = service.plans.default
    names.sort(key=lambda n: n != default)
    return {"plans": names, "default": default, "unusable": unusable}


@router.get("/{name}")
async def plan(name: str, service: Here) -> dict[str, Any]:
    """Return what is inside a plan."""
    known, found = await asyncio.to_thread(service.plans.manifest, name)
    return _summary(known, found)


@router.get("/{name}/manifest")
async def manifest(name: str, service: Here) -> dict[str, Any]:
    """Return the manifest of a plan, as it is stored."""
    _, found = await asyncio.to_thread(service.plans.manifest, name)
    document: dict[str, Any] = json.loads(found.document)
    return document


@router.get("/{name}/doctor")
async def doctor(name: str, service: Here) -> dict[str, Any]:
    """Load and run the graphs of a plan here, and return what is found, as `tal plan doctor --json` does."""
    return await asyncio.to_thread(service.plans.examine, name)


def _summary(name: str, found: Plan) -> dict[str, Any]:
    m = found.manifest
    return {
        "name": name, "model": m.name, "description": m.description, "method": m.method.name, "sha256": found.sha256,
        "classes": list(m.vocabulary), "streams": dict(m.streams), "precision": m.precision,
        "encoders": [{"name": e.name, "stream": e.stream, "reads": e.reads} for e in m.encoders],
        "reads_videos": bool(m.encoders), "calibrated": m.calibration is not None,
        "snippet_seconds": m.snippet.stride / m.snippet.fps,
        "declared_latency_s": timing_of(m).max_latency_s,
        "min_score": None if m.segment.min_score == float("-inf") else m.segment.min_score,
        "bytes": sum(member.bytes for member in m.members.values()),
    }  # fmt: skip
