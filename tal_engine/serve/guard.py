"""What every request passes before anything looks at it: who asks, from where, how much, how slowly.

Plain ASGI, around the whole application. Bodies are counted as they arrive and never held here.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import ProblemError, problem_of
from .settings import ServeOptions

#: Probes of machines that have no token.
OPEN_PATHS = frozenset(("/healthz", "/readyz"))
#: The page, which asks for the token itself.
OPEN_BELOW = "/page/"
#: How browsers, which cannot set headers of a WebSocket, give a token: as a subprotocol beside `SUBPROTOCOL`.
SUBPROTOCOL, TOKEN_PROTOCOL = "tal.v1", "bearer."
#: Most bytes of a request's header.
HEADER_BYTES = 32 << 10
#: Bytes of bodies that are neither uploads nor tensors.
_SMALL_BODY = 1 << 20
_LABEL_STUDIO_BODY = 32 << 20
#: So much of a body that nobody wants is read before the answer, and for so long.
_REST_BYTES, _REST_S = 8 << 20, 1.0
#: A body may pause for so long, and is as fast on the whole, but for the first seconds.
_PAUSE_S, _FIRST_S, _BYTES_A_SECOND = 20.0, 30.0, 16 << 10
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class Tokens:
    """The tokens that clients may use. Comparing takes as long whichever is wrong, and wherever.

    Args:
        tokens: none for a service without tokens.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(t.encode()).digest() for t in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def know(self, token: str) -> bool:
        """Return whether a client may use this token."""
        given = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        return any([hmac.compare_digest(given, one) for one in self._digests])  # noqa: C419 - all are compared


class Guard:
    """Refuses requests that must not get further, and ends those that arrive or are read too slowly.

    Args:
        app: what is guarded.
        options: of the service.
        answered: called with (scope, status, seconds) after each request.
    """

    def __init__(
        self, app: ASGIApp, options: ServeOptions, answered: Callable[[Scope, int, float], None] | None = None
    ) -> None:
        self._app, self._options, self._answered = app, options, answered
        self._tokens, self._names = Tokens(options.tokens), options.host_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer that it is refused."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ProblemError as e:
            if self._answered is not None and scope["type"] == "http":
                self._answered(scope, e.status, 0.0)
            await self._refuse(e, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        body = _Body(receive, self._limit(scope["path"]), Headers(scope=scope))
        sent = _Sent(send, body)
        try:
            await self._app(scope, body.receive, sent.send)
        except Exception as e:  # the application answers its own; these came before or after it
            if sent.status:
                raise
            await problem_of(e).response()(scope, receive, sent.send)
        finally:
            if self._answered is not None:
                self._answered(scope, sent.status, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        """Refuse a request by its header.

        Raises:
            ProblemError: see the texts.
        """
        headers, path = Headers(scope=scope), scope["path"]
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > HEADER_BYTES:
            raise ProblemError("headers-too-large", f"the header is larger than {HEADER_BYTES} bytes")
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] if ":" in host else host
        if self._names is not None and name not in self._names:
            raise ProblemError(
                "unknown-host", f"Host is {host[:100]!r}, must be one of {', '.join(sorted(self._names))}"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host:
            raise ProblemError("foreign-origin", f"Origin is {origin[:100]!r}, must be that of the service")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise ProblemError(
                "unsupported-type", f"Content-Encoding is {encoding[:40]!r}, must be identity",
                {"Accept-Encoding": "identity"},
            )  # fmt: skip
        is_open = path in OPEN_PATHS or path == "/" or path.startswith(OPEN_BELOW)
        if self._tokens and not is_open and not self._tokens.know(_token(headers, scope)):
            raise ProblemError(
                "unauthorized", "a token of the service is needed: Authorization: Bearer TOKEN",
                {"WWW-Authenticate": 'Bearer realm="tal"'},
            )  # fmt: skip
        limit, length = self._limit(path), headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise _too_large(limit)

    def _limit(self, path: str) -> int:
        """Return the most bytes of a body."""
        if path == "/v1/localize":
            return self._options.max_body_mib << 20
        if path.startswith("/v2/"):
            return self._options.max_tensor_mib << 20
        return _LABEL_STUDIO_BODY if path.startswith("/label-studio/") else _SMALL_BODY

    async def _refuse(self, problem: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, 0, Headers(scope=scope)) if scope["type"] == "http" else None
        await problem.response()(scope, receive, _Sent(send, body).send)


class _Sent:
    """Sends a response with the headers that all have, and notes its status; ends the connection of a refused body."""

    def __init__(self, send: Send, body: _Body | None) -> None:
        self._send, self._body, self.status = send, body, 0

    async def send(self, message: Message) -> None:
        if message["type"].endswith("http.response.start"):
            self.status = message["status"]
            known = {name.lower() for name, _ in message.get("headers", [])}
            more = [h for h in _HEADERS if h[0] not in known]
            if self._body is not None and not await self._body.rest():
                more.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await self._send(message)


class _Body:
    """A body as it arrives: no longer than its limit, and not too slow."""

    def __init__(self, receive: Receive, limit: int, headers: Headers) -> None:
        self._receive, self._limit = receive, limit
        self._bytes, self._began, self._late = 0, time.monotonic(), False
        self._whole = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        #: The client has not sent its body yet, and would only if it was asked to.
        self._asks = headers.get("expect", "").lower() == "100-continue"

    async def receive(self) -> Message:
        if self._whole:  # from here on it only tells that the client has gone
            return await self._receive()
        self._asks = False
        until = self._began + _FIRST_S + self._bytes / _BYTES_A_SECOND
        try:
            async with asyncio.timeout(max(0.0, min(_PAUSE_S, until - time.monotonic()))):
                message = await self._receive()
        except TimeoutError:
            self._late = True
            raise ProblemError("too-slow", f"the body stopped after {self._bytes} bytes, or came too slowly") from None
        self._bytes += len(message.get("body", b""))
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._bytes > self._limit:
            raise _too_large(self._limit)
        return message

    async def rest(self) -> bool:
        """Take what is left of a body that nobody wants, if it is little: who still sends would not read the answer.

        Returns:
            Whether the body has ended, so that the connection can be used again.
        """
        until, taken = time.monotonic() + _REST_S, 0
        try:
            while not (self._whole or self._asks or self._late or taken > _REST_BYTES):
                async with asyncio.timeout(max(until - time.monotonic(), 0.0)):
                    message = await self._receive()
                taken += len(message.get("body", b""))
                self._whole = not message.get("more_body", False)
        except TimeoutError:
            return False
        return self._whole


def _too_large(limit: int) -> ProblemError:
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
    return ProblemError("too-large", f"the body is larger than {size}, the most that is taken here")


def _token(headers: Headers, scope: dict[str, Any] | Scope) -> str:
    """Return the token of a request: Bearer, the password of Basic, or of a WebSocket its subprotocol; "" for none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return ""
    offered = scope.get("subprotocols", [])
    return next((p.removeprefix(TOKEN_PROTOCOL) for p in offered if p.startswith(TOKEN_PROTOCOL)), "")
