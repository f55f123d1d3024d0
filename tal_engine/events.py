"""What a stream says: an action begins, changes, ends. Knows the record and its JSON; not who makes or takes it.

An action is told by events of one `id`. The last one of an id has the type "end" and is either final, and then never
changes, or withdrawn: it was provisional and did not hold. The same stream gives the same ids, so that a receiver may
take an event twice and keep one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from .errors import FeatureError

TYPES = ("new", "update", "end")
STATUSES = ("provisional", "final", "withdrawn")
#: The JSON Schema of the lines that `Event.to_json` gives.
SCHEMA_FILE = Path(__file__).parent / "assets" / "event.schema.json"

_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_PLAN = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a stream says about one action; the schema is "tal.event/1".

    start_time, end_time, decided_at, pts: seconds of stream time, as the source counts it; `end_time` is None while
    the action is open. decided_at: the evaluation that decided. pts: the newest frame that was used. wall_time: the
    wall clock, ISO 8601 in UTC, of `end_time`, or of `decided_at` while open; None where the source has no clock.
    plan: "sha256:" and the plan's hash. truncated: the end was not seen (the stream ended, or the action got too long).
    start_clipped: longer than the window: it began at `start_time` or before.

    Raises:
        FeatureError: a field makes no sense; the message names it.
    """

    type: Literal["new", "update", "end"]
    id: str
    source: str
    label: str
    class_id: int
    score: float
    start_time: float
    end_time: float | None
    status: Literal["provisional", "final", "withdrawn"]
    decided_at: float
    pts: float
    wall_time: str | None
    plan: str
    truncated: bool = False
    start_clipped: bool = False
    schema: ClassVar[str] = "tal.event/1"

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            _require(_fits(name, value), name, value, allowed)
        if self.end_time is not None:
            _require(self.end_time >= self.start_time, "end_time", self.end_time, f"{self.start_time} or later")
        if self.status != "provisional":
            _require(self.type == "end", "type", self.type, f"'end', as the status is {self.status!r}")
        if self.status == "final":
            _require(self.end_time is not None, "end_time", self.end_time, "a number of seconds, as the event is final")

    @property
    def is_final(self) -> bool:
        """It never changes any more, and it happened."""
        return self.status == "final"

    def to_dict(self) -> dict[str, Any]:
        """All fields and the schema, ready for JSON."""
        return {**asdict(self), "schema": self.schema}

    def to_json(self) -> str:
        """One line of JSON, without its line end."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Event:
        """The event that `to_dict` wrote.

        Raises:
            FeatureError: a field is missing, unknown or makes no sense; the message names it.
        """
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(found) - set(known) - {"schema"})
        missing = [n for n, f in known.items() if f.default is MISSING and n not in found]
        if found.get("schema") != cls.schema:
            raise FeatureError(f"event: schema is {found.get('schema')!r}, must be {cls.schema!r}")
        if unknown:
            raise FeatureError(f"event: unknown field {unknown[0]!r}; {cls.schema} has {', '.join(known)}")
        if missing:
            raise FeatureError(f"event: field {missing[0]!r} is missing")
        return cls(**{n: found[n] for n in known if n in found})

    @classmethod
    def from_json(cls, line: str | bytes) -> Event:
        """The event of one line.

        Raises:
            FeatureError: the line is not an event.
        """
        try:
            found = json.loads(line)
        except ValueError as e:
            raise FeatureError(f"event: not JSON ({e})") from e
        if not isinstance(found, dict):
            raise FeatureError(f"event: {type(found).__name__} {str(found)[:40]!r}, must be an object")
        return cls.from_dict(found)


_SECONDS = "a finite number of seconds"
#: What each field may be, in words; `_fits` decides.
_ALLOWED = {
    "type": "'new', 'update' or 'end'",
    "id": "a text of at least one character",
    "source": "a text",
    "label": "a text of at least one character",
    "class_id": "an integer, 0 or more",
    "score": "a finite number",
    "start_time": _SECONDS,
    "end_time": f"{_SECONDS}, or None",
    "status": "'provisional', 'final' or 'withdrawn'",
    "decided_at": _SECONDS,
    "pts": _SECONDS,
    "wall_time": "ISO 8601 in UTC (2026-01-31T12:00:00Z), or None",
    "plan": "'sha256:' and 64 hexadecimal digits",
    "truncated": "true or false",
    "start_clipped": "true or false",
}


def _fits(name: str, value: object) -> bool:
    match name:
        case "type":
            return value in TYPES
        case "status":
            return value in STATUSES
        case "truncated" | "start_clipped":
            return isinstance(value, bool)
        case "class_id":
            return isinstance(value, int) and not isinstance(value, bool) and value >= 0
        case "source":
            return isinstance(value, str)
        case "id" | "label":
            return isinstance(value, str) and bool(value)
        case "plan":
            return isinstance(value, str) and _PLAN.fullmatch(value) is not None
        case "wall_time":
            return value is None or (isinstance(value, str) and _UTC.fullmatch(value) is not None)
        case _:
            return (name == "end_time" and value is None) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise FeatureError(f"event: {name} is {value!r}, must be {allowed}")
