"""Rows of label files: what one line, entry or file says, and what is wrong with those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

#: What a row says: that an action occurs somewhere in a video, at a moment, or from a start to an end.
Kind = Literal["video", "point", "segment"]
KINDS: tuple[Kind, ...] = ("video", "point", "segment")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label; times in seconds of the video.

    where: the place in the file ("line 7"), for messages. label: "" says that none of the actions occurs in the video.
    start, end: both None where the label is of the whole video; end None for a point. subset: "" where the file names
    none. subject, score, comment: what files may say besides. group: of the video, such as the person in it; videos of
    one group are held out together.
    """

    where: str
    video: str
    label: str
    start: float | None = None
    end: float | None = None
    subset: str = ""
    subject: str = ""
    score: float | None = None
    comment: str = ""
    group: str = ""

    @property
    def kind(self) -> Kind:
        """What the row says."""
        return "video" if self.start is None else "point" if self.end is None else "segment"


@dataclass(frozen=True, slots=True)
class Problem:
    """Rows that were left out: the first one, what is wrong with them, what is allowed, and how many they are."""

    where: str
    wrong: str
    allowed: str = ""
    rows: int = 1

    def __str__(self) -> str:
        more = f" and {self.rows - 1} more" if self.rows > 1 else ""
        return f"{self.where}{more}: {self.wrong}{f'; {self.allowed}' if self.allowed else ''}"

    def document(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return {"row": self.where, "wrong": self.wrong, "allowed": self.allowed, "rows": self.rows}


class RowError(ValueError):
    """A row cannot be used: what is wrong, and what is allowed."""

    def __init__(self, wrong: str, allowed: str = "") -> None:
        super().__init__(wrong)
        self.wrong, self.allowed = wrong, allowed


@dataclass
class Rows:
    """What a reader of one layout found. durations: seconds by video; subsets: of videos that have no row."""

    form: str
    rows: list[LabelRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    durations: dict[str, float] = field(default_factory=dict)
    ambiguous: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def leave_out(self, where: str, e: RowError) -> None:
        """Note a row that cannot be used."""
        self.problems.append(Problem(where, e.wrong, e.allowed))


def checked_interval(start: float, end: float) -> tuple[float, float | None]:
    """Start and end as a row has them; a segment that takes no time is a point.

    Raises:
        RowError: it ends before it starts.
    """
    if end < start:
        raise RowError(f"ends at {end:g} s, before it starts at {start:g} s", "the start comes first")
    return start, end if end > start else None


def names_in(text: str) -> list[str]:
    """Split the labels of one cell, ``a;b``, each once; none of an empty cell.

    >>> names_in("jump; run;jump")
    ['jump', 'run']
    """
    return list(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))


def together(problems: Iterable[Problem]) -> list[Problem]:
    """Merge problems that differ only in their row, at the place of the first."""
    found: dict[tuple[str, str], Problem] = {}
    for p in problems:
        first = found.get((p.wrong, p.allowed))
        found[p.wrong, p.allowed] = (
            p if first is None else Problem(first.where, p.wrong, p.allowed, first.rows + p.rows)
        )
    return list(found.values())
