"""What clients ask and how answers are read, without any connection: both clients send the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from ..errors import DataError, ServiceError, UsageError
from ..events import Event
from ..results import Localization
from ..vocabulary import Vocabulary

T = TypeVar("T")

#: What can be sent: a file, an address that the service may read, or the bytes of a video or of features.
Sent = str | Path | bytes
#: Statuses of a service that may answer later: it is full, or is being restarted.
LATER = frozenset((429, 503))
#: Seconds without a word after which a stream of events counts as broken off: the service says something every 10 s.
SILENCE = httpx.Timeout(30.0)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what is made of its answer."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    file: Path | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, Any]:
        """The parameters that were given."""
        texts = {k: v for k, v in self.params.items() if v is not None}
        return {k: str(v).lower() if isinstance(v, bool) else v for k, v in texts.items()}


@dataclass(frozen=True)
class JobStatus:
    """A job of a service; times are seconds since 1970.

    state: "queued", "running", "done", "failed" or "cancelled". done, total: seconds of the video, the latter 0 if it
    is not known. problem: why it failed.
    """

    id: str
    state: str
    plan: str
    source: str
    created: float
    started: float | None
    finished: float | None
    attempts: int
    done: float
    total: float
    problem: Mapping[str, Any] | None = None

    @property
    def over(self) -> bool:
        """Whether it has its outcome."""
        return self.state not in ("queued", "running")

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> JobStatus:
        """Read what the service says of a job."""
        own = ("id", "state", "plan", "source", "created", "started", "finished", "attempts", "problem")
        fields: dict[str, Any] = {k: document.get(k) for k in own}
        return cls(**fields, **document["progress"])


@dataclass(frozen=True)
class ServedEvent:
    """An event of a stream, and its id: events after it are asked for with `after`."""

    id: str
    event: Event


def checked(response: httpx.Response) -> httpx.Response:
    """Return an answer that is no error.

    Raises:
        ServiceError: it is one.
    """
    if response.is_success:
        return response
    try:
        document = json.loads(response.content)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    detail = str(document.get("detail") or response.reason_phrase or f"HTTP {response.status_code}")
    kind = str(document.get("type", "")).rpartition("/")[2]
    after = response.headers.get("retry-after", "")
    raise ServiceError(detail, response.status_code, kind, float(after) if after.isdecimal() else None)


def broken(error: httpx.HTTPError) -> ServiceError:
    """Return the error of a service that cannot be reached, or does not answer."""
    return ServiceError(f"the service cannot be reached ({error or type(error).__name__})")


def document_of(response: httpx.Response) -> Any:
    """Return the JSON of an answer.

    Raises:
        ServiceError: it is none: something else answers there.
    """
    try:
        return json.loads(response.content)
    except ValueError as e:
        raise ServiceError(f"{response.url}: answered no JSON; is this a service of tal_engine?") from e


def result_of(response: httpx.Response) -> Localization:
    """Return the result in an answer."""
    document = document_of(response)
    return Localization.from_dict(document, Vocabulary(document["classes"]))


def status_of(response: httpx.Response) -> JobStatus:
    """Return the job in an answer."""
    return JobStatus.of(document_of(response))


def mapping(response: httpx.Response) -> dict[str, Any]:
    """Return the object in an answer."""
    return dict(document_of(response))


def nothing(_: httpx.Response) -> None:
    """Return nothing."""


def localize_call(
    source: Sent, read: Callable[[httpx.Response], T], mode: str, options: Mapping[str, Any], key: str | None = None
) -> Call[T]:
    """Ask for a localization.

    Args:
        source: what is sent.
        read: makes something of the answer.
        mode: "sync" or "job".
        options: plan, name, min_score, top_k, raw_scores, people, force, deadline.
        key: a job of this key is accepted once.

    Raises:
        UsageError: the file is not there.
    """
    headers = {} if key is None else {"Idempotency-Key": key}
    params = {**options, "mode": mode}
    if isinstance(source, str) and "://" in source:
        return Call("POST", "/v1/localize", read, params, json={"url": source}, headers=headers)
    headers["Content-Type"] = "application/octet-stream"
    if isinstance(source, bytes):
        return Call("POST", "/v1/localize", read, params, content=source, headers=headers)
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"{path}: no such file").missing(path)
    params["name"] = params.get("name") or path.name
    return Call("POST", "/v1/localize", read, params, file=path, headers=headers)


def job_path(id: str, rest: str = "") -> str:  # noqa: A002 - the service's name
    """Return the path of a job."""
    return f"/v1/jobs/{quote(id, safe='')}{rest}"


def stream_path(name: str, rest: str = "") -> str:
    """Return the path of a stream."""
    return f"/v1/streams/{quote(name, safe='')}{rest}"


def plan_path(name: str, rest: str = "") -> str:
    """Return the path of a plan."""
    return f"/v1/plans/{quote(name, safe='')}{rest}"


def headers_of(token: str | None) -> dict[str, str]:
    """Return the header that carries a token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


class EventReader:
    """Reads server-sent events line by line.

    >>> reader = EventReader()
    >>> [found for line in ("id: 1", "event: gap", "data: {}", "") if (found := reader.take(line))]
    [('gap', '1', '{}')]
    """

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self.last_id = ""

    def take(self, line: str) -> tuple[str, str, str] | None:
        """Take a line; return (kind, id, data) where it ends an event."""
        if line:
            name, _, value = line.partition(":")
            if name:
                self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        self.last_id = fields.get("id", self.last_id)
        return fields.get("event", "message"), self.last_id, fields["data"]


def served(kind: str, id: str, data: str) -> ServedEvent | None:  # noqa: A002
    """Return the event of a stream; None for one about the stream itself."""
    if kind in ("gap", "end", "message"):
        return None
    try:
        return ServedEvent(id, Event.from_json(data))
    except DataError as e:
        raise ServiceError(f"an event cannot be read: {e}") from e


def stream_body(source: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request to read a source."""
    return {"source": source, **{k: v for k, v in options.items() if v is not None}}
