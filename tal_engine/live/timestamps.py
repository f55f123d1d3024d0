"""Convert a source's time stamps to strictly increasing seconds of the stream, and to the wall clock.

Input are numbers only: time stamps, and their times of arrival. Three clocks are involved: the source's (PTS, which
may stop, leap, wrap or restart), the stream's (from 0, strictly increasing; all later stages use it) and this
machine's. Between two frames of one connection the stream's clock follows the source's, so that no error accumulates.
This machine's clock decides only where the source's must be wrong.

Sources that are not live are timed by `file_clock`, which can wait for the next frame without limit. The rules for
live sources:

- A stamp that goes back or repeats: the frame is dropped. After `_PATIENCE_S` of such frames only, the source has a
  new clock and the stream continues from there.
- A leap ahead by more than `LEAP_S` although less time has passed: the frame is held until the next one confirms it.
  If the stream were then more than `leap` ahead of this machine's clock, it continues from the time that passed.
- A counter that wraps (33 bits of MPEG transport streams, 32 of RTP): the stream continues without a step.
- No stamp, or NaN: the time of arrival counts. Stamps that stand still while frames arrive count as none.
- A new connection: placed by the time that passed on this machine's clock since the first frame of the first one.
  Servers begin with buffered frames, so frames are held until they arrive no faster than they were captured.
- HLS segments have the same stamps for every client, so a new connection continues in the old time. One that cannot
  yields nothing, and the next is placed by this machine's clock. Segments never repeat past frames: two stamps in a row
  that go back are a new clock at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

from ..video.file_clock import LEAP_S, WRAPS_S, FileClock, known
from .wall_clock import WallClockEstimator

#: Seconds of frames from the past only, after which the source has a new clock.
_PATIENCE_S = 1.0
#: Frames by which stamps that move again may lag behind arrivals and still count as the same clock, only late.
_BEHIND = 2
#: A new connection's frames are held until, for `_SETTLED_S`, they come no faster than `_PACE` times their own pace.
_SETTLED_S, _PACE, _HELD_S, _HELD_FRAMES = 0.25, 2.0, 1.5, 250

Picture = TypeVar("Picture")


class Arrival(NamedTuple, Generic[Picture]):
    """A frame on arrival: seconds of the source (None or NaN: unknown), seconds of this machine, and the image."""

    pts: float | None
    at: float
    picture: Picture


class TimestampNormalizer:
    """The three clocks of one source, over all its connections.

    live: frames arrive as they are captured, so that this machine's clock can confirm theirs; False: a pipe, timed like
    a file. leap: seconds that the stream may run ahead of this machine's clock. discontinuous: see `FileClock`.
    dropped: number of frames that went back in time. restarts: how often the source's clock restarted.
    """

    def __init__(self, frame_seconds: float, leap: float, live: bool) -> None:
        self.frame_seconds = frame_seconds
        self.dropped = self.restarts = 0
        self.discontinuous = self._segmented = False
        self.last: float | None = None
        self._last_at = 0.0
        self._leap, self._live = leap, live
        self._offset: float | None = None  # stream's minus source's seconds, of this connection
        self._back: tuple[float, float] | None = None  # since when only past frames arrive, and the earliest
        self._origin: float | None = None
        self._stamp: float | None = None  # newest stamp of this connection
        self._still = False  # the newest stamp repeats
        self._wall = WallClockEstimator()

    def wall(self, seconds: float) -> float:
        """Estimate this machine's wall-clock seconds at which a frame of the stream was captured."""
        return self._wall.wall_time(seconds)

    @property
    def reached(self) -> float | None:
        """Seconds of the source at the newest frame."""
        return None if self.last is None or self._offset is None else self.last - self._offset

    def connected(self, origin: float | None = None, segmented: bool = False) -> None:
        """Start with a new source clock, unless the source is HLS (`segmented`), whose unseen packets continue the old.

        The stream begins at its `origin`; None: at the first frame.
        """
        if not (segmented and self._segmented):
            self._offset = None
        self._back, self._origin, self._segmented = None, origin, segmented
        self._stamp, self._still = None, False
        self._wall.restart()

    def timed(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[tuple[float, Picture]]:
        """Yield frames with their seconds of the stream, strictly increasing; frames without a place are dropped."""
        if not self._live:
            yield from self._read(arrivals)
            return
        held: Arrival[Picture] | None = None
        for frame in self._begun(arrivals):
            if held is not None:
                yield from self._after_hold(held, frame)
                held = None
            if self._repeats(frame) or self._leaps(frame):
                held = frame
                continue
            yield from self._placed(frame)
        if held is not None:
            yield from self._placed(held)

    def _read(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[tuple[float, Picture]]:
        """Yield frames of a source that is not live."""
        clock: FileClock[Arrival[Picture]] = FileClock(
            self.frame_seconds, None if self._origin is None else -self._origin, self.discontinuous
        )
        dropped, restarts = self.dropped, self.restarts
        for seconds, frame in clock.timed((frame.pts, frame) for frame in arrivals):
            self.last, self._offset, self._last_at = seconds, clock.offset, frame.at
            self.dropped, self.restarts = dropped + clock.dropped, restarts + clock.restarts
            if self._wall.unset:
                self._wall.observe(seconds, frame.at)
            yield seconds, frame.picture
        self.dropped = dropped + clock.dropped

    def _begun(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[Arrival[Picture]]:
        """Yield frames once the new connection is aligned with the stream clock; none if it cannot be aligned."""
        if self._offset is None:
            return self._settled(arrivals)
        first = next(arrivals, None)
        if first is None:
            return arrivals
        if not 0 < self._ahead(first.pts) <= max(self._now(first.at) - (self.last or 0.0), 0.0) + LEAP_S:
            self._offset = None
            return iter(())
        return chain([first], arrivals)

    def _ahead(self, pts: float | None) -> float:
        """Return the seconds of the stream after the newest frame."""
        return math.inf if pts is None or not known(pts) or self.reached is None else pts - self.reached

    def _settled(self, arrivals: Iterator[Arrival[Picture]]) -> Iterator[Arrival[Picture]]:
        """Yield frames once the new connection is aligned with the stream clock."""
        store: list[Arrival[Picture]] = []
        for frame in arrivals:
            store.append(frame)
            if _at_pace(store) or frame.at - store[0].at > _HELD_S or len(store) >= _HELD_FRAMES:
                break
        self._begin(store)
        yield from store
        yield from arrivals

    def _begin(self, store: list[Arrival[Picture]]) -> None:
        """Anchor the newest frame to now; space earlier frames without a time backwards from the first with one."""
        first = next((i for i, frame in enumerate(store) if known(frame.pts)), None)
        if first is None:
            return
        start, newest = store[first].pts, store[-1].pts
        if not (known(start) and known(newest)):
            return
        for i in range(first):
            store[i] = store[i]._replace(pts=start - (first - i) * self.frame_seconds)
        # the least delayed of the newest frames
        delay = min(f.at - f.pts for f in store if known(f.pts) and newest - LEAP_S < f.pts <= newest)
        if self.last is not None:
            self._offset = max(self._now(delay + newest), self.last + self.frame_seconds) - newest
            return
        self._offset = first * self.frame_seconds - start
        if abs(newest - start) <= self._leap:
            self._wall.observe(newest + self._offset, delay + newest)

    def _after_hold(self, held: Arrival[Picture], frame: Arrival[Picture]) -> Iterator[tuple[float, Picture]]:
        """Accept a held leap if the next frame comes after it; drop it otherwise.

        A repeated stamp counts as no stamp if it keeps standing still, and as a frame sent twice otherwise.
        """
        if held.pts == self._stamp:
            self._still = not known(frame.pts) or frame.pts == held.pts
            yield from self._placed(held)
            return
        assert held.pts is not None and self._offset is not None and self.last is not None  # noqa: S101, PT018
        step = frame.pts - held.pts if known(frame.pts) else LEAP_S
        if held.pts + self._offset < self.last and 0 < step < LEAP_S:
            self.restarts += 1
            self._offset = None
        if step > 0:
            yield from self._placed(held)
        else:
            self.dropped += 1

    def _repeats(self, frame: Arrival[Picture]) -> bool:
        """Return whether the stamp repeats the last one; the next frame shows whether stamps stand still."""
        return not self._still and self.last is not None and known(frame.pts) and frame.pts == self._stamp

    def _leaps(self, frame: Arrival[Picture]) -> bool:
        if self.last is None or self._offset is None or not known(frame.pts):
            return False
        step = frame.pts + self._offset - self.last
        return step > LEAP_S + frame.at - self._last_at or (self._segmented and self._begins_anew(step))

    def _begins_anew(self, step: float) -> bool:
        return step < -LEAP_S and not any(0 < step + wrap <= self._leap for wrap in WRAPS_S)

    def _placed(self, frame: Arrival[Picture]) -> Iterator[tuple[float, Picture]]:
        seconds = self._place(frame.pts, frame.at)
        if seconds is None:
            self.dropped += 1
            return
        self.last, self._last_at = seconds, frame.at
        self._wall.observe(seconds, frame.at)
        yield seconds, frame.picture

    def _place(self, pts: float | None, at: float) -> float | None:
        """Return the frame's seconds of the stream; None: it has no place."""
        if not known(pts) or (self._still and pts == self._stamp):
            return self._without_time(at)
        still, self._still, before, self._stamp = self._still, False, self._stamp, pts
        if self._offset is None:
            return self._anew(pts, at)
        if self.last is None:
            return pts + self._offset
        step = pts + self._offset - self.last
        if step <= 0 and still:
            return self._after_still(pts, at, step)
        if step <= 0:
            self._stamp = before  # a frame that may be dropped proves nothing
            return self._from_the_past(pts, at)
        self._back = None
        if step > LEAP_S and self.last + step - self._now(at) > self._leap:
            self.restarts += 1
            return self._anew(pts, at)
        return pts + self._offset

    def _without_time(self, at: float) -> float:
        if self.last is None:
            return 0.0
        return self.last + max(at - self._last_at, self.frame_seconds / 100)

    def _after_still(self, pts: float, at: float, step: float) -> float:
        """Place a frame whose stamp moves again, behind frames that were placed by arrival.

        Either those frames came late, or the clock had stopped.
        """
        if step > -_BEHIND * self.frame_seconds:
            return self._without_time(at)
        self.restarts += 1
        return self._anew(pts, at)

    def _from_the_past(self, pts: float, at: float) -> float | None:
        assert self._offset is not None and self.last is not None  # noqa: S101, PT018 - `_place` looked
        for wrap in WRAPS_S:
            step = pts + wrap + self._offset - self.last
            if 0 < step <= self._leap:
                self._offset += wrap
                return pts + self._offset
        if self._back is None or pts < self._back[1]:
            self._back = (at, pts)
        if at - self._back[0] < _PATIENCE_S:
            return None
        self.restarts += 1
        self._stamp = pts
        return self._anew(pts, at)

    def _anew(self, pts: float, at: float) -> float:
        """Restart the source's clock: the stream continues by the time that passed on this machine's clock."""
        self._back = None
        if self.last is None:
            seconds = 0.0
        else:
            seconds = max(self._now(at), self.last + self.frame_seconds)
            self._wall.restart()  # this frame may have been delayed: that is not clock drift
        self._offset = seconds - pts
        return seconds

    def _now(self, at: float) -> float:
        return at - self._wall.start


def _at_pace(store: list[Arrival[Picture]]) -> bool:
    """Return whether the newest frames came about as fast as they were captured."""
    newest = store[-1]
    lately = [f.pts for f in store if f.at >= newest.at - _SETTLED_S and known(f.pts)]
    if newest.at - store[0].at < _SETTLED_S or len(lately) < 2:
        return False
    return lately[-1] - lately[0] <= _PACE * _SETTLED_S
