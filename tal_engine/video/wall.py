"""A stream's seconds on this machine's clock. Knows numbers only.

Frames were made at the first frames' time of arrival plus the seconds of the stream since. Where the two clocks run
apart, the earliest arrivals of ten seconds at a time are compared with the first ten since frames were placed anew, and
the difference is followed by at most 2%.
"""

from __future__ import annotations

import math

#: Arrivals are compared by so many seconds, and followed so fast.
_PERIOD_S, _FOLLOW = 10.0, 0.02


class Wall:
    """This machine's seconds of the stream's second 0, followed slowly where the two run apart."""

    def __init__(self) -> None:
        self.start = math.nan
        self._settled: tuple[float, float] | None = None  # earliest arrival and `start` of the first period
        self._target = math.nan
        self._period = math.nan
        self._earliest = math.inf
        self._seconds = 0.0

    @property
    def unset(self) -> bool:
        return math.isnan(self.start)

    def begins(self) -> None:
        """Frames that come from now on are placed anew: arrivals are compared with the first of them."""
        self._settled = None
        self._target = self._period = math.nan
        self._earliest = math.inf

    def saw(self, seconds: float, at: float) -> None:
        """A frame of the stream came."""
        delay = at - seconds
        if self.unset:
            self.start = delay
        if math.isnan(self._period):
            self._period = seconds
        self._earliest = min(self._earliest, delay)
        if seconds - self._period >= _PERIOD_S:
            self._compare(seconds)
        if not math.isnan(self._target):
            most = _FOLLOW * (seconds - self._seconds)
            self.start += min(max(self._target - self.start, -most), most)
        self._seconds = seconds

    def _compare(self, seconds: float) -> None:
        if self._settled is None:
            self._settled = self._earliest, self.start
        else:
            self._target = self._settled[1] + self._earliest - self._settled[0]
        self._period, self._earliest = seconds, math.inf

    def of(self, seconds: float) -> float:
        return self.start + seconds
