"""/v1/streams: live sources; start, stop and list them; their events by server-sent events and by WebSocket."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response, WebSocket
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocketDisconnect

from ..errors import TALError
from ..options import LiveOptions, StreamOptions
from ..streaming import StreamScheduler
from .event_log import told
from .event_stream import EventStream, message
from .guard import SUBPROTOCOL
from .problems import ProblemError, problem_of
from .running_streams import Stream
from .service import Service, nothing_like, service_of, service_of_socket

router = APIRouter(prefix="/v1/streams", tags=["streams"])

NAME = r"^[A-Za-z0-9_.-]{1,64}$"

Here = Annotated[Service, Depends(service_of)]
Name = Annotated[str, Path(pattern=NAME, description="Name of a stream.")]


class StreamRequest(BaseModel):
    """A source to read."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=2048, description="An allowed address, or the name of a source.")
    name: str | None = Field(None, pattern=NAME, description="Name of the stream; default: the source's.")
    plan: str | None = Field(None, max_length=200)
    provisional: bool = Field(False, description="Also events of actions that are open or may change.")
    min_score: float | None = Field(None, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=0, lt=2**31)
    raw_scores: bool = False
    realtime: bool = Field(False, description="Pace a file as if it were live.")
    options: dict[str, float] = Field(default_factory=dict, max_length=20, description="Fields of StreamOptions.")


@router.get("")
async def streams(service: Here) -> dict[str, Any]:
    """List the streams, those that ended lately too, and the names of sources that can be started."""
    return {"streams": [s.document for s in service.streams.all()], "sources": service.allowed.named}


@router.post("", status_code=201)
async def start(wanted: StreamRequest, service: Here, response: Response) -> dict[str, Any]:
    """Begin to read a live source."""
    source = service.allowed.source(wanted.source)
    name = wanted.name or (
        wanted.source if wanted.source in service.allowed.named else f"stream-{secrets.token_hex(4)}"
    )
    stream = await asyncio.to_thread(service.streams.begin, name, lambda: opened(wanted, name, source, service))
    response.headers["Location"] = f"/v1/streams/{name}"
    return stream.document


def opened(wanted: StreamRequest, name: str, source: str, service: Service) -> Stream:
    """Open a source for a stream.

    Args:
        wanted: what was asked for.
        name: of the stream.
        source: what is read.
        service: whose plan looks at it.

    Raises:
        ProblemError: the source or an option cannot be used; what it names is shown as it was asked for.
    """
    model = service.plans.model(wanted.plan)
    options = stream_options(model.plan.manifest.stream, wanted.options)
    try:
        scheduler = StreamScheduler(
            model.engine, [f"{name}={source}"], options, LiveOptions(realtime=wanted.realtime),
            provisional=wanted.provisional, min_score=wanted.min_score, top_k=wanted.top_k,
            calibrated=not wanted.raw_scores,
        )  # fmt: skip
    except TALError as e:
        raise problem_of(e, {source: wanted.source}) from e
    return Stream(name, model.name, "source", scheduler.declared_latency_s, scheduler)


def stream_options(known: StreamOptions, wanted: dict[str, float]) -> StreamOptions:
    """Return a plan's stream options with the values that a request gives.

    Raises:
        ProblemError: there is no such option.
        UsageError: a value makes no sense.
    """
    names = [f.name for f in fields(StreamOptions)]
    if strange := sorted(set(wanted) - set(names)):
        raise ProblemError("invalid-request", f"option is {strange[0][:100]!r}, must be one of {', '.join(names)}")
    return replace(known, **wanted)


def stream_of(name: str, service: Service) -> Stream:
    """Return a stream.

    Raises:
        ProblemError: there is none of this name.
    """
    stream = service.streams.get(name)
    if stream is None:
        raise nothing_like("stream", name)
    return stream


@router.get("/{name}")
async def stream(name: Name, service: Here) -> dict[str, Any]:
    """Return what there is to know of a stream: its state, its counts, what was not analysed."""
    return stream_of(name, service).document


@router.post("/{name}/stop", status_code=202)
async def stop(name: Name, service: Here) -> dict[str, Any]:
    """Stop reading a source; its open actions are decided, and its last events can still be read."""
    found = stream_of(name, service)
    service.streams.stop(found)
    return found.document


@router.delete("/{name}", status_code=204, response_model=None)
async def forget(name: Name, service: Here) -> None:
    """Forget a stream that has ended. 409 if it has not."""
    if not service.streams.forget(stream_of(name, service)):
        raise ProblemError("conflict", f"stream {name!r} runs: stop it first")


@router.get("/{name}/events", response_class=EventStream)
async def events(
    name: Name,
    service: Here,
    after: Annotated[str, Query(max_length=64, description="Id of the last event that is known.")] = "",
    last_event_id: Annotated[str, Header(max_length=64, description="The same, as browsers give it.")] = "",
) -> EventStream:
    """Tell the events of a stream as server-sent events, from the one after a known id on.

    Events are called by their kind (`final`, ...); `gap` says how many are not kept any more, `end` is the last.
    """
    found = stream_of(name, service)
    service.check_open()
    return EventStream(_sent(found, last_event_id or after), service.listeners)


async def _sent(found: Stream, after: str) -> AsyncIterator[str]:
    log = found.log
    async for missed, number, one in told(found.log, after):
        if missed:
            yield message(json.dumps({"missed": missed}), "gap")
        yield ": \n\n" if one is None else message(one.event.to_json(), one.event.kind, f"{log.epoch}-{number}")
    yield message(json.dumps(found.document), "end")


@router.websocket("/{name}/events")
async def events_by_socket(socket: WebSocket, name: str, after: str = "") -> None:
    """Tell the events of a stream as JSON texts: {"type": "event", "id", "event"}, "gap" and "end" as above."""
    service = service_of_socket(socket)
    try:
        service.check_open()
        found = stream_of(name, service)
        with service.listeners:
            await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
            await _until_gone(socket, _tell(socket, found, after))
    except ProblemError as e:
        await socket.send_denial_response(e.response())


async def _tell(socket: WebSocket, found: Stream, after: str) -> None:
    async for missed, number, one in told(found.log, after):
        if missed:
            await socket.send_json({"type": "gap", "missed": missed})
        if one is not None:
            document = {"type": "event", "id": f"{found.log.epoch}-{number}", "event": one.event.to_dict()}
            await socket.send_json(document)
    await socket.send_json({"type": "end", "stream": found.document})
    await socket.close(1000)


async def _until_gone(socket: WebSocket, telling: Any) -> None:
    """Tell until all is told or the client has gone; what the client says is read and means nothing."""

    async def heard() -> None:
        while True:
            await socket.receive_text()

    work = {asyncio.ensure_future(telling), asyncio.ensure_future(heard())}
    done, rest = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    for one in rest:
        one.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for one in done:
        error = one.exception()
        if error is not None and not isinstance(error, WebSocketDisconnect | RuntimeError | KeyError):
            raise error
