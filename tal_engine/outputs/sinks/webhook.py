"""Final events as HTTP POST. Knows one receiver's answers; the queue, retries and dead letters are `delivery`'s.

Each request is the event's JSON with the header ``Idempotency-Key``, the event's id (percent-encoded), so that a
receiver that gets an event twice can keep one. 2xx is delivered; 408, 425, 429 and 5xx, a timeout and a broken
connection are tried again, not before ``Retry-After``; everything else, redirects too, is refused.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ..._util.redaction import redact_address
from ...errors import UsageError, require
from ...events import Event
from .delivery import PermanentError, RetryableError

_RETRIED = frozenset([408, 425, 429])
#: A receiver that asks for a longer wait than this is asked again after it, seconds.
_LONGEST_RETRY_AFTER_S = 3600.0
#: So much of an answer is read, for receivers that want to be heard out.
_BODY_BYTES = 1 << 16
#: What of an address is sent as it is written; other letters are percent-encoded.
_PLAIN = "%/:=&?~#+!$,;'@()*[]"


class Post:
    """POSTs events to one URL, each over a connection of its own: events are rare, and kept connections go stale.

    Args:
        url: http:// or https://; a user and password in it become Basic authentication and are never shown.
        timeout_s: for a whole request, however slowly the receiver answers.

    Raises:
        UsageError: not such a URL.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        require(0 < timeout_s < float("inf"), "timeout_s", timeout_s, "positive")
        parts = self._parts = _parts(url)
        self.shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._timeout_s = timeout_s
        self._target = quote(urlunsplit(("", "", parts.path or "/", parts.query, "")), safe=_PLAIN)
        self._headers = {"Content-Type": "application/json", "User-Agent": "tal-engine"}
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def __call__(self, event: Event) -> None:
        """POST one event.

        Raises:
            RetryableError, PermanentError: the receiver has not taken it.
        """
        late = threading.Event()
        # A socket's own limit is by read: an answer that drips would have no end.
        watch = threading.Timer(self._timeout_s, self._hang_up, (late,))
        watch.start()
        headers = {**self._headers, "Idempotency-Key": quote(event.id)}
        try:
            with contextlib.closing(self._connected()) as connection:
                connection.request("POST", self._target, event.to_json().encode(), headers)
                answer = connection.getresponse()
                if late.is_set():  # hung up amid the headers, which counts as their end for http.client
                    raise TimeoutError
                with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                    answer.read(_BODY_BYTES)  # the status counts, whatever the body does
        except (OSError, ValueError, http.client.HTTPException) as e:
            why = f"no answer within {self._timeout_s:g} s" if late.is_set() else f"{type(e).__name__}: {e}"
            raise RetryableError(f"{self.shown}: {why}") from e
        finally:
            watch.cancel()
        _judge(f"{self.shown}: status {answer.status}", answer.status, answer.headers.get("Retry-After", ""))

    def close(self) -> None:
        """Hang up; a request under way fails."""
        self._hang_up(threading.Event())

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname, self._parts.port
        connection = http.client.HTTPConnection(host, port or 80, timeout=self._timeout_s)
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port or 443, timeout=self._timeout_s, context=context)
        connection.connect()
        with self._lock:
            self._socket = connection.sock
        return connection

    def _hang_up(self, late: threading.Event) -> None:
        late.set()
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError, ValueError):
                    self._socket.shutdown(socket.SHUT_RDWR)


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"webhook {redact_address(url)!r} must be http://HOST/PATH or https://HOST/PATH")
    return parts


def _judge(answer: str, status: int, retry_after: str) -> None:
    if 200 <= status < 300:
        return
    if status in _RETRIED or status >= 500:
        raise RetryableError(answer, retry_after_s(retry_after))
    raise PermanentError(answer)


def retry_after_s(header: str, now: Callable[[], float] = time.time) -> float:
    """Return the seconds that a ``Retry-After`` header asks for, from a number or an HTTP date; 0 if malformed."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    seconds = when.timestamp() - now()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)
