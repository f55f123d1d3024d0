"""Who is in a skeleton file of several persons, and when: names alone, without the poses."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._util.untrusted import guarded
from ..errors import DataError
from .people import LEAST_S
from .tables import CLOCKS, holds_points, person_column

#: Longest name of a person, characters, and most persons of a file; of more those who are seen longest.
_LONGEST, _MOST = 200, 100


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """A person of a file: the name there, and the first and last second; None where the file has no times."""

    name: str
    first: float | None = None
    last: float | None = None

    @property
    def seconds(self) -> float:
        """From first to last; infinite where that is not known."""
        return math.inf if self.first is None or self.last is None else self.last - self.first


def persons_of(path: str | Path, fps: float = 0.0) -> tuple[SeenPerson, ...]:
    r"""List the persons that a skeleton file tells apart.

    Args:
        path: a ``.csv`` of landmarks, as `read_skeleton` takes it. Other skeleton files are of one person, and name
            nobody.
        fps: frames a second, where the file counts frames; 0: not known.

    Returns:
        The persons, numbers first; none where the file names nobody or is no skeleton. Who is seen for less than half a
        second is nobody, as where people are followed in a video.

    Raises:
        DataError: it is not there, or no text.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "clip.csv"
    >>> rows = ["time,subject,nose_x,nose_y", "0,bo,1,1", "0,ana,5,1", "2,ana,5,2", "3,bo,1,2"]
    >>> _ = file.write_text("\n".join(rows))
    >>> persons_of(file)
    (SeenPerson(name='ana', first=0.0, last=2.0), SeenPerson(name='bo', first=0.0, last=3.0))
    """
    path, what = Path(path), "CSV of landmarks"
    if path.suffix.lower() != ".csv":
        return ()
    if not path.is_file():
        raise DataError(f"{path}: no such {what}").missing(path)
    with guarded(path, what), path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        column = person_column(header)
        if column is None or not holds_points(header):
            return ()
        found = list(_gathered(rows, header.index(column), *_clock(header, fps)))
    people = [p for p in found if p.seconds >= LEAST_S]
    longest = sorted(people, key=lambda p: -p.seconds)[:_MOST]
    return tuple(sorted(longest, key=lambda p: in_order(p.name)))


def in_order(name: str) -> tuple[bool, int, str]:
    """Give the place of a person's name among others: numbers by value, then names.

    >>> sorted(["10", "bo", "9"], key=in_order)
    ['9', '10', 'bo']
    """
    number = name.isascii() and name.isdecimal()
    return not number, int(name[:18]) if number else 0, name.casefold()


def _clock(header: Sequence[str], fps: float) -> tuple[int | None, float]:
    """Return the column of times, and seconds of its unit; None: times are not known."""
    places = {h.strip().lower(): i for i, h in reversed(list(enumerate(header)))}
    time = next((places[n] for n in CLOCKS if n in places), None)
    if time is not None:
        return time, 1.0
    return (places["frame"], 1 / fps) if "frame" in places and fps > 0 else (None, 0.0)


def _gathered(rows: Iterator[list[str]], who: int, clock: int | None, unit: float) -> Iterator[SeenPerson]:
    spans: dict[str, tuple[float, float]] = {}
    for row in rows:
        name = row[who].strip() if who < len(row) else ""
        if not name or len(name) > _LONGEST or not name.isprintable():
            continue
        at = math.nan if clock is None else _second(row, clock, unit)
        first, last = spans.get(name, (math.inf, -math.inf))
        spans[name] = (min(first, at), max(last, at)) if math.isfinite(at) else (first, last)
    for name, (first, last) in spans.items():
        known = first <= last
        yield SeenPerson(name, first if known else None, last if known else None)


def _second(row: list[str], clock: int, unit: float) -> float:
    try:
        return float(row[clock]) * unit
    except (ValueError, IndexError):  # what is wrong with a table is told where its poses are read
        return math.nan
