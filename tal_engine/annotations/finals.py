"""Final events of streams, read as detections that know when they were decided. Knows files, not streams."""

from __future__ import annotations

from collections.abc import Iterator
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


def _finals(path: Path) -> Iterator[Event]:
    """Yield final events once each, since a receiver may get an event twice."""
    known: dict[tuple[str, str], Event] = {}
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                event = Event.from_json(line)
            except DataError as e:
                raise DataError(f"{path}: line {number}: {e}") from e
            key = event.source, event.id
            if not event.is_final or known.get(key) == event:
                continue
            if key in known:
                raise DataError(f"{path}: line {number}: id {event.id!r} was final already, as another event")
            known[key] = event
            yield event
