"""What a stream says: an action begins, changes, ends. Knows the record and its JSON; not who makes or takes it.

An action is told by events of one `id`. The last one of an id is of the kind "final", and then never changes, or
"withdrawn": it was provisional and did not hold. The same stream gives the same ids, so that a receiver may
take an event twice and keep one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from ._util.untrusted import parse_json
from .errors import DataError

Kind = Literal["started", "updated", "final", "withdrawn"]
#: An action is seen for the first time; it changed; it is decided and never changes; it was told and did not hold.
KINDS: tuple[Kind, ...] = ("started", "updated", "final", "withdrawn")

#: Fields of tal.event/1 by their names of today; its `type` and `status` together are `kind`.
_FORMER = {"class_id": "label_id", "start_time": "start", "end_time": "end"}
_FORMER_FIELDS = (
    "type", "id", "source", "label", "class_id", "score", "start_time", "end_time", "status", "decided_at", "pts",
    "wall_time", "plan", "truncated", "start_clipped",
)  # fmt: skip
_FORMER_KINDS: dict[tuple[str, str], Kind] = {
    ("new", "provisional"): "started", ("update", "provisional"): "updated", ("end", "final"): "final",
    ("end", "withdrawn"): "withdrawn",
}  # fmt: skip
#: The JSON Schema of the lines that `Event.to_json` gives.
SCHEMA_FILE = Path(__file__).parent / "assets" / "event.schema.json"

_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_PLAN = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a stream says about one action; the schema is "tal.event/2".

    start, end, decided_at, pts: seconds of stream time, as the source counts it; `end` is None while the action is
    open. label_id: position of the label in the plan's vocabulary. decided_at: the evaluation that decided. pts:
    the newest frame that was used. wall_time: the wall clock, ISO 8601 in UTC, of `end`, or of `decided_at` while
    open; None where the source has no clock. plan: "sha256:" and the plan's hash. truncated: the end was not seen
    (the stream ended, or the action got too long). start_clipped: longer than the window: it began at `start` or
    before. subject: the number of the person, where people are told apart.

    Raises:
        DataError: a field makes no sense; the message names it.

    >>> from tal_engine import Event
    >>> event = Event(kind="started", id="1", source="door", label="squat", label_id=0, score=0.9, start=1.5, end=None,
    ...               decided_at=2.0, pts=2.04, wall_time=None, plan="sha256:" + 64 * "0")
    >>> event.is_final, Event.from_json(event.to_json()) == event
    (False, True)
    """

    kind: Kind
    id: str
    source: str
    label: str
    label_id: int
    score: float
    start: float
    end: float | None
    decided_at: float
    pts: float
    wall_time: str | None
    plan: str
    truncated: bool = False
    start_clipped: bool = False
    subject: int | None = None
    schema: ClassVar[str] = "tal.event/2"

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            _require(_fits(name, value), name, value, allowed)
        if self.end is not None:
            _require(self.end >= self.start, "end", self.end, f"{self.start} or later")
        if self.kind == "final":
            _require(self.end is not None, "end", self.end, "a number of seconds, as the event is final")

    def __getstate__(self) -> dict[str, Any]:
        """Return all fields by name, so that pickles survive a change of the fields' order."""
        return self.to_dict()

    def __setstate__(self, state: dict[str, Any] | list[Any]) -> None:
        """Set fields by name, or in the order of version 0.1.

        Raises:
            DataError: they do not form an event.
        """
        document = (
            state
            if isinstance(state, dict)
            else {**dict(zip(_FORMER_FIELDS, state, strict=False)), "schema": "tal.event/1"}
        )
        event = Event.from_dict(document)
        for f in fields(event):
            object.__setattr__(self, f.name, getattr(event, f.name))

    @property
    def is_final(self) -> bool:
        """It never changes any more, and it happened."""
        return self.kind == "final"

    @property
    def title(self) -> str:
        """The label, with the person's number where people are told apart."""
        return self.label if self.subject is None else f"{self.label} #{self.subject}"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields and the schema, ready for JSON."""
        document = asdict(self)
        if self.subject is None:
            del document["subject"]
        return {**document, "schema": self.schema}

    def to_json(self) -> str:
        """Return one line of JSON without its line end."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Event:
        """Read the event that `to_dict` wrote, also that of version 0.1 (schema "tal.event/1").

        Raises:
            DataError: a field is missing, unknown or makes no sense; the message names it.
        """
        if document.get("schema") == "tal.event/1":
            with _former_names():
                return cls.from_dict(_renewed(document))
        names = {f.name: f for f in fields(cls)}
        unknown = sorted(set(document) - set(names) - {"schema"})
        missing = [n for n, f in names.items() if f.default is MISSING and n not in document]
        if document.get("schema") != cls.schema:
            raise DataError(f"event: schema is {document.get('schema')!r}, must be {cls.schema!r}")
        if unknown:
            raise DataError(f"event: unknown field {unknown[0]!r}; {cls.schema} has {', '.join(names)}")
        if missing:
            raise DataError(f"event: field {missing[0]!r} is missing")
        return cls(**{n: document[n] for n in names if n in document})

    @classmethod
    def from_json(cls, line: str | bytes) -> Event:
        """Read the event of one line of JSON.

        Raises:
            DataError: the line is not an event.
        """
        document = parse_json(line, "event")
        if not isinstance(document, dict):
            raise DataError(f"event: {type(document).__name__} {str(document)[:40]!r}, must be an object")
        return cls.from_dict(document)


