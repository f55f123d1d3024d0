"""/v1/limits: what the service takes, so that a client can say so before it sends gigabytes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from .. import __version__
from .service import Service, service_of

router = APIRouter(prefix="/v1/limits", tags=["service"])


@router.get("")
async def limits(service: Annotated[Service, Depends(service_of)]) -> dict[str, Any]:
    """Return the version of the service, and the largest body (bytes) and longest video (seconds) that it takes."""
    options = service.options
    return {
        "version": __version__, "max_body_bytes": options.max_body_mib << 20, "max_duration": options.max_duration,
        "sync_seconds": options.sync_seconds, "keep_hours": options.keep_hours, "keep_jobs": options.keep_jobs,
    }  # fmt: skip
