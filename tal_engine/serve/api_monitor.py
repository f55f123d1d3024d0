"""Probes, metrics, and what the service is."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from .. import __version__
from .problems import KINDS, ProblemError, unavailable
from .service import Service, nothing_like, service_of

router = APIRouter(tags=["service"])

Here = Annotated[Service, Depends(service_of)]


@router.get("/healthz")
async def healthz(service: Here) -> dict[str, Any]:
    """Say that the service is alive: its loop answers and its workers work."""
    if not service.workers.alive:
        raise ProblemError("unavailable", "a worker has ended")
    return {"ok": True}


@router.get("/readyz")
async def readyz(service: Here) -> dict[str, Any]:
    """Say whether the service takes work."""
    if service.draining.is_set():
        raise unavailable("the service is being stopped")
    return {"ok": True, "waiting": service.workers.waiting, "running": service.workers.running}


@router.get("/metrics", response_class=Response)
async def metrics(service: Here) -> Response:
    """Return the figures for Prometheus."""
    text, kind = await asyncio.to_thread(service.measures.text)
    return Response(text, media_type=kind)


@router.get("/v1")
async def about(service: Here) -> dict[str, Any]:
    """Return version and limits of the service."""
    o = service.options
    return {
        "name": "tal_engine", "version": __version__, "default_plan": service.plans.default,
        "limits": {
            "body_mib": o.max_body_mib, "tensor_mib": o.max_tensor_mib, "duration_s": o.max_duration,
            "sync_s": o.sync_seconds, "deadline_s": o.deadline, "queue": o.queue, "streams": o.streams,
        },
    }  # fmt: skip


@router.get("/v1/problems")
async def problems() -> dict[str, Any]:
    """List the kinds of problems: `type` of a problem is the address of its kind."""
    return {name: {"status": kind.status, "title": kind.title} for name, kind in KINDS.items()}


@router.get("/v1/problems/{name}")
async def problem(name: str) -> dict[str, Any]:
    """Return a kind of problem."""
    if name not in KINDS:
        raise nothing_like("kind of problem", name)
    return {"type": name, "status": KINDS[name].status, "title": KINDS[name].title}
