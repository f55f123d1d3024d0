"""What BORIS's projects and its exported tables share: events to segments.

A state has a start and a stop, which carry the same subject, behaviour and modifiers and nothing that says which is
which: BORIS takes them in turn, in order of time. Times count from the first media file on, and the observation's time
offset is inside them.

Source: boris-behav-obs 8.27.4, `project_functions.events_start_stop`, `write_event`, `observation_operations`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .comments import split_score
from .format import Context, holds
from .table import Annotation

#: What the project and both tables hold.
HOLDS = holds("points", "subject", "score", "comment", "overlaps")
#: From here on BORIS takes a time for seconds since 1970 (`DATE_CUTOFF` is 1e8 or so there).
WALL_CLOCK = 1e8


def file_name(path: str) -> str:
    """Return the last part of a path of any system."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


class Event(NamedTuple):
    """One event of an observation; `kind` is "state" or "point"."""

    time: float
    subject: str
    behaviour: str
    modifiers: str
    comment: str
    kind: str

    @property
    def pairs_with(self) -> tuple[str, str, str]:
        """What a start and its stop have in common."""
        return self.subject, self.behaviour, self.modifiers


@dataclass
class Observation:
    """The media files of an observation, one after another, with durations in seconds; the offset inside its times."""

    name: str
    media: list[tuple[str, float]] = field(default_factory=list)
    offset: float = 0.0

    def rows(self, events: Iterable[Event], left_out: Counter[str], wrong: list[str]) -> Iterator[Annotation]:
        """Pair events to annotations; count unpaired starts in `left_out`, impossible times in `wrong`."""
        open_: dict[tuple[str, str, str], Event] = {}
        for event in sorted(events, key=lambda e: e.time):  # stable: equal times stay as the file has them
            time = event.time - self.offset
            if time < 0 or time >= WALL_CLOCK:
                wrong.append(
                    f"observation {self.name!r}: {event.behaviour!r} at {time:g} s, which is no time of a video"
                )
            elif event.kind == "point":
                yield from self._pieces(event, time, None)
            elif event.pairs_with in open_:
                first = open_.pop(event.pairs_with)
                yield from self._pieces(first, first.time - self.offset, time)
            else:
                open_[event.pairs_with] = event
        for event in open_.values():
            left_out[f"{event.behaviour!r} that starts and never stops left out (observation {self.name!r})"] += 1

    def _pieces(self, event: Event, start: float, end: float | None) -> Iterator[Annotation]:
        """Split the event by the media files that it lies in, in each file's time."""
        comment, score = split_score(event.comment)
        if event.modifiers:
            comment = f"{comment} modifiers={event.modifiers}".strip()
        begin = 0.0
        for k, (path, duration) in enumerate(self.media or [(self.name, float("inf"))]):
            last = k >= len(self.media) - 1
            stop = float("inf") if last else begin + duration
            if start < stop and (end is None or end > begin):
                cut = None if end is None else min(end, stop) - begin
                at = max(start, begin) - begin
                if cut is None or cut > at:
                    yield Annotation(file_name(path), event.behaviour, at, cut, event.subject, score, comment)
                if end is None:
                    return
            begin = stop


def merged(rows: Iterable[Annotation], context: Context) -> list[Annotation]:
    """Merge overlapping segments of one video, subject and label, since they could not be paired."""
    out: list[Annotation] = []
    for r in rows:
        last = out[-1] if out else None
        if last is None or (last.end or 0.0) <= (r.start or 0.0):
            out.append(r)
            continue
        context.drop("an overlapping segment of one label and subject merged: BORIS cannot tell them apart")
        best = max((x for x in (last.score, r.score) if x is not None), default=None)
        end = max(last.end or 0.0, r.end or 0.0)
        out[-1] = Annotation(r.video, r.label, last.start, end, r.subject, best, last.comment or r.comment)
    return out
