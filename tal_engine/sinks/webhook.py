"""Final events as HTTP POST. Knows one receiver's answers; the queue, retries and dead letters are `delivery`'s.

Each request is the event's JSON with the header ``Idempotency-Key``, the event's id (percent-encoded), so that a
receiver that gets an event twice can keep one. 2xx is delivered; 408, 425, 429 and 5xx, a timeout and a broken
connection are tried again, not before ``Retry-After``; everything else, redirects too, is refused.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ..errors import UsageError, require
from ..events import Event
from ..extras import need
from ..redaction import redact_address
from .delivery import Delivery, DeliveryOptions, Refused, Retry

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool

_RETRIED = frozenset([408, 425, 429])
#: A receiver that asks for a longer wait than this is asked again after it, seconds.
_LONGEST_RETRY_AFTER_S = 3600.0
#: So much of an answer is read, for receivers that want to be heard out.
_BODY_BYTES = 1 << 16


class Post:
    """POSTs events to one URL, each over a connection of its own: events are rare, and kept connections go stale.

    Args:
        url: http:// or https://; a user and password in it become Basic authentication and are never shown.
        timeout_s: for a whole request, however slowly the receiver answers.

    Raises:
        UsageError: not such a URL.
        MissingExtraError: urllib3 is not installed.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        require(0 < timeout_s < float("inf"), "timeout_s", timeout_s, "positive")
        parts = _parts(url)
        self.shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._timeout_s, self._target = timeout_s, urlunsplit(("", "", parts.path or "/", parts.query, ""))
        urllib3 = need("urllib3")
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        self._headers = urllib3.util.make_headers(basic_auth=login, user_agent="tal-engine")
        self._headers["Content-Type"] = "application/json"
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pool = self._watched_pool(parts.scheme, parts.hostname, parts.port)

    def __call__(self, event: Event) -> None:
        """POST one event.

        Raises:
            Retry, Refused: the receiver has not taken it.
        """
        from urllib3.exceptions import HTTPError

        late = threading.Event()
        watch = threading.Timer(self._timeout_s, self._hang_up, (late,))
        watch.start()
        try:
            answer = self._pool.urlopen(
                "POST",
                self._target,
                body=event.to_json().encode(),
                headers={**self._headers, "Idempotency-Key": quote(event.id)},
                redirect=False,
                retries=False,
                timeout=self._timeout_s,
                preload_content=False,
            )
            if late.is_set():  # hung up amid the headers, which counts as their end for http.client
                raise TimeoutError
            with contextlib.suppress(HTTPError, OSError, ValueError):  # the status counts, whatever the body does
                answer.read(_BODY_BYTES, decode_content=False)
            answer.close()
        except (HTTPError, OSError, ValueError) as e:
            why = f"no answer within {self._timeout_s:g} s" if late.is_set() else f"{type(e).__name__}: {e}"
            raise Retry(f"{self.shown}: {why}") from e
        finally:
            watch.cancel()
        _judge(f"{self.shown}: status {answer.status}", answer.status, answer.headers.get("Retry-After", ""))

    def close(self) -> None:
        """Hang up; a request under way fails."""
        self._hang_up(threading.Event())
        self._pool.close()

    def _hang_up(self, late: threading.Event) -> None:
        late.set()
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError, ValueError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _watched_pool(self, scheme: str, host: str | None, port: int | None) -> HTTPConnectionPool:
        """Connections whose socket is known: its own timeout is by read, and an answer that drips has no end."""
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

        kind: Any = HTTPSConnectionPool if scheme == "https" else HTTPConnectionPool
        post = self

        class Answer(HTTPResponse):
            def begin(self) -> None:
                super().begin()
                self.msg.defects.clear()  # urllib3 logs those with the whole address, and what is secret in it
                self.msg.set_payload("")

        class Connection(kind.ConnectionCls):  # type: ignore[misc]  # one of two classes
            response_class = Answer

            def connect(self) -> None:
                super().connect()
                with post._lock:
                    post._socket = self.sock

        pool: HTTPConnectionPool = kind(host, port=port)
        pool.ConnectionCls = Connection
        return pool


def webhook(
    url: str,
    dead_letters: str | Path,
    options: DeliveryOptions | None = None,
    *,
    timeout_s: float = 10.0,
    pending: str | Path | None = None,
) -> Delivery:
    """A sink that POSTs final events; for `dead_letters`, `options` and `pending` see `Delivery`.

    Raises:
        UsageError: not an http:// or https:// URL.
        MissingExtraError: urllib3 is not installed.
    """
    post = Post(url, timeout_s)
    return Delivery(f"webhook {post.shown}", post, dead_letters, options, pending=pending)


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
        raise Retry(answer, retry_after_s(retry_after))
    raise Refused(answer)


def retry_after_s(header: str) -> float:
    """Seconds that a ``Retry-After`` header asks for, from a number or an HTTP date; 0 for none or nonsense."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    seconds = when.timestamp() - time.time()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)