@contextmanager
def _former_names() -> Iterator[None]:
    """Name fields in errors as tal.event/1 does: that is what whoever wrote the event can look for."""
    try:
        yield
    except DataError as e:
        words = str(e)
        for former, today in _FORMER.items():
            words = re.sub(rf"^event: {today} is ", f"event: {former} is ", words)
        raise DataError(words) from None


def _renewed(event: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an event of tal.event/1 to the current fields.

    Raises:
        DataError: a field is missing or unknown, or its type and status do not go together.
    """
    rest = {_FORMER.get(name, name): value for name, value in event.items() if name not in ("type", "status", "schema")}
    unknown = sorted(set(event) - {*_FORMER_FIELDS, "schema"})
    missing = [name for name in _FORMER_FIELDS[:-2] if name not in event]
    if unknown:
        raise DataError(f"event: unknown field {unknown[0]!r}; tal.event/1 has {', '.join(_FORMER_FIELDS)}")
    if missing:
        raise DataError(f"event: field {missing[0]!r} is missing")
    pair = (event["type"], event["status"])
    if not all(isinstance(x, str) for x in pair) or pair not in _FORMER_KINDS:
        raise DataError(f"event: type and status are {pair!r}, must be one of {', '.join(map(repr, _FORMER_KINDS))}")
    return {"kind": _FORMER_KINDS[pair], **rest, "schema": Event.schema}


_SECONDS = "a finite number of seconds"
#: What each field may be, in words; `_fits` decides.
_ALLOWED = {
    "kind": "'started', 'updated', 'final' or 'withdrawn'",
    "id": "a text of at least one character",
    "source": "a text",
    "label": "a text of at least one character",
    "label_id": "an integer, 0 or more",
    "score": "a finite number",
    "start": _SECONDS,
    "end": f"{_SECONDS}, or None",
    "decided_at": _SECONDS,
    "pts": _SECONDS,
    "wall_time": "ISO 8601 in UTC (2026-01-31T12:00:00Z), or None",
    "plan": "'sha256:' and 64 hexadecimal digits",
    "truncated": "true or false",
    "start_clipped": "true or false",
    "subject": "an integer, 0 or more, or None",
}


def _fits(name: str, value: object) -> bool:
    match name:
        case "kind":
            return value in KINDS
        case "truncated" | "start_clipped":
            return isinstance(value, bool)
        case "label_id" | "subject":
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            return whole or (name == "subject" and value is None)
        case "source":
            return isinstance(value, str)
        case "id" | "label":
            return isinstance(value, str) and bool(value)
        case "plan":
            return isinstance(value, str) and _PLAN.fullmatch(value) is not None
        case "wall_time":
            return value is None or (isinstance(value, str) and _UTC.fullmatch(value) is not None)
        case _:
            return (name == "end" and value is None) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise DataError(f"event: {name} is {value!r}, must be {allowed}")
