"""Final events of streams, read as detections that know when they were decided. Knows files, not streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..events import Event
from .tables import Table


def read_finals(path: str | Path) -> tuple[Table, NDArray[np.float64]]:
    """Read the events that ``tal stream`` writes (.jsonl): what is final, each id once.

    Returns:
        The finals, whose video is the event's source without a media ending, and the seconds of the stream at which
        each was decided, [n].

    Raises:
        DataError: missing or malformed, or two different finals of one id; the message names the line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file of events").missing(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder, not a file of events")
    try:
        found = list(_finals(path))
    except UnicodeDecodeError as e:
        raise DataError(f"{path}: not a text file ({e})") from e
    rows = ((e.source, e.label, e.start, e.end or 0.0, e.score) for e in found)
    return Table.of(rows, source=str(path)).shortened(), np.array([e.decided_at for e in found], np.float64)


@dataclass(frozen=True)
class ToldStarts:
    """Started events of streams, each id once.

    told: rows with the onset that was told and, as their end, the moment at which it was. withdrawn: how many of them
    were taken back. seconds: of all streams, as far as their events reach.
    """

    told: Table
    withdrawn: int
    seconds: float


def starts_of(events: Iterable[Event], source: str) -> ToldStarts:
    """Collect the started events of streams, whose names become videos."""
    started: dict[tuple[str, str], Event] = {}
    withdrawn: set[tuple[str, str]] = set()
    reach: dict[str, float] = {}
    for e in events:
        reach[e.source] = max(reach.get(e.source, 0.0), e.decided_at)
        if e.kind == "started":
            started.setdefault((e.source, e.id), e)
        elif e.kind == "withdrawn":
            withdrawn.add((e.source, e.id))
    rows = ((e.source, e.label, min(e.start, e.decided_at), e.decided_at, e.score) for e in started.values())
    return ToldStarts(Table.of(rows, source=source), len(withdrawn & set(started)), sum(reach.values()))


def read_starts(path: str | Path) -> ToldStarts:
    """Read the started events of a file of ``tal stream --provisional``; the videos are named as `read_finals` does.

    Raises:
        DataError: see `read_finals`.
    """
    found = starts_of((e for _, e in _events(Path(path))), str(path))
    return replace(found, told=found.told.shortened())


def _events(path: Path) -> Iterator[tuple[int, Event]]:
    """Yield all events with the numbers of their lines."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, Event.from_json(line)
            except DataError as e:
                raise DataError(f"{path}: line {number}: {e}") from e


def _finals(path: Path) -> Iterator[Event]:
    """Yield final events once each, since a receiver may get an event twice."""
    known: dict[tuple[str, str], Event] = {}
    for number, event in _events(path):
        key = event.source, event.id
        if not event.is_final or known.get(key) == event:
            continue
        if key in known:
            raise DataError(f"{path}: line {number}: id {event.id!r} was final already, as another event")
        known[key] = event
        yield event
