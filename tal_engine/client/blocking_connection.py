"""The connection of a client: requests, events, frames; see `blocking_client`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray

from .._util.extras import need
from ..errors import ServiceError
from . import calls
from .calls import Call, ServedEvent
from .pushing import MESSAGE_BYTES, Pushing

T = TypeVar("T")

#: Tries in a row to read on where events broke off, and seconds between two.
_TRIES, _PAUSE_S = 8, 0.5


class Connection:
    """Sends requests; see `blocking_client.Client`."""

    def __init__(
        self,
        base: str = "http://127.0.0.1:8765",
        token: str | None = None,
        *,
        timeout: float = 30.0,
        http: httpx.Client | None = None,
    ) -> None:
        self._base, self._headers = base.rstrip("/"), calls.headers_of(token)
        self._owned = http is None
        self._http = http or httpx.Client(timeout=httpx.Timeout(timeout, read=None), follow_redirects=False)

    def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        if self._owned:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, call: Call[T]) -> T:
        headers = {**self._headers, **call.headers}
        where = f"{self._base}{call.path}"
        try:
            if call.file is not None:
                with call.file.open("rb") as file:
                    content = file
                    response = self._http.request(
                        call.method, where, params=call.query, headers=headers, content=content
                    )
            else:
                response = self._http.request(
                    call.method, where, params=call.query, headers=headers, json=call.json, content=call.content
                )
        except httpx.HTTPError as e:
            raise calls.broken(e) from e
        return call.read(calls.checked(response))

    def _events(self, path: str, after: str = "") -> Iterator[tuple[str, str, str]]:
        """Yield (kind, id, data) up to the kind "end", reading on where a connection breaks off."""
        tries = 0
        while True:
            reader = calls.EventReader()
            headers = {**self._headers, "Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
            with (
                suppress(httpx.HTTPError),
                self._http.stream("GET", f"{self._base}{path}", headers=headers, timeout=calls.SILENCE) as response,
            ):
                if not response.is_success:
                    response.read()
                if response.status_code not in calls.LATER:
                    calls.checked(response)
                for line in response.iter_lines():
                    if (found := reader.take(line)) is None:
                        continue
                    tries, after = 0, reader.last_id
                    yield found
                    if found[0] == "end":
                        return
            tries += 1
            if tries > _TRIES:
                raise ServiceError(f"{path}: the events broke off, and the service cannot be reached again")
            time.sleep(_PAUSE_S)

    def _push(
        self,
        frames: Iterable[tuple[NDArray[np.uint8], float]],
        name: str,
        format: str,  # noqa: A002 - the service's name
        options: dict[str, Any],
    ) -> Iterator[ServedEvent]:
        """Push frames, and yield the events that they decide."""
        websockets = need("websockets.sync.client")
        exceptions = need("websockets.exceptions")
        pushing: Pushing | None = None
        try:
            with ExitStack() as stack:
                for image, pts in frames:
                    if pushing is None:
                        pushing = Pushing(self._base, name, format, (image.shape[1], image.shape[0]), options)
                        socket = stack.enter_context(
                            websockets.connect(pushing.url, additional_headers=self._headers, max_size=MESSAGE_BYTES)
                        )
                    while not pushing.may_send:
                        if (found := pushing.take(socket.recv())) is not None:
                            yield found
                    socket.send(pushing.frame(image, pts))
                if pushing is None:
                    return
                socket.send(pushing.end)
                while not pushing.done:
                    if (found := pushing.take(socket.recv())) is not None:
                        yield found
        except exceptions.InvalidStatus as e:
            response = httpx.Response(e.response.status_code, headers=list(e.response.headers.raw_items()),
                                      content=bytes(e.response.body or b""))  # fmt: skip
            calls.checked(response)
            raise ServiceError("the service answered no WebSocket") from e
        except (exceptions.ConnectionClosed, exceptions.InvalidHandshake, OSError) as e:
            raise ServiceError(f"the connection was lost ({e})") from e
