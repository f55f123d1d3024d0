"""/api/export and /api/streams: a plan of what was learned, and streams that it watches."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from .._util.opening import LIVE_SCHEMES
from .._util.redaction import redact
from ..errors import FitError
from ..serve.api_streams import NAME, StreamRequest, opened, stream_of
from ..serve.problems import ProblemError
from ..serve.service import Service, service_of
from .order import PLANS
from .studio import Studio, studio_of

router = APIRouter(prefix="/api", tags=["export"])

Here = Annotated[Studio, Depends(studio_of)]
Serving = Annotated[Service, Depends(service_of)]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


class Wanted(BaseModel):
    """A plan; output: its name, in the project."""

    model_config = ConfigDict(extra="forbid")

    output: str = Field(min_length=1, max_length=65)


class WantedStream(BaseModel):
    """A source to watch: an address, or a video of the project by its id or name."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=2048)
    name: str | None = Field(None, pattern=NAME)
    plan: str | None = Field(None, max_length=60)


@router.post("/export", status_code=201)
def export(wanted: Wanted, studio: Here) -> dict[str, Any]:
    """Write the plan of the head that was trained last, after a training that is due; a plan is never replaced."""
    name = wanted.output.removesuffix(".plan")
    if not _NAME.fullmatch(name):
        raise ProblemError(
            "invalid-request", f"output is {name!r}, must be letters, digits, '_', '.' and '-', 60 at most"
        )
    path = studio.project.folder / PLANS / f"{name}.plan"
    if path.exists():
        raise ProblemError("conflict", f"there is a plan {name!r} already; choose another name")
    try:
        done = studio.trainer.call("--export", str(path))
    except FitError as e:  # the labels or the head do not allow it, or the trainer was stopped
        raise ProblemError("conflict", str(e)) from e
    plan = {k: v for k, v in done.items() if k != "state"} | {"path": str(path)}
    studio.project.set("exported", plan=plan)
    return plan


@router.get("/streams")
async def streams(service: Serving) -> dict[str, Any]:
    """List the streams."""
    return {"streams": [s.document for s in service.streams.all()]}


@router.post("/streams", status_code=201)
async def start(wanted: WantedStream, studio: Here, service: Serving) -> dict[str, Any]:
    """Watch a source with the plan that was exported last; its events are at /v1/streams/NAME/events."""
    exports = [e["name"] for e in studio.project.state.exports]
    if not exports:
        raise ProblemError("conflict", "there is no plan yet: export one first")
    source, is_file = _source(wanted.source, studio)
    name = wanted.name or f"stream-{secrets.token_hex(3)}"
    request = StreamRequest.model_validate(
        {"source": wanted.source, "name": name, "plan": wanted.plan or exports[-1], "realtime": is_file}
    )
    stream = await asyncio.to_thread(service.streams.begin, name, lambda: opened(request, name, source, service))
    return stream.document


@router.post("/streams/{name}/stop", status_code=202)
async def stop(name: str, service: Serving) -> dict[str, Any]:
    """Stop watching."""
    found = stream_of(name, service)
    service.streams.stop(found)
    return found.document


def _source(text: str, studio: Studio) -> tuple[str, bool]:
    """Return what a request names, and whether it is a file: no file but the project's own videos is read."""
    for v in studio.library.usable():
        if text in (v.id, v.name):
            return str(v.path), True
    if urlsplit(text).scheme.lower() in LIVE_SCHEMES:
        return text, False
    known = ", ".join(sorted(LIVE_SCHEMES))
    raise ProblemError(
        "invalid-request", f"source is {redact(text)[:200]!r}, must be a video of the project or begin with one of "
        f"{known}, and ://"
    )  # fmt: skip
