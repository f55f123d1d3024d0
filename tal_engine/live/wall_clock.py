"""Estimate this machine's time of a stream's seconds.

A frame is captured at the first frame's time of arrival plus the seconds of the stream since. To follow clock drift,
the earliest arrival of each ten seconds is compared with that of the first ten seconds after a restart, and the
estimate moves by at most 2% towards the difference.
"""

from __future__ import annotations

import math

#: Seconds per comparison of arrivals, and the fastest correction as a share of the time passed.
_PERIOD_S, _FOLLOW = 10.0, 0.02


class WallClockEstimator:
    """Estimate of this machine's time at the stream's second 0, followed slowly where the two clocks drift apart."""

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

    def restart(self) -> None:
        """Restart the estimate: arrivals are compared with the first of the frames that come from now on."""
        self._settled = None
        self._target = self._period = math.nan
        self._earliest = math.inf

    def observe(self, seconds: float, at: float) -> None:
        """Update the estimate with a frame of the stream."""
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

    def wall_time(self, seconds: float) -> float:
        return self.start + seconds
