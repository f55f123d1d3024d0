"""Every error of the service as problem details (RFC 9457); one table says which error has which status."""

from __future__ import annotations

import errno
import logging
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from ..errors import (
    BackendError,
    DataError,
    FeatureError,
    GraphTimeoutError,
    MissingExtraError,
    PlanError,
    PlanFault,
    SinkError,
    SourceError,
    StateError,
    UsageError,
    VideoError,
    VideoFault,
)

log = logging.getLogger("tal_engine")

MEDIA_TYPE = "application/problem+json"
#: Where `GET` explains a kind of problem; the `type` of each problem is below.
PLACE = "/v1/problems"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its HTTP status, and a title that does not change from case to case."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    "bad-syntax": Kind(400, "The request cannot be parsed"),
    "unauthorized": Kind(401, "A token is missing or unknown"),
    "foreign-origin": Kind(403, "Requests from pages of other origins are refused"),
    "source-not-allowed": Kind(403, "The operator does not allow this source"),
    "not-found": Kind(404, "There is no such thing here"),
    "method-not-allowed": Kind(405, "The resource has no such method"),
    "too-slow": Kind(408, "The request did not arrive in time"),
    "deadline": Kind(408, "The result was not there by the deadline"),
    "conflict": Kind(409, "The state of the resource does not allow this"),
    "key-reused": Kind(409, "The Idempotency-Key is that of another job"),
    "too-large": Kind(413, "A limit on size or length is exceeded"),
    "unsupported-type": Kind(415, "The type or encoding of the body is not supported"),
    "unknown-host": Kind(421, "The service is not reached by this name"),
    "invalid-request": Kind(422, "A value of the request is not allowed"),
    "bad-video": Kind(422, "The video cannot be used"),
    "bad-features": Kind(422, "The features cannot be used"),
    "no-encoder": Kind(422, "The plan localizes features, not videos"),
    "source-unavailable": Kind(424, "The source cannot be reached"),
    "busy": Kind(429, "All places are taken; try again later"),
    "headers-too-large": Kind(431, "The header of the request is too large"),
    "backend": Kind(500, "The plan cannot run this"),
    "bad-plan": Kind(500, "The plan cannot be used"),
    "internal": Kind(500, "The service made an error"),
    "not-installed": Kind(501, "The service lacks a package for this"),
    "unavailable": Kind(503, "The service does not take work now"),
    "graph-timeout": Kind(504, "A graph of the plan took too long"),
    "storage": Kind(507, "The service has no room to store this"),
}

#: The kind of each error of the engine; the first class that fits counts.
ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (GraphTimeoutError, "graph-timeout"),
    (BackendError, "backend"),
    (MissingExtraError, "not-installed"),
    (SourceError, "source-unavailable"),
    (VideoError, "bad-video"),
    (DataError, "invalid-request"),
    (FeatureError, "bad-features"),
    (UsageError, "invalid-request"),
    (PlanError, "bad-plan"),
    (StateError, "unavailable"),
    (SinkError, "storage"),
)
_FAULTS = {
    VideoFault.TOO_LARGE: "too-large",
    VideoFault.MISSING: "source-unavailable",
    PlanFault.NO_ENCODER: "no-encoder",
    PlanFault.NO_TEXTS: "no-texts",
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class ProblemError(Exception):
    """A request ends with this problem.

    Args:
        kind: one of `KINDS`.
        detail: what is wrong in this case, for people: names the value and what is allowed.
        headers: of the response, such as Retry-After.
    """

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        detail = detail.encode(errors="backslashreplace").decode()  # half of a surrogate pair fits into no JSON
        super().__init__(detail)
        self.kind, self.detail, self.headers = kind, detail, dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind].status

    @property
    def document(self) -> dict[str, Any]:
        """The problem details, ready for JSON."""
        kind = KINDS[self.kind]
        return {
            "type": f"{PLACE}/{self.kind}", "title": kind.title, "status": kind.status, "detail": self.detail,
        }  # fmt: skip

    def response(self) -> Response:
        """Return the problem as a response. KServe's clients read the text of an error from ``error``."""
        document = {**self.document, "error": self.detail}
        return JSONResponse(document, self.status, self.headers, MEDIA_TYPE)


def busy(what: str, seconds: float) -> ProblemError:
    """Return the problem of a full queue, with the seconds after which to try again."""
    return ProblemError("busy", what, {"Retry-After": str(max(1, round(seconds)))})


def check_duration(seconds: float, most: float) -> None:
    """Refuse a video that is too long.

    Raises:
        ProblemError: it is.
    """
    if seconds > most:
        raise ProblemError(
            "too-large", f"the video is {seconds:.1f} s long, at most {most:g} s are localized here (--max-duration)"
        )


def unavailable(what: str, seconds: float = 5.0) -> ProblemError:
    """Return the problem of a service that stops, with the seconds after which to try again."""
    return ProblemError("unavailable", what, {"Retry-After": str(max(1, round(seconds)))})


def problem_of(error: Exception, shown: Mapping[str, str] | None = None) -> ProblemError:
    """Turn an error into a problem. What was not foreseen is logged, and told by a number only.

    Args:
        error: what was raised.
        shown: what is not to be told (paths of this machine), each with what is said instead.
    """
    if isinstance(error, ProblemError):
        return error
    words = str(error)
    for secret, said in (shown or {}).items():
        words = words.replace(secret, said)
    fault: object = getattr(error, "fault", None)
    for base, kind in ERRORS:
        if isinstance(error, base):
            name = _FAULTS.get(fault, kind)  # type: ignore[call-overload]
            if KINDS[name].status >= 500:
                log.error("%s", error)
            return unavailable(words) if name == "unavailable" else ProblemError(name, words)
    full = isinstance(error, OSError) and error.errno in _FULL
    if full or isinstance(error, sqlite3.OperationalError):  # full, read-only or broken disks
        log.error("%s", error)
        return ProblemError("storage", f"cannot be stored ({getattr(error, 'strerror', None) or error})")
    number = uuid.uuid4().hex[:12]
    log.error("error %s", number, exc_info=error)
    return ProblemError("internal", f"error {number}; the service's log says more")
