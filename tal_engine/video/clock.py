"""A source's time stamps to one line of seconds that only goes forward, and to the wall clock.

Knows numbers only: time stamps as they come, and when they came. Three clocks meet here: the source's (PTS, which
may stop, leap, wrap or start anew), the stream's (what everything after this knows: from 0, strictly increasing) and
this machine's. Between two frames of one connection the stream's clock is the source's, so that nothing is counted
or summed. This machine's clock decides only where the source's cannot be right.

- back, or twice the same: the frame is dropped. After `_PATIENCE_S` of nothing else, the source has a new clock and
  the stream goes on from there.
- ahead by more than `_LEAP_S` although no such time went by: held until the next frame confirms it; if the stream
  were then more than `leap` ahead of this machine's clock, it goes on from the time that really went by.
- wrapped (33 bits of MPEG transport streams, 32 of RTP): goes on as if it had not.
- no time stamp, or one that is no number: the time of arrival where frames come as they are made, else one frame
  after the last.
- a new connection: what went by on this machine's clock since the first frame of the first one. Servers begin with
  what they have in store, so its frames are held until they come as slowly as they were made.
- pieces (HLS) are the same whoever asks, so a new connection goes on in the old time; one that cannot gives nothing,
  and the next is placed anew. Frames from the past never come in them: two in a row are a new clock at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Generic, NamedTuple, TypeGuard, TypeVar

from .wall import Wall

#: A step this long that no time went by for waits for the next frame.
_LEAP_S = 1.0
#: So long only frames from the past, and the past is the new present.
_PATIENCE_S = 1.0
#: Time stamps beyond are none: unix seconds are below, and a float still tells microseconds there.
_LATEST_S = 1e10
#: Counters of 90 kHz that start again: MPEG-TS and RTP.
_WRAPS_S = (2**33 / 90_000, 2**32 / 90_000)
#: A new connection's frames are held until, for `_SETTLED_S`, they come no faster than `_PACE` times their own pace.
_SETTLED_S, _PACE, _HELD_S, _HELD_FRAMES = 0.25, 2.0, 1.5, 250

Picture = TypeVar("Picture")


class Arrival(NamedTuple, Generic[Picture]):
    """A frame as it came: the source's seconds (None or NaN: not known), this machine's, and its picture."""

    pts: float | None
    at: float
    picture: Picture


class StreamClock:
    """The three clocks of one source, over all its connections.

    live: frames come as they are made, so that this machine's clock can confirm theirs. leap: seconds that the stream
    may run ahead of it. `dropped` frames went back in time, `restarts` times the source's clock was set anew.
    """

    def __init__(self, frame_seconds: float, leap: float, live: bool) -> None:
        self.frame_seconds = frame_seconds
        self.dropped = self.restarts = 0
        self._pieces = False
        self.last: float | None = None
        self._last_at = 0.0
        self._leap, self._live = leap, live
        self._offset: float | None = None  # the stream's seconds minus the source's, of this connection
        self._back: tuple[float, float] | None = None  # since when only frames from the past come, and the earliest
        self._origin: float | None = None
        self._wall = Wall()

    def wall(self, seconds: float) -> float:
        """This machine's seconds when a frame of the stream was made, as far as can be told."""
        return self._wall.of(seconds)

    @property
    def reached(self) -> float | None:
        """The source's seconds of the newest frame."""
        return None if self.last is None or self._offset is None else self.last - self._offset

    def connected(self, origin: float | None = None, pieces: bool = False) -> None:
        """The source's clock is a new one, unless it comes in `pieces`: then those not seen yet will be given.

        The stream begins at its `origin`, None: at the first frame.
        """
        if not (pieces and self._pieces):
            self._offset = None
        self._back, self._origin, self._pieces = None, origin, pieces
        self._wall.begins()

    def timed(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[tuple[float, Picture]]:
        """Frames with their seconds of the stream, strictly increasing; those without a place are dropped."""
        held: Arrival[Picture] | None = None
        for frame in self._begun(arrivals):
            if held is not None:
                yield from self._after_hold(held, frame)
                held = None
            if self._leaps(frame):
                held = frame
                continue
            yield from self._placed(frame)
        if held is not None:
            yield from self._placed(held)

    def _begun(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[Arrival[Picture]]:
        """All frames, once it is known where a new connection is in time; none of one that cannot go on."""
        if self._offset is None:
            return self._settled(arrivals) if self._live else arrivals
        first = next(arrivals, None)
        if first is None:
            return arrivals
        if not 0 < self._ahead(first.pts) <= max(self._now(first.at) - (self.last or 0.0), 0.0) + _LEAP_S:
            self._offset = None
            return iter(())
        return chain([first], arrivals)

    def _ahead(self, pts: float | None) -> float:
        """Seconds of the stream after the newest frame."""
        return math.inf if pts is None or not _known(pts) or self.reached is None else pts - self.reached

    def _settled(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[Arrival[Picture]]:
        """All frames, once it is known where a new connection is in time."""
        store: list[Arrival[Picture]] = []
        for frame in arrivals:
            store.append(frame)
            if _at_pace(store) or frame.at - store[0].at > _HELD_S or len(store) >= _HELD_FRAMES:
                break
        self._begin(store)
        yield from store
        yield from arrivals

    def _begin(self, store: list[Arrival[Picture]]) -> None:
        """The newest frame is new; those without a time before the first one that has it lead up to it."""
        first = next((i for i, frame in enumerate(store) if _known(frame.pts)), None)
        if first is None:
            return
        start, newest = store[first].pts, store[-1].pts
        if not (_known(start) and _known(newest)):
            return
        for i in range(first):
            store[i] = store[i]._replace(pts=start - (first - i) * self.frame_seconds)
        # of the newest frames the one that was held up least
        delay = min(f.at - f.pts for f in store if _known(f.pts) and newest - _LEAP_S < f.pts <= newest)
        if self.last is not None:
            self._offset = max(self._now(delay + newest), self.last + self.frame_seconds) - newest
            return
        self._offset = first * self.frame_seconds - start
        if abs(newest - start) <= self._leap:
            self._wall.saw(newest + self._offset, delay + newest)

    def _after_hold(self, held: Arrival[Picture], frame: Arrival[Picture]) -> Iterator[tuple[float, Picture]]:
        """The leap was real if the next frame comes after it, and the only wrong one otherwise."""
        assert held.pts is not None and self._offset is not None and self.last is not None  # noqa: S101, PT018
        step = frame.pts - held.pts if _known(frame.pts) else _LEAP_S
        if held.pts + self._offset < self.last and 0 < step < _LEAP_S:
            self.restarts += 1
            self._offset = None
        if step > 0:
            yield from self._placed(held)
        else:
            self.dropped += 1

    def _leaps(self, frame: Arrival[Picture]) -> bool:
        if self.last is None or self._offset is None or not _known(frame.pts):
            return False
        step = frame.pts + self._offset - self.last
        return step > _LEAP_S + (frame.at - self._last_at if self._live else 0.0) or (
            self._pieces and self._begins_anew(step)
        )

    def _begins_anew(self, step: float) -> bool:
        return step < -_LEAP_S and not any(0 < step + wrap <= self._leap for wrap in _WRAPS_S)

    def _placed(self, frame: Arrival[Picture]) -> Iterator[tuple[float, Picture]]:
        seconds = self._place(frame.pts, frame.at)
        if seconds is None:
            self.dropped += 1
            return
        self.last, self._last_at = seconds, frame.at
        if self._live or self._wall.unset:
            self._wall.saw(seconds, frame.at)
        yield seconds, frame.picture

    def _place(self, pts: float | None, at: float) -> float | None:
        """Seconds of the stream of a frame; None: it has no place."""
        if not _known(pts):
            return self._without_time(at)
        if self._offset is None:
            return self._anew(pts, at)
        if self.last is None:
            return pts + self._offset
        step = pts + self._offset - self.last
        if step <= 0:
            return self._from_the_past(pts, at)
        self._back = None
        if self._live and step > _LEAP_S and self.last + step - self._now(at) > self._leap:
            self.restarts += 1
            return self._anew(pts, at)
        return pts + self._offset

    def _without_time(self, at: float) -> float:
        if self.last is None:
            return 0.0
        passed = at - self._last_at if self._live else self.frame_seconds
        return self.last + max(passed, self.frame_seconds / 100)

    def _from_the_past(self, pts: float, at: float) -> float | None:
        assert self._offset is not None and self.last is not None  # noqa: S101, PT018 - `_place` looked
        for wrap in _WRAPS_S:
            step = pts + wrap + self._offset - self.last
            if 0 < step <= self._leap:
                self._offset += wrap
                return pts + self._offset
        if self._back is None or pts < self._back[1]:
            self._back = (at, pts)
        passed = at - self._back[0] if self._live else pts - self._back[1]
        if passed < _PATIENCE_S:
            return None
        self.restarts += 1
        return self._anew(pts, at, passed)

    def _anew(self, pts: float, at: float, passed: float = 0.0) -> float:
        """The source's clock starts: the stream goes on from what went by on this machine's."""
        self._back = None
        if self.last is None:
            seconds = 0.0 if self._origin is None else max(pts - self._origin, 0.0)
        elif self._live:
            seconds = max(self._now(at), self.last + self.frame_seconds)
            self._wall.begins()  # this one frame may have been held up: what is ahead by it is no drift of a clock
        else:
            seconds = self.last + passed + self.frame_seconds
        self._offset = seconds - pts
        return seconds

    def _now(self, at: float) -> float:
        return at - self._wall.start


def _at_pace(store: list[Arrival[Picture]]) -> bool:
    """Whether the newest frames came about as fast as they were made."""
    newest = store[-1]
    lately = [f.pts for f in store if f.at >= newest.at - _SETTLED_S and _known(f.pts)]
    if newest.at - store[0].at < _SETTLED_S or len(lately) < 2:
        return False
    return lately[-1] - lately[0] <= _PACE * _SETTLED_S


def _known(pts: float | None) -> TypeGuard[float]:
    return pts is not None and abs(pts) < _LATEST_S
