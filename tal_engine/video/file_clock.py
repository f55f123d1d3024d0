"""Time stamps of something that is read, not watched: one line of seconds that only goes forward.

Knows numbers only. Nothing here depends on when frames arrive or on what a header claims: a stamp is judged by the
stamps around it, so an odd frame is held until the next one has been seen.

- A step back that the next frame confirms is a new clock (joined files, playlists with a discontinuity): the line goes
  on one frame after the last picture. A counter that wraps keeps its exact step.
- A step back, or a leap ahead, that the next frame takes back is one broken stamp: that frame is dropped.
- A leap ahead that the next frame confirms is a pause. In containers whose clocks may be discontinuous (MPEG-TS,
  MPEG-PS, HLS) a leap of more than `_DISCONTINUITY_S` is a new clock, as for the ffmpeg program.
- Several stamps in a row that go back by less than `_BACK_S`: frames stand closer together until stamps catch up.
- Stamps that stand still while frames come, or that go back for frame after frame, count as no stamps.
- No stamp: one frame after the last, at the pace that the stamps around have shown so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeGuard, TypeVar

#: A step this long waits for the next frame.
LEAP_S = 1.0
#: Stamps beyond are none: Unix seconds are below, and a float still resolves microseconds there.
_LATEST_S = 1e10
#: Counters of 90 kHz that start again: MPEG-TS and RTP.
WRAPS_S = (2**33 / 90_000, 2**32 / 90_000)
#: After a wrap a counter goes on within this many seconds.
_WRAP_STEP_S = 10.0
#: Smaller steps back are jitter and never a new clock: each new clock would add a frame that nobody took.
_BACK_S = 0.1
#: The ffmpeg program's `dts_delta_threshold`.
_DISCONTINUITY_S = 10.0
#: A last frame this far ahead, with nothing after it to confirm the leap, needs another witness.
_ALONE_S = 60.0
#: After this many frames in a row without a place, stamps count as none.
_PATIENCE = 8
#: So many frames without a stamp, between two that have one, tell how far apart frames are.
_TELLING = 4
#: Stamps that go on after standing still may lie behind the frames placed meanwhile by this share of that time.
_INEXACT = 0.2

Picture = TypeVar("Picture")


def known(pts: float | None) -> TypeGuard[float]:
    """Return whether a time stamp is a number in the range of times."""
    return pts is not None and abs(pts) < _LATEST_S


class _Held(NamedTuple, Generic[Picture]):
    pts: float
    picture: Picture


class FileClock(Generic[Picture]):
    """The clock of one file or pipe.

    frame_seconds: nominal distance of two frames. offset: seconds of the line minus those of the stamps; None: the
    first frame is at 0. discontinuous: see above. claim: where the container says that the file ends, seconds of the
    line; it only ever supports a last frame that nothing else confirms.

    `dropped` frames have no place, `restarts` new clocks were met, `untimed` frames had no usable stamp.
    """

    def __init__(
        self,
        frame_seconds: float,
        offset: float | None = None,
        discontinuous: bool = False,
        claim: float | None = None,
    ) -> None:
        self.last: float | None = None
        self.offset = offset
        self.dropped = self.restarts = self.untimed = 0
        self._discontinuous, self._claim = discontinuous, claim
        self._step = self._nominal = frame_seconds
        self._stamp: float | None = None  # of the newest frame that had one
        self._anchor = 0.0  # where that frame stands
        self._without = 0  # frames without a usable stamp since then
        self._still = False
        self._squeezing = False  # stamps lie a little behind the frames
        self._is_new = False  # the newest frame began a new clock
        self._old: float | None = None  # the offset of the clock before, for some frames
        self._since = 0
        self._refused = 0  # frames dropped in a row
        self._longest = 0.0

    def timed(self, frames: Iterator[tuple[float | None, Picture]]) -> Iterator[tuple[float, Picture]]:
        """Turn (stamp in seconds or None, picture) into (seconds on the timeline, picture), strictly increasing."""
        held: _Held[Picture] | None = None
        for pts, picture in frames:
            if held is not None:
                if self._decided(held.pts, pts):
                    yield self.last, held.picture  # type: ignore[misc]
                held = None
            if not known(pts):
                yield self._without_stamp(), picture
            elif self._regular(pts):
                yield self.last, picture  # type: ignore[misc]
            else:
                held = _Held(pts, picture)
        if held is not None and self._decided_alone(held.pts):
            yield self.last, held.picture  # type: ignore[misc]

    # -- one frame at a time -----------------------------------------------------------------------

    def _regular(self, pts: float) -> bool:
        """Place the frame without waiting for the next one, if its stamp allows that; nearly all do."""
        if self.last is None or self.offset is None:
            return False
        if self._without:
            return self._placed_after_none(pts, self.last, self.offset)
        seconds = pts + self.offset
        return 0 < seconds - self.last <= LEAP_S and self._put(pts, seconds)

    def _put(self, pts: float, seconds: float, anew: bool = False) -> bool:
        """Place the frame at `seconds`. Always true. Only a restarted clock (`anew`) sets the offset."""
        if anew:
            self.offset = seconds - pts
        self._stamp, self.last = pts, seconds
        self._still, self._without, self._refused = False, 0, 0
        self._is_new = self._squeezing = False
        if self._old is not None:
            self._since += 1
            self._old = self._old if self._since <= _PATIENCE else None
        return True

    def _without_stamp(self) -> float:
        if self.last is None:
            self.last = 0.0
        else:
            self._anchor = self._anchor if self._without else self.last
            self._without += 1
            self.last += self._step
        self.untimed += 1
        return self.last

    def _drop(self) -> bool:
        """Drop the frame, unless too many before it were dropped; return whether it was placed."""
        self._refused += 1
        if self._refused > _PATIENCE:
            self._without_stamp()
            return True
        self.dropped += 1
        return False

    def _placed_after_none(self, pts: float, last: float, offset: float) -> bool:
        """Learn the spacing of frames without stamps from the first stamp after them; return whether it is placed."""
        if pts == self._stamp:
            return False
        seconds, spell = pts + offset, last - self._anchor
        step = seconds - self._anchor
        if self._still:
            if not -max(_INEXACT * spell, _BACK_S) < seconds - last <= LEAP_S:
                return False
        elif not 0 < step <= spell + LEAP_S:
            return False
        elif self._without >= _TELLING:
            self._step = step / (self._without + 1)
        if seconds > last:
            return self._put(pts, seconds)
        self.last = last + self._nominal / 100  # the frames before were placed too far apart: none is lost
        return True

    def _decided(self, pts: float, following: float | None) -> bool:
        """Decide whether a held frame is placed, now that the next stamp is known."""
        if self.last is None or self.offset is None:
            return self._first(pts, following)
        seconds = pts + self.offset
        after = following + self.offset if known(following) else None
        if seconds > self.last:
            if after is not None and self.last < after < seconds:
                return self._drop()
            return self._decided_alone(pts) if after is not None and after <= self.last else self._ahead(pts, seconds)
        if any(0 < seconds + wrap - self.last <= _WRAP_STEP_S for wrap in WRAPS_S):
            return self._wrapped(pts, seconds)
        if pts == self._stamp and not self._is_new:
            return self._standing(self._still or after is None or following == pts)
        if self._still and seconds > self._anchor:
            return self._anew(pts)
        goes_on = after is None or after <= self.last or (self._is_new and seconds <= self.last)
        if self.last - seconds < _BACK_S and not self._is_new:
            return self._squeezed(pts, after) if goes_on or self._squeezing else self._drop()
        return self._anew(pts) if goes_on else self._drop()

    def _decided_alone(self, pts: float) -> bool:
        """Decide about the last held frame, from the frames before it and the container's claim."""
        if self.last is None or self.offset is None:
            return self._first(pts, None)
        seconds = pts + self.offset
        if seconds <= self.last:
            if any(0 < seconds + wrap - self.last <= _WRAP_STEP_S for wrap in WRAPS_S):
                return self._wrapped(pts, seconds)
            if pts == self._stamp:
                return self._standing(self._still)
            return self._drop() if self.last - seconds < _BACK_S else self._anew(pts)
        step = seconds - self.last
        claimed = self._claim is not None and seconds <= self._claim + LEAP_S
        if step > max(_ALONE_S, 2 * self._longest) and not claimed:
            return self._anew(pts)
        return self._ahead(pts, seconds)

    def _first(self, pts: float, following: float | None) -> bool:
        if known(following) and following < pts:
            return self._drop()
        if self.offset is None:
            return self._put(pts, 0.0 if self.last is None else self.last + self._step, anew=True)
        return self._put(pts, max(pts + self.offset, 0.0), anew=pts + self.offset < 0)

    def _ahead(self, pts: float, seconds: float) -> bool:
        step = seconds - self.last  # type: ignore[operator]
        if self._old is not None and 0 < pts + self._old - self.last <= LEAP_S:  # type: ignore[operator]
            self.offset, self.restarts = self._old, self.restarts - 1  # a few wrong stamps, not a new clock
            return self._put(pts, pts + self._old)
        if self._discontinuous and step > _DISCONTINUITY_S:
            return self._anew(pts)
        self._longest = max(self._longest, step)
        return self._put(pts, seconds)

    def _wrapped(self, pts: float, seconds: float) -> bool:
        wrap = min(w for w in WRAPS_S if seconds + w > self.last)  # type: ignore[operator]
        return self._put(pts, seconds + wrap, anew=True)

    def _standing(self, confirmed: bool) -> bool:
        if not confirmed:
            return self._drop()
        self._still = True
        self._without_stamp()
        return True

    def _squeezed(self, pts: float, after: float | None) -> bool:
        """Place frames closer together while a few stamps in a row lag, until the stamps catch up."""
        step = self._nominal / 2
        if after is not None and after > self.last:  # type: ignore[operator]
            step = min(step, (after - self.last) / 2)  # type: ignore[operator]
        self._stamp, self._squeezing = pts, True
        self.last += step  # type: ignore[operator]
        return True

    def _anew(self, pts: float) -> bool:
        self.restarts += 1
        old = self.offset if self._old is None else self._old
        self._put(pts, self.last + self._nominal, anew=True)  # type: ignore[operator]
        self._is_new, self._old, self._since = True, old, 0
        return True
