"""A client of a service for event loops."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ServiceError
from ..results import Localization
from . import calls
from .async_connection import AsyncConnection
from .calls import Call, JobStatus, Sent, ServedEvent

T = TypeVar("T")

_PIECE = 1 << 20


class AsyncClient(AsyncConnection):
    """A service of `tal serve`, for event loops; close it, or use it in a `async with` block.

    An error of one call does not affect the others. Times are seconds.

    Args:
        base: address of the service.
        token: a token of the service; None where it has none.
        timeout: seconds to connect, and for each pause in sending; a result is waited for until its deadline.
        http: a client of httpx to use instead, such as one with certificates of its own; it is not closed.

    Raises:
        ServiceError: of each call: the service answered an error, whose `status` and `kind` say which, or none.

    >>> from tal_engine.client import AsyncClient
    >>> import asyncio
    >>> async def look():
    ...     async with AsyncClient("http://127.0.0.1:1") as client:  # nobody is there
    ...         return await client.ready()
    >>> asyncio.run(look())
    False
    """

    # -- videos and features -----------------------------------------------------------------------

    async def localize(
        self,
        source: Sent,
        *,
        plan: str | None = None,
        name: str | None = None,
        min_score: float | None = None,
        top_k: int | None = None,
        raw_scores: bool = False,
        people: int = 0,
        force: bool = False,
        deadline: float | None = None,
    ) -> Localization:
        """Find which actions happen when, and wait for it; long videos are better jobs (`submit`).

        Args:
            source: a video or features: a file, its bytes, or an address that the service may read.
            plan: name of a plan; None for the service's first.
            name: what results call it; None for the file's name.
            min_score: least score; None takes the plan's.
            top_k: most segments; None takes the plan's, 0 keeps all.
            raw_scores: scores as the method gives them.
            people: localize each of so many people by itself (1 to 16), by a plan that reads poses.
            force: take features whose record differs from the plan's.
            deadline: seconds after which the service gives up.
        """
        options = {
            "plan": plan, "name": name, "min_score": min_score, "top_k": top_k, "raw_scores": raw_scores,
            "people": people, "force": force, "deadline": deadline,
        }  # fmt: skip
        return await self._do(calls.localize_call(source, calls.result_of, "sync", options))

    async def submit(
        self,
        source: Sent,
        *,
        plan: str | None = None,
        name: str | None = None,
        min_score: float | None = None,
        top_k: int | None = None,
        raw_scores: bool = False,
        people: int = 0,
        force: bool = False,
        key: str | None = None,
    ) -> JobStatus:
        """Have it done as a job, which survives a restart of the service; see `localize`.

        Args:
            source: see `localize`.
            plan: see `localize`.
            name: see `localize`.
            min_score: see `localize`.
            top_k: see `localize`.
            raw_scores: see `localize`.
            people: see `localize`.
            force: see `localize`.
            key: a job of this key is accepted once, so that a call that broke off can be repeated.
        """
        options = {
            "plan": plan, "name": name, "min_score": min_score, "top_k": top_k, "raw_scores": raw_scores,
            "people": people, "force": force,
        }  # fmt: skip
        return await self._do(calls.localize_call(source, calls.status_of, "job", options, key))

    async def jobs(self, state: str | None = None, limit: int = 100) -> list[JobStatus]:
        """List jobs, newest first.

        Args:
            state: only jobs in it; None for all.
            limit: most jobs.
        """
        found = await self._do(Call("GET", "/v1/jobs", calls.mapping, {"state": state, "limit": limit}))
        return [JobStatus.of(one) for one in found["jobs"]]

    async def job(self, id: str) -> JobStatus:  # noqa: A002 - the service's name
        """Return what became of a job."""
        return await self._do(Call("GET", calls.job_path(id), calls.status_of))

    async def result(self, id: str) -> Localization:  # noqa: A002
        """Return the result of a job that is done; an error of the kind "conflict" before."""
        return await self._do(Call("GET", calls.job_path(id, "/result"), calls.result_of))

    async def cancel(self, id: str) -> JobStatus:  # noqa: A002
        """Cancel a job: at once if it waits, after its current batch of snippets if it runs."""
        return await self._do(Call("POST", calls.job_path(id, "/cancel"), calls.status_of))

    async def forget(self, id: str) -> None:  # noqa: A002
        """Forget a job that is over, and its result."""
        await self._do(Call("DELETE", calls.job_path(id), calls.nothing))

    async def progress(self, id: str) -> AsyncIterator[JobStatus]:  # noqa: A002
        """Yield a job as it goes on; the last one is over."""
        async for _, _, data in self._events(calls.job_path(id, "/events")):
            yield JobStatus.of(json.loads(data))

    async def wait(self, id: str) -> Localization:  # noqa: A002
        """Wait for a job, and return its result."""
        async for _ in self.progress(id):
            pass
        return await self.result(id)

    # -- streams -----------------------------------------------------------------------------------

    async def start_stream(
        self,
        source: str,
        *,
        name: str | None = None,
        plan: str | None = None,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
        realtime: bool = False,
        options: dict[str, float] | None = None,
    ) -> dict[str, Any]:
        """Let the service read a live source; return what it says of the stream.

        Args:
            source: an address or a name that the service allows.
            name: of the stream.
            plan: see `localize`.
            provisional: also events of actions that are open or may change.
            min_score: see `localize`.
            top_k: see `localize`.
            realtime: pace a file as if it were live.
            options: fields of `StreamOptions`.
        """
        wanted = {
            "name": name, "plan": plan, "provisional": provisional, "min_score": min_score, "top_k": top_k,
            "realtime": realtime, "options": options,
        }  # fmt: skip
        return await self._do(Call("POST", "/v1/streams", calls.mapping, json=calls.stream_body(source, wanted)))

    async def streams(self) -> list[dict[str, Any]]:
        """List the streams, those that ended lately too."""
        found: list[dict[str, Any]] = (await self._do(Call("GET", "/v1/streams", calls.mapping)))["streams"]
        return found

    async def stream(self, name: str) -> dict[str, Any]:
        """Return what there is to know of a stream."""
        return await self._do(Call("GET", calls.stream_path(name), calls.mapping))

    async def stop_stream(self, name: str) -> dict[str, Any]:
        """Stop a stream; its open actions are decided."""
        return await self._do(Call("POST", calls.stream_path(name, "/stop"), calls.mapping))

    async def forget_stream(self, name: str) -> None:
        """Forget a stream that has ended."""
        await self._do(Call("DELETE", calls.stream_path(name), calls.nothing))

    async def events(self, name: str, after: str = "") -> AsyncIterator[ServedEvent]:
        """Yield the events of a stream until it ends; a connection that breaks off is made again, and none is repeated.

        Args:
            name: of the stream.
            after: id of the last event that is known; "" for all that are kept.
        """
        async for kind, id_, data in self._events(calls.stream_path(name, "/events"), after):
            if (found := calls.served(kind, id_, data)) is not None:
                yield found

    async def push(
        self,
        frames: AsyncIterable[tuple[NDArray[np.uint8], float]],
        name: str,
        *,
        format: str = "jpeg",  # noqa: A002 - the service's name
        plan: str | None = None,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
    ) -> AsyncIterator[ServedEvent]:
        """Push frames, and yield the events that they decide; no more are on their way than the service wants.

        Args:
            frames: (image [H, W, 3] uint8 RGB, seconds) in order; taken as they are needed. One
                whose time is NaN or goes back is skipped, with a warning in the log.
            name: of the stream.
            format: "jpeg", or "rgb24", which loses nothing and is larger.
            plan: see `localize`.
            provisional: see `start_stream`.
            min_score: see `localize`.
            top_k: see `localize`.
        """
        options = {"plan": plan, "provisional": provisional, "min_score": min_score, "top_k": top_k}
        async for event in self._push(frames, name, format, options):
            yield event

    # -- plans and the service ---------------------------------------------------------------------

    async def plans(self) -> list[str]:
        """Return the names of the plans, the default first."""
        found: Sequence[str] = (await self._do(Call("GET", "/v1/plans", calls.mapping)))["plans"]
        return list(found)

    async def plan(self, name: str) -> dict[str, Any]:
        """Return what is inside a plan."""
        return await self._do(Call("GET", calls.plan_path(name), calls.mapping))

    async def doctor(self, name: str) -> dict[str, Any]:
        """Have the service load and run a plan, and return what it finds."""
        return await self._do(Call("GET", calls.plan_path(name, "/doctor"), calls.mapping))

    async def about(self) -> dict[str, Any]:
        """Return version and limits of the service."""
        return await self._do(Call("GET", "/v1", calls.mapping))

    async def ready(self) -> bool:
        """Return whether the service can be reached and takes work."""
        try:
            await self._do(Call("GET", "/readyz", calls.nothing))
        except ServiceError:
            return False
        return True
