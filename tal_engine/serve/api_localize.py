"""POST /v1/localize: a video or features in, segments out; at once if it is short, else as a job."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from .._util.untrusted import parse_json
from ..errors import DataError, TALError, VideoFault
from ..results import Localization
from ..video import open_video
from .api_jobs import job_document
from .problems import ProblemError, check_duration, problem_of
from .rendering import MEDIA_TYPES, ResultFormat, json_text, rendered, stored_result
from .service import Service, service_of
from .spool import durable
from .task import Task
from .wanted import Wanted

router = APIRouter(prefix="/v1", tags=["localize"])

_LONGEST_NAME = 200
_JSON_BODY = 1 << 20


class Mode(StrEnum):
    """How a request is answered."""

    auto = "auto"
    sync = "sync"
    job = "job"


#: What a body may be, for the description of the API.
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A video, or features (.npz); as the body itself, as the part `file` of a form, or where it is.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object", "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object", "required": ["url"], "additionalProperties": False,
                    "properties": {"url": {"type": "string", "maxLength": 2048}},
                }
            },
        },
    }
}  # fmt: skip


class Asked:
    """The query of a request."""

    def __init__(
        self,
        plan: Annotated[str | None, Query(max_length=200, description="Name of a plan; default: the first.")] = None,
        name: Annotated[
            str | None, Query(min_length=1, max_length=_LONGEST_NAME, description="What results call the video.")
        ] = None,
        format: Annotated[ResultFormat, Query(description="Form of the result.")] = ResultFormat.json,  # noqa: A002
        curves: Annotated[bool, Query(description="Add class activations and attention (json).")] = False,
        mode: Annotated[
            Mode, Query(description="auto: videos longer than the service's limit become jobs; sync, job: as said.")
        ] = Mode.auto,
        min_score: Annotated[
            float | None, Query(allow_inf_nan=False, description="Least score; default: the plan's.")
        ] = None,
        top_k: Annotated[
            int | None, Query(ge=0, lt=2**31, description="Most segments; 0: all; default: the plan's.")
        ] = None,
        raw_scores: Annotated[bool, Query(description="Scores as the method gives them.")] = False,
        people: Annotated[
            int, Query(ge=0, le=16, description="Localize each of so many people by itself; plans that read poses.")
        ] = 0,
        force: Annotated[bool, Query(description="Take features whose record differs from the plan's.")] = False,
        deadline: Annotated[
            float | None, Query(ge=0.1, le=86400, description="Seconds after which a waiting request ends.")
        ] = None,
    ) -> None:
        self.plan, self.name, self.format, self.curves, self.mode = plan, name, format, curves, mode
        self.min_score, self.top_k, self.calibrated, self.force = min_score, top_k, not raw_scores, force
        self.deadline, self.people = deadline, people


@router.post(
    "/localize",
    openapi_extra=_BODY,
    responses={
        200: {"description": "The result.", "content": {t: {} for t in sorted(set(MEDIA_TYPES.values()))}},
        202: {"description": "A job was accepted; Location says where it is.", "content": {"application/json": {}}},
    },
)
async def localize(
    request: Request,
    service: Annotated[Service, Depends(service_of)],
    asked: Annotated[Asked, Depends()],
    idempotency_key: Annotated[
        str | None, Header(max_length=200, description="A job of this key is accepted once.")
    ] = None,
) -> Response:
    """Find which actions happen when.

    A request that is broken off is not finished. A job that was accepted (202) is done even if the service dies
    meanwhile.
    """
    service.workers.check_room()
    plan, _ = await asyncio.to_thread(service.plans.path, asked.plan)
    path, wanted = await _taken(request, service, asked, plan)
    try:
        seconds = None if path is None else await asyncio.to_thread(_length, path, wanted, service)
        unknown = seconds is None
        is_job = asked.mode is Mode.job or (
            asked.mode is Mode.auto and (unknown or (seconds or 0.0) > service.options.sync_seconds)
        )
        task = Task(wanted, path, job=is_job)
        if is_job:
            return await _accepted(service, task, idempotency_key)
        limit = min(asked.deadline or math.inf, service.options.deadline)
        task.until = time.monotonic() + limit
        service.workers.submit(task)
    except Exception:  # where it is cancelled, a thread may be accepting the job: the next start removes what is left
        service.spool.remove(path)
        raise
    result = await waited(request, service, task, limit)
    return await answer(result, asked.format, curves=asked.curves)


async def _accepted(service: Service, task: Task, key: str | None) -> Response:
    """Store a job, its file first, and say where it is."""
    if task.path is not None:
        await asyncio.to_thread(durable, task.path)
        if key is not None:
            task.wanted = replace(task.wanted, digest=await asyncio.to_thread(_digest, task.path))
    job = await asyncio.to_thread(service.workers.accept, task, key)
    return JSONResponse(job_document(job, service), 202, {"Location": f"/v1/jobs/{job.id}"})


async def waited(request: Request, service: Service, task: Task, limit: float) -> Localization:
    """Wait for the result of a task; it is dropped if the client goes, or at its deadline.

    Raises:
        ProblemError: it failed, or was not done in time.
    """
    result = asyncio.wrap_future(task.result)
    gone = asyncio.create_task(_gone(request))
    both: set[asyncio.Future[Any]] = {result, gone}
    try:
        await asyncio.wait(both, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        if gone.done():
            raise ProblemError("too-slow", "the client has gone")
        raise ProblemError("deadline", f"not done within {limit:g} s; mode=job has no deadline")
    finally:
        gone.cancel()
        if not result.done():
            service.workers.drop(task)
            result.add_done_callback(lambda f: f.cancelled() or f.exception())  # nobody reads it


async def _gone(request: Request) -> None:
    """Wait until the client has gone; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def answer(result: Localization, form: ResultFormat, *, curves: bool = False) -> Response:
    """Return a result as a response, which a thread writes: others are answered meanwhile."""

    def text() -> str | bytes:
        return json_text(stored_result(result)) if curves and form is ResultFormat.json else rendered(result, form)

    return Response(await asyncio.to_thread(text), media_type=MEDIA_TYPES[form])


