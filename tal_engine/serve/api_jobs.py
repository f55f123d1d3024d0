"""/v1/jobs: what became of accepted jobs; their progress as events, their results, cancelling and forgetting them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from .event_stream import EventStream, message
from .job_store import Job
from .problems import ProblemError
from .rendering import MEDIA_TYPES, ResultFormat, json_text, rendered, restored
from .service import Service, nothing_like, service_of
from .task import Task

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

#: Seconds between two messages of a job's progress at least, and after which a listener is told that nothing changed.
_LEAST_S, _QUIET_S = 0.1, 10.0
#: Seconds between two looks at a job that no worker of this service holds.
_LOOK_S = 1.0

Here = Annotated[Service, Depends(service_of)]


def job_document(job: Job, service: Service) -> dict[str, Any]:
    """Return what there is to know of a job, ready for JSON."""
    return _document(job, None if job.over else service.workers.find(job.id))


def _document(job: Job, task: Task | None) -> dict[str, Any]:
    done, total = (job.done, job.total) if task is None else task.progress
    return {
        "id": job.id, "state": job.state, "plan": job.wanted.plan, "source": job.wanted.source, "created": job.created,
        "started": job.started, "finished": job.finished, "attempts": job.attempts,
        "progress": {"done": done, "total": total}, "stopping": task is not None and task.stopped.is_set(),
        "problem": job.problem,
    }  # fmt: skip


async def _job(id: str, service: Service) -> Job:  # noqa: A002 - as in the path
    job = await asyncio.to_thread(service.store.get, id)
    if job is None:
        raise nothing_like("job", id)
    return job


@router.get("")
async def jobs(
    service: Here,
    state: Annotated[
        Literal["queued", "running", "done", "failed", "cancelled"] | None, Query(description="Only jobs in it.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most jobs.")] = 100,
) -> dict[str, Any]:
    """List jobs, newest first."""
    found = await asyncio.to_thread(service.store.list, state, limit)
    return {"jobs": [job_document(job, service) for job in found]}


@router.get("/{id}")
async def job(id: str, service: Here) -> dict[str, Any]:  # noqa: A002
    """Return what became of a job."""
    return job_document(await _job(id, service), service)


@router.get(
    "/{id}/result",
    responses={200: {"description": "The result.", "content": {t: {} for t in sorted(set(MEDIA_TYPES.values()))}}},
    response_class=Response,
)
async def result(
    id: str,  # noqa: A002
    service: Here,
    format: Annotated[ResultFormat, Query(description="Form of the result.")] = ResultFormat.json,  # noqa: A002
    curves: Annotated[bool, Query(description="Add class activations and attention (json).")] = False,
) -> Response:
    """Return the result of a job that is done; 409 before, and of one that failed its problem."""
    found = await _job(id, service)
    if found.state == "failed" and found.problem is not None:
        raise ProblemError("conflict", f"the job failed: {found.problem['detail']}")
    document = await asyncio.to_thread(service.store.result, id)
    if document is None:
        raise ProblemError("conflict", f"the job is {found.state}, must be done", {"Retry-After": "1"})
    whole = curves and format is ResultFormat.json

    def text() -> str | bytes:
        return json_text(document) if whole else rendered(restored(document), format)

    return Response(await asyncio.to_thread(text), media_type=MEDIA_TYPES[format])


@router.post("/{id}/cancel", status_code=202)
async def cancel(id: str, service: Here) -> dict[str, Any]:  # noqa: A002
    """Cancel a job: at once if it waits, after its current batch of snippets if it runs. 409 if it is over."""
    found = await _job(id, service)
    if found.over and found.state != "cancelled":
        raise ProblemError("conflict", f"the job is {found.state} already")
    await asyncio.to_thread(service.workers.cancel_job, id)
    return job_document(await _job(id, service), service)


@router.delete("/{id}", status_code=204, response_model=None)
async def forget(id: str, service: Here) -> None:  # noqa: A002
    """Forget a job that is over, and its result. 409 if it is not."""
    found = await _job(id, service)
    if not await asyncio.to_thread(service.store.forget, id):
        raise ProblemError("conflict", f"the job is {found.state}: cancel it first")


@router.get("/{id}/events", response_class=EventStream)
async def events(id: str, service: Here) -> EventStream:  # noqa: A002
    """Tell the progress of a job as server-sent events: `progress` as it changes, `end` with its outcome."""
    await _job(id, service)
    service.check_open()
    return EventStream(_progress(id, service), service.listeners)


async def _progress(id: str, service: Service) -> AsyncIterator[str]:  # noqa: A002
    """Tell what a job's bell says; the store is read when its state may have changed, not for each step."""
    told, number, found, state = "", 0, None, (False, False)
    while not service.draining.is_set():
        task = service.workers.find(id)
        rings = 0 if task is None else task.bell.rings  # before the look: what comes between is heard
        before, state = state, (False, False) if task is None else (task.running, task.stopped.is_set())
        if found is None or task is None or state != before:
            found = await asyncio.to_thread(service.store.get, id)
        if found is None:
            return
        document = json.dumps(_document(found, None if found.over else task))
        if document != told:
            number, told = number + 1, document
            yield message(document, "end" if found.over else "progress", str(number))
            if found.over:
                return
        await asyncio.sleep(_LEAST_S)
        if task is None:
            await asyncio.sleep(_LOOK_S)
        elif not await task.bell.heard(rings, _QUIET_S):
            yield ": \n\n"
