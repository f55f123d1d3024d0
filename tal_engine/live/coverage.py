"""Which seconds of a stream were analysed, and why others were not: intervals and reasons, without frames.

A frame is on screen until the next one comes; `dropped` counts that time for each frame that was thrown
away. It is the frames' own time and not that of the grid they are put on: a source of 50 frames a second
on a grid of 25 loses nothing when every second frame goes, and still counts half of its seconds.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Literal, get_args

#: gap: the source's time stamps skip time. dropped: frames arrived faster than they were taken. reconnect: there was no
#: connection, because it was lost or not yet established. stalled: connected, but no frame arrived. damaged: frames
#: that could not be decoded, or whose time stamps went back for long. failed: a model or an image failed, and nothing
#: was decided from there on.
Reason = Literal["gap", "dropped", "reconnect", "stalled", "damaged", "failed"]
REASONS: tuple[Reason, ...] = get_args(Reason)
#: Intervals that touch within this rounding error are merged, seconds.
_TOUCHING_S = 1e-6
#: Share of the intervals that is dropped at once when there are too many, so that the search costs next to nothing.
_FORGET = 0.1


@dataclass(frozen=True, slots=True)
class Missed:
    """[start, end) of the stream, in seconds, that was not analysed."""

    start: float
    end: float
    reason: Reason


class Coverage:
    """A record of bounded size: the newest and the longest older intervals one by one, all of them in the totals.

    keep: most intervals. `forgotten` intervals are in the totals only: of the older half the shortest are dropped
    first, as a frame lost yesterday matters less than an hour. `end` is the end of the last frame in seconds of the
    stream, whose 0 is the first frame; `begin` is below 0 if that frame was waited for in vain before. `frames` counts:
    "arrived" in order and displayable; of these "dropped", before or after decoding, and "corrupt", displayed with
    errors; and "damaged" ones, which are never displayed and need not cost time, such as duplicates. Safe to read
    while another thread writes.
    """

    def __init__(self, keep: int = 1000) -> None:
        self.begin = self.end = 0.0
        self.frames = {"arrived": 0, "dropped": 0, "corrupt": 0, "damaged": 0}
        self.totals: dict[Reason, float] = dict.fromkeys(REASONS, 0.0)
        self.forgotten = 0
        self._keep = keep
        self._missed: list[Missed] = []
        self._lock = threading.Lock()

    def arrived(self, end: float) -> None:
        """Count one more frame, on screen until `end` as far as is known."""
        with self._lock:
            self.frames["arrived"] += 1
            self.end = max(self.end, end)

    def reach(self, end: float) -> None:
        """Extend the last frame until `end`."""
        with self._lock:
            self.end = max(self.end, end)

    def count(self, kind: Literal["arrived", "dropped", "corrupt", "damaged"], frames: int) -> None:
        """Count more frames of this kind."""
        with self._lock:
            self.frames[kind] += frames

    def drop(self, start: float, following: float | None) -> None:
        """Record that a frame at `start` was dropped, which would stay on screen until the next one.

        following: where the next frame starts; None: at the end. Time missed before it is not counted again.
        """
        with self._lock:
            end = self.end if following is None else following
            at = bisect_right(self._missed, start, key=lambda m: m.start)
            if at < len(self._missed):
                end = min(end, self._missed[at].start)
            self.frames["dropped"] += 1
        self.add("dropped", start, end)

    def add(self, reason: Reason, start: float, end: float) -> None:
        """Record that [start, end) is not analysed. Intervals are made disjoint and may arrive out of order."""
        if not end > start:
            return
        with self._lock:
            self.totals[reason] += end - start
            self.begin, self.end = min(self.begin, start), max(self.end, end)
            self._insert(Missed(start, end, reason))
            if len(self._missed) > self._keep:
                self._forget()

    def fail(self, start: float, end: float) -> None:
        """Add the part of [start, end) that is not yet missed, with the reason "failed"."""
        for interval in self.missed:
            if interval.end > start and interval.start < end:
                self.add("failed", start, interval.start)
                start = max(start, interval.end)
        self.add("failed", start, end)

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
        """The kept intervals, in order of time."""
        with self._lock:
            return tuple(self._missed)

    @property
    def missed_seconds(self) -> float:
        """Seconds that were not analysed, including forgotten intervals."""
        with self._lock:
            return sum(self.totals.values())

    @property
    def seen_seconds(self) -> float:
        """Seconds of the stream whose frames were handed over."""
        return max(self.end - self.begin - self.missed_seconds, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, seconds rounded to microseconds."""
        return {
            "seconds": round(self.end - self.begin, 6),
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