async def _taken(request: Request, service: Service, asked: Asked, plan: str) -> tuple[Path | None, Wanted]:
    """Read the body: a file of the spool, or an address."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    url, path, name = "", None, asked.name or ""
    with service.uploads:
        if kind == "application/json":
            url = service.allowed.address(await _address(request))
            name = name or url.partition("?")[0].rpartition("/")[2] or "video"
        elif kind == "multipart/form-data":
            path, given = await _part(request, service)
            name = name or given
        else:
            try:
                path = await service.spool.take(request.stream(), name)
            except ClientDisconnect as e:
                raise ProblemError("too-slow", "the client has gone") from e
    name = "".join(c if c.isprintable() else "?" for c in name[:_LONGEST_NAME])
    wanted = Wanted(plan, name or "video", url, asked.min_score, asked.top_k, asked.calibrated, asked.force,
                    asked.people)  # fmt: skip
    return path, wanted


async def _part(request: Request, service: Service) -> tuple[Path, str]:
    """Read the part `file` of a form."""
    async with request.form(max_files=1, max_fields=8, max_part_size=64 << 10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ProblemError("invalid-request", "the form has no part 'file' with a file name")

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await file.read(1 << 20):
                yield piece

        given = (file.filename or "").replace("\\", "/").rpartition("/")[2]
        return await service.spool.take(pieces(), given), given


async def _address(request: Request) -> str:
    """Read a body {"url": ...}."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _JSON_BODY:
            raise ProblemError("too-large", f"the JSON is larger than {_JSON_BODY} bytes")
    try:
        document = parse_json(bytes(body), "body")
    except DataError as e:
        raise ProblemError("bad-syntax", str(e)) from e
    if not isinstance(document, dict) or set(document) != {"url"} or not isinstance(document["url"], str):
        raise ProblemError("invalid-request", 'the body is no {"url": "https://..."}')
    return document["url"]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _length(path: Path, wanted: Wanted, service: Service) -> float | None:
    """Return the seconds of a video as its header has them, None if it does not; 0 for features.

    Raises:
        ProblemError: it is no video, or too long.
    """
    if path.suffix == ".npz":
        return 0.0
    try:
        with open_video(path, limits=service.options.limits) as video:
            seconds = video.duration
    except TALError as e:
        if Path(wanted.source).suffix.lower() == ".npz" and getattr(e, "fault", None) is VideoFault.NOT_A_VIDEO:
            raise ProblemError("bad-features", f"{wanted.source}: not a feature file, it is no zip archive") from e
        raise problem_of(e, {str(path): wanted.source}) from e
    if seconds is not None:
        check_duration(seconds, service.options.max_duration)
    return seconds
