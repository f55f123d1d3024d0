"""WebSocket /v1/push: a client's frames in, their events out, no faster than they are localized.

After {"type": "ready"} a client sends binary messages: the frame's time in seconds as a little-endian float64, then the
frame, a JPEG or RGB rows. Each is acknowledged, one whose time is NaN or goes back after {"type": "refused"}: it is
skipped and counted. At most `window` may be on their way: those beyond wait in the
network, so memory stays bounded whatever a client does. The text {"type": "end"} ends the stream: open actions become
final, and {"type": "done"} is the last message. Whatever else ends it, its open actions are not decided.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from fastapi import APIRouter, Query, WebSocket
from numpy.typing import NDArray
from starlette.websockets import WebSocketDisconnect

from .._util.untrusted import parse_json
from ..errors import UsageError, VideoError, VideoFault
from ..events import Event
from ..limits import Limits
from ..streaming import StreamingLocalizer
from .api_streams import NAME
from .guard import SUBPROTOCOL
from .problems import ProblemError, problem_of, unavailable
from .running_streams import Stream
from .service import Service, service_of_socket

router = APIRouter(prefix="/v1", tags=["streams"])

#: Frames that may be on their way without an acknowledgement, as clients are told.
WINDOW = 8
#: A client that sends nothing for so long is disconnected, seconds.
_SILENT_S = 60.0
_TIME = struct.Struct("<d")
#: Markers of JPEG that say how large the picture is, and those that have no length.
_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True)
class Pushed:
    """What the query of a client says of its frames."""

    name: str
    format: Literal["jpeg", "rgb24"]
    width: int
    height: int
    limits: Limits

    def image(self, data: bytes) -> NDArray[np.uint8]:
        """Return a frame [H, W, 3] of its bytes.

        Raises:
            VideoError: it is damaged, too large, or not of the size that was said.
        """
        if self.format == "jpeg":
            return decoded(data, self.name, self.limits)
        size = self.width * self.height * 3
        if len(data) != size:
            raise VideoError(VideoFault.BAD_FRAMES, f"{self.name}: a frame has {len(data)} bytes, must have {size}")
        return np.frombuffer(data, np.uint8).reshape(self.height, self.width, 3)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height that a JPEG declares, without decoding it; None if it is none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _SIZES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def decoded(data: bytes, name: str, limits: Limits) -> NDArray[np.uint8]:
    """Decode a JPEG, whose size is looked at first: few bytes may declare gigabytes.

    Raises:
        VideoError: it is damaged, or too large.
    """
    size = jpeg_size(data)
    if size is None or 0 in size:
        raise VideoError(VideoFault.BAD_FRAMES, f"{name}: a frame is no JPEG")
    limits.check_picture(name, *size, "a frame is")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise VideoError(VideoFault.BAD_FRAMES, f"{name}: a frame is a JPEG that cannot be decoded")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


@router.websocket("/push")
async def push(
    socket: WebSocket,
    name: Annotated[str, Query(pattern=NAME)],
    plan: Annotated[str | None, Query(max_length=200)] = None,
    format: Annotated[Literal["jpeg", "rgb24"], Query()] = "jpeg",  # noqa: A002
    width: Annotated[int, Query(ge=0, le=65535)] = 0,
    height: Annotated[int, Query(ge=0, le=65535)] = 0,
    provisional: Annotated[bool, Query()] = False,
    min_score: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    top_k: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    raw_scores: Annotated[bool, Query()] = False,
) -> None:
    """Localize frames that a client pushes; see the module."""
    service = service_of_socket(socket)
    choices = {"provisional": provisional, "min_score": min_score, "top_k": top_k, "calibrated": not raw_scores}
    try:
        service.check_open()
        how = Pushed(name, format, width, height, service.options.limits)
        if format == "rgb24":
            if not width * height:
                raise UsageError(f"width and height are {width} and {height}, must be positive for rgb24")
            how.limits.check_picture(name, width, height, "a frame is")
        model = await asyncio.to_thread(service.plans.model, plan)
        localizer = model.engine.open_stream(f"push:{name}", **choices)  # type: ignore[arg-type]
        stream = service.streams.begin(name, lambda: Stream(name, model.name, "push", localizer.declared_latency_s))
    except Exception as e:
        await socket.send_denial_response(problem_of(e, service.plans.hidden()).response())
        return
    try:
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
        await _Session(socket, service, stream, localizer, how).run()
    finally:
        localizer.close()
        service.streams.end(stream)


class _Session:
    def __init__(
        self, socket: WebSocket, service: Service, stream: Stream, localizer: StreamingLocalizer, how: Pushed
    ) -> None:
        self._socket, self._service, self._stream = socket, service, stream
        self._localizer, self._how = localizer, how

    async def run(self) -> None:
        """Take messages one by one until the stream ends; what is wrong is told before the connection closes."""
        try:
            await self._socket.send_json(
                {"type": "ready", "window": WINDOW, "declared_latency_s": self._localizer.declared_latency_s}
            )
            while await self._one():
                pass
        except WebSocketDisconnect:
            self._stream.problem = ProblemError("too-slow", "the client has gone").document
        except Exception as e:
            problem = problem_of(e)
            self._stream.problem = problem.document
            try:
                await self._socket.send_json({"type": "problem", "problem": problem.document})
                await self._socket.close(1012 if problem.kind == "unavailable" else 1008, problem.kind)
            except (RuntimeError, WebSocketDisconnect):
                pass  # it has gone as well

    async def _one(self) -> bool:
        """Take a message; return whether more may come."""
        received = await self._received()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1006))
        data = received.get("bytes")
        if data is None:
            command = parse_json(received.get("text") or "", "message", limit=1 << 16)
            if command != {"type": "end"}:
                raise UsageError('a text is neither a frame nor {"type": "end"}')
            await self._tell(await asyncio.to_thread(self._localizer.flush))
            self._service.streams.end(self._stream)
            await self._socket.send_json({"type": "done", "stream": self._stream.document})
            await self._socket.close(1000)
            return False
        if len(data) <= _TIME.size:
            raise UsageError(f"a message has {len(data)} bytes, must have a time (float64) and a frame")
        (pts,) = _TIME.unpack_from(data)
        last = self._localizer.state.newest
        events = await asyncio.to_thread(self._push, data[_TIME.size :], pts)
        self._stream.frames += 1
        if self._localizer.state.refused > self._stream.refused:
            await self._refuse(pts, last)
        await self._tell(events)
        await self._socket.send_json({"type": "ack", "frames": self._stream.frames})
        return True

    async def _refuse(self, pts: float, last: float | None) -> None:
        """Tell that a frame was skipped for its time."""
        self._stream.refused = self._localizer.state.refused
        allowed = "finite" if last is None else f"finite and after that of the frame before, {last:g} s"
        detail = f"frame {self._stream.frames}: time is {pts:g} s, must be {allowed}; it is skipped"
        problem = ProblemError("invalid-request", detail).document
        await self._socket.send_json({"type": "refused", "frame": self._stream.frames, "problem": problem})

    async def _received(self) -> Any:
        """Wait for a message, but not for ever, and not while the service stops."""
        message = asyncio.ensure_future(self._socket.receive())
        stopping = asyncio.ensure_future(self._service.draining.wait())
        try:
            await asyncio.wait({message, stopping}, timeout=_SILENT_S, return_when=asyncio.FIRST_COMPLETED)
            if message.done():
                return message.result()
            if stopping.done():
                raise unavailable("the service is being stopped")
            raise ProblemError("too-slow", f"no frame for {_SILENT_S:g} s")
        finally:
            message.cancel()
            stopping.cancel()

    def _push(self, data: bytes, pts: float) -> list[Event]:
        return self._localizer.push(self._how.image(data), pts)

    async def _tell(self, events: list[Event]) -> None:
        for event in events:
            number = self._stream.log.add(event)
            self._stream.finals += event.is_final
            document = {"type": "event", "id": f"{self._stream.log.epoch}-{number}", "event": event.to_dict()}
            await self._socket.send_text(json.dumps(document))
