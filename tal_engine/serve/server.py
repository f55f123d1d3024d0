"""The listening side: uvicorn with bounds of its own on connections and headers, TLS, and an end in order.

h11 parses requests: it refuses headers beyond `HEADER_BYTES`, where the faster parser has no bound. A connection that
has not sent a header within `_HEADER_S` is closed, so clients that say nothing hold no more than a place for a while.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import ssl
from contextlib import suppress
from types import FrameType
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ..errors import UsageError
from .app import application
from .guard import HEADER_BYTES
from .problems import MEDIA_TYPE, ProblemError, busy
from .service import Service
from .settings import ServeOptions

log = logging.getLogger("tal_engine")
_uvicorn_log = logging.getLogger("uvicorn.error")

_HEADER_S, _KEEP_ALIVE_S = 15.0, 15
#: A client that reads nothing for so long is disconnected.
_READING_S = 60.0
#: Largest message of a WebSocket that takes frames: one of 4K video that is not compressed; and of one that only tells.
_FRAME_BYTES, _HEARD_BYTES = 32 << 20, 4 << 10


class _Protocol(H11Protocol):
    """A connection that has to say what it wants in time, as one of a bounded number."""

    most = 1000

    def connection_made(self, transport: Any) -> None:
        """Take a place, or say that there is none."""
        super().connection_made(transport)
        self._deadline: Any = None
        if len(self.connections) > self.most:
            self._say(busy(f"there are {self.most} connections already", 5))
        else:
            self._expect()

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(_HEADER_S, self._late)

    def _heard(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self._say(ProblemError("too-slow", f"no request within {_HEADER_S:g} s"))

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time for the header ends when a request began."""
        if self.transport.is_closing():
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or self.transport.get_protocol() is not self:
            self._heard()
        elif (
            self._deadline is None and (before is None or before.response_complete) and not self.transport.is_closing()
        ):
            self._expect()  # a part of the next header

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self._heard()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or has too large a header."""
        large = getattr(self.conn, "_receive_buffer", b"")
        if len(large) > HEADER_BYTES // 2:
            self._say(ProblemError("headers-too-large", f"the header is larger than {HEADER_BYTES} bytes"))
        else:
            self._say(ProblemError("bad-syntax", "this is no HTTP/1.1 request"))

    def _say(self, problem: ProblemError) -> None:
        """Answer without the application, and close."""
        if self.cycle is None or self.cycle.response_complete:
            text = json.dumps(problem.document).encode()
            more = "".join(f"{k}: {v}\r\n" for k, v in problem.headers.items())
            head = (
                f"HTTP/1.1 {problem.status} {problem.kind}\r\nContent-Type: {MEDIA_TYPE}\r\n"
                f"Content-Length: {len(text)}\r\nConnection: close\r\n{more}\r\n"
            )
            self.transport.write(head.encode() + text)
        self.transport.close()


class _Socket(WebSocketsSansIOProtocol):
    """A WebSocket that takes no more than it needs, and whose refusal counts as an answer."""

    def handle_connect(self, event: Any) -> None:
        """Begin, with the bound of what is asked for."""
        if not event.path.startswith("/v1/push"):
            newer = hasattr(self.conn, "max_message_size")  # than websockets 14
            setattr(self.conn, "max_message_size" if newer else "max_size", _HEARD_BYTES)
        super().handle_connect(event)

    async def send(self, message: Any) -> None:
        """Send a message."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # else uvicorn logs an error, as of an application that said nothing


class Drained(Protocol):
    """What a server ends in order: it is told to hurry, or to finish what runs."""

    hurry: bool

    async def drain(self, seconds: float) -> None: ...


class _Server(uvicorn.Server):
    """A server that ends connections that nobody reads, and finishes what it has begun before it closes the others."""

    def __init__(self, config: uvicorn.Config, drained: Drained, drain_seconds: float) -> None:
        super().__init__(config)
        self._drained, self._drain_seconds = drained, drain_seconds
        #: Bytes that wait to be read by a client, and since when.
        self._unread: dict[Any, tuple[int, float]] = {}

    async def on_tick(self, counter: int) -> bool:
        """Do what is done now and then; return whether to stop."""
        if counter % 10 == 0:
            self._end_unread(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _end_unread(self, now: float) -> None:
        """Disconnect clients that have read nothing for long: closing alone would wait for them for ever."""
        before, self._unread = self._unread, {}
        for connection in list(self.server_state.connections):
            size = connection.transport.get_write_buffer_size()
            if size:
                known = before.get(connection, (size, now))
                self._unread[connection] = known if known[0] == size else (size, now)
                if now - self._unread[connection][1] > _READING_S:
                    connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end at the first signal, and end at once at the second."""
        self.force_exit = self._drained.hurry = self.should_exit
        if self.force_exit:  # what is broken off now is none of the service's errors
            _uvicorn_log.setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what runs be finished, while probes are still answered."""
        if not self.force_exit:
            await self._drained.drain(self._drain_seconds)
        await super().shutdown(sockets)


def listen(options: ServeOptions) -> socket.socket:
    """Return a socket that listens where the options say.

    Raises:
        UsageError: the port is not available, or there is no such host.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as e:
        raise UsageError(f"host is {options.host!r}, must be an address of this machine ({e.strerror})") from e
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(512)
    except OSError as e:
        found.close()
        raise UsageError(f"port {options.port} on {options.host} cannot be had ({e.strerror})") from e
    found.setblocking(False)
    return found


def check_tls(options: ServeOptions) -> None:
    """Read certificate and key now rather than with the first client.

    Raises:
        UsageError: they cannot be used.
    """
    if options.tls_cert is None or options.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_cert, options.tls_key, password="")
    except (OSError, ssl.SSLError) as e:
        raise UsageError(f"{options.tls_cert}, {options.tls_key}: no certificate with its key ({e})") from e


def server_of(service: Service) -> uvicorn.Server:
    """Return the server of a service; its `run` serves the sockets that it is given, until `should_exit` is set.

    Args:
        service: not started yet.
    """
    return server_for(application(service), service.options, service)


def server_for(app: ASGIApp, options: ServeOptions, drained: Drained) -> uvicorn.Server:
    """Return a server of an application, with the bounds that options set.

    Args:
        app: what answers.
        options: of the listening side.
        drained: told when the server ends.
    """
    _more_files(options.connections)
    _Protocol.most = options.connections
    config = uvicorn.Config(
        app, http=_Protocol, ws=_Socket, loop="asyncio", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, h11_max_incomplete_event_size=HEADER_BYTES,
        ws_max_size=_FRAME_BYTES, ws_per_message_deflate=False, timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=5, ssl_certfile=options.tls_cert, ssl_keyfile=options.tls_key,
    )  # fmt: skip
    return _Server(config, drained, options.drain_seconds)


def serve(service: Service, listening: socket.socket) -> None:
    """Serve until a signal says to stop.

    Args:
        service: not started yet.
        listening: see `listen`.
    """
    server_of(service).run(sockets=[listening])


def _more_files(connections: int) -> None:
    """Raise the process's limit of open files to what the connections take, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
