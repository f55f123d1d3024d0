"""The connection of a client: requests, events, frames; see `async_client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray

from .._util.extras import need
from ..errors import ServiceError
from . import calls
from .calls import Call, ServedEvent
from .pushing import MESSAGE_BYTES, Pushing

T = TypeVar("T")

_PIECE = 1 << 20
#: Tries in a row to read on where events broke off, and seconds between two.
_TRIES, _PAUSE_S = 8, 0.5


class AsyncConnection:
    """Sends requests; see `async_client.AsyncClient`."""

    def __init__(
        self,
        base: str = "http://127.0.0.1:8765",
        token: str | None = None,
        *,
        timeout: float = 30.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._base, self._headers = base.rstrip("/"), calls.headers_of(token)
        self._owned = http is None
        self._http = http or httpx.AsyncClient(timeout=httpx.Timeout(timeout, read=None), follow_redirects=False)

    async def aclose(self) -> None:
        """Close the connections; closing twice is harmless."""
        if self._owned:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _do(self, call: Call[T]) -> T:
        headers = {**self._headers, **call.headers}
        where = f"{self._base}{call.path}"
        try:
            if call.file is not None:
                with call.file.open("rb") as file:
                    content = _pieces(file)
                    response = await self._http.request(
                        call.method, where, params=call.query, headers=headers, content=content
                    )
            else:
                response = await self._http.request(
                    call.method, where, params=call.query, headers=headers, json=call.json, content=call.content
                )
        except httpx.HTTPError as e:
            raise calls.broken(e) from e
        return call.read(calls.checked(response))

    async def _events(self, path: str, after: str = "") -> AsyncIterator[tuple[str, str, str]]:
        """Yield (kind, id, data) up to the kind "end", reading on where a connection breaks off."""
        tries = 0
        while True:
            reader = calls.EventReader()
            headers = {**self._headers, "Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
            with suppress(httpx.HTTPError):
                async with self._http.stream(
                    "GET", f"{self._base}{path}", headers=headers, timeout=calls.SILENCE
                ) as response:
                    if not response.is_success:
                        await response.aread()
                    if response.status_code not in calls.LATER:
                        calls.checked(response)
                    async for line in response.aiter_lines():
                        if (found := reader.take(line)) is None:
                            continue
                        tries, after = 0, reader.last_id
                        yield found
                        if found[0] == "end":
                            return
            tries += 1
            if tries > _TRIES:
                raise ServiceError(f"{path}: the events broke off, and the service cannot be reached again")
            await asyncio.sleep(_PAUSE_S)

    async def _push(
        self,
        frames: AsyncIterable[tuple[NDArray[np.uint8], float]],
        name: str,
        format: str,  # noqa: A002 - the service's name
        options: dict[str, Any],
    ) -> AsyncIterator[ServedEvent]:
        """Push frames, and yield the events that they decide."""
        websockets = need("websockets.asyncio.client")
        exceptions = need("websockets.exceptions")
        pushing: Pushing | None = None
        try:
            async with AsyncExitStack() as stack:
                async for image, pts in frames:
                    if pushing is None:
                        pushing = Pushing(self._base, name, format, (image.shape[1], image.shape[0]), options)
                        socket = await stack.enter_async_context(
                            websockets.connect(pushing.url, additional_headers=self._headers, max_size=MESSAGE_BYTES)
                        )
                    while not pushing.may_send:
                        if (found := pushing.take(await socket.recv())) is not None:
                            yield found
                    await socket.send(pushing.frame(image, pts))
                if pushing is None:
                    return
                await socket.send(pushing.end)
                while not pushing.done:
                    if (found := pushing.take(await socket.recv())) is not None:
                        yield found
        except exceptions.InvalidStatus as e:
            response = httpx.Response(e.response.status_code, headers=list(e.response.headers.raw_items()),
                                      content=bytes(e.response.body or b""))  # fmt: skip
            calls.checked(response)
            raise ServiceError("the service answered no WebSocket") from e
        except (exceptions.ConnectionClosed, exceptions.InvalidHandshake, OSError) as e:
            raise ServiceError(f"the connection was lost ({e})") from e


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece
