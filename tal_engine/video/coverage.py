"""Which seconds of a stream were looked at, and why others were not. Knows seconds and reasons, no frames.

A frame is on screen until the next one comes; `dropped` counts that time for each frame that was thrown
away. It is the frames' own time and not that of the grid they are put on: a source of 50 frames a second
on a grid of 25 loses nothing when every second frame goes, and still counts half of its seconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Literal, get_args

#: gap: the source's time stamps leave time out. dropped: frames came faster than they were taken. reconnect: the
#: connection was lost. stalled: connected, and nothing came. damaged: frames that could not be decoded, or whose
#: time stamps went back for long.
Reason = Literal["gap", "dropped", "reconnect", "stalled", "damaged"]
REASONS: tuple[Reason, ...] = get_args(Reason)
#: Intervals that touch but for rounding are one.
_TOUCHING_S = 1e-6
#: Where too many intervals are kept, such a share of them goes at once, so that finding them costs next to nothing.
_FORGET = 0.1


@dataclass(frozen=True, slots=True)
class Missed:
    """[start, end) of the stream, in seconds, that was not analysed."""

    start: float
    end: float
    reason: Reason


class Coverage:
    """A record of bounded size: the newest intervals and the longest older ones one by one, all of them in the totals.

    keep: so many intervals at most. `forgotten` ones are in the totals only: of the older half of those that are kept
    the shortest go first, as a frame that was lost yesterday matters less than an hour that was. `end` is the end of
    the last frame, seconds of the stream. `frames` counts: those that came in order and whole enough to be shown, of
    these the dropped ones (before or after they were decoded) and the corrupt ones (shown with what errors left of
    them), and the damaged ones, which are shown never and need not cost time: nothing is missed with a duplicate. Safe
    to read while another thread writes.
    """

    def __init__(self, keep: int = 1000) -> None:
        self.end = 0.0
        self.frames = {"arrived": 0, "dropped": 0, "corrupt": 0, "damaged": 0}
        self.totals: dict[Reason, float] = dict.fromkeys(REASONS, 0.0)
        self.forgotten = 0
        self._keep = keep
        self._missed: list[Missed] = []
        self._lock = threading.Lock()

    def arrived(self, end: float) -> None:
        """One more frame, on screen until `end` as far as is known."""
        with self._lock:
            self.frames["arrived"] += 1
            self.end = max(self.end, end)

    def count(self, kind: Literal["arrived", "dropped", "corrupt", "damaged"], frames: int) -> None:
        """So many more frames are of this kind."""
        with self._lock:
            self.frames[kind] += frames

    def drop(self, start: float, following: float | None) -> None:
        """A frame at `start` was thrown away, which would be on screen until the next one (None: until the end).

        What is missed already before that one comes is not missed again.
        """
        with self._lock:
            end = self.end if following is None else following
            at = bisect_right(self._missed, start, key=lambda m: m.start)
            if at < len(self._missed):
                end = min(end, self._missed[at].start)
            self.frames["dropped"] += 1
        self.add("dropped", start, end)

    def add(self, reason: Reason, start: float, end: float) -> None:
        """[start, end) is not analysed. Intervals do not overlap; they may come out of order."""
        if not end > start:
            return
        with self._lock:
            self.totals[reason] += end - start
            self.end = max(self.end, end)
            self._insert(Missed(start, end, reason))
            if len(self._missed) > self._keep:
                self._forget()

    def _insert(self, new: Missed) -> None:
        at = bisect_right(self._missed, new.start, key=lambda m: m.start)
        if at and _touch(self._missed[at - 1], new):
            at -= 1
            new = Missed(self._missed.pop(at).start, new.end, new.reason)
        if at < len(self._missed) and _touch(new, self._missed[at]):
            new = Missed(new.start, self._missed.pop(at).end, new.reason)
        self._missed.insert(at, new)

    def _forget(self) -> None:
        older = range((len(self._missed) + 1) // 2)
        shortest = sorted(older, key=lambda i: self._missed[i].end - self._missed[i].start)
        for i in sorted(shortest[: max(int(_FORGET * self._keep), 1)], reverse=True):
            del self._missed[i]
            self.forgotten += 1

    @property
    def missed(self) -> tuple[Missed, ...]:
        """The intervals that are kept, in order of time."""
        with self._lock:
            return tuple(self._missed)

    @property
    def missed_seconds(self) -> float:
        """All seconds that were not analysed, forgotten intervals included."""
        with self._lock:
            return sum(self.totals.values())

    @property
    def seen_seconds(self) -> float:
        """Seconds of the stream whose frames were handed over."""
        return max(self.end - self.missed_seconds, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, seconds rounded to microseconds."""
        return {
            "seconds": round(self.end, 6),
            "seen": round(self.seen_seconds, 6),
            "not_analysed": {reason: round(seconds, 6) for reason, seconds in self.totals.items()},
            "frames": dict(self.frames),
            "intervals": [
                {"start": round(m.start, 6), "end": round(m.end, 6), "reason": m.reason} for m in self.missed
            ],
            "intervals_left_out": self.forgotten,
        }


def _touch(first: Missed, second: Missed) -> bool:
    return first.reason == second.reason and second.start - first.end <= _TOUCHING_S
