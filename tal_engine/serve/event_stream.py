"""Server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .service import Places


class EventStream(StreamingResponse):
    """A response that goes on until its events end or its client has gone; it takes a listener's place meanwhile.

    Args:
        events: texts of `message`.
        places: of listeners.
        status_code: of the response.

    Raises:
        ProblemError: all places are taken.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], places: Places, status_code: int = 200) -> None:
        super().__init__(events, status_code, {"X-Accel-Buffering": "no"})
        self._places = places
        with places:  # a refusal has to come before the response
            pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self._places:
            await super().__call__(scope, receive, send)


def message(data: str, event: str = "", id: str = "") -> str:  # noqa: A002 - the field's name
    """Format an event.

    Args:
        data: one line.
        event: its kind.
        id: what a client that comes back gives as Last-Event-ID.
    """
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return f"{head}data: {data}\n\n"
