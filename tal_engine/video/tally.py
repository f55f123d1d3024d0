"""From frames as they come to what was missed between them. Knows times and counts; who reads and why is `live`'s."""

from __future__ import annotations

from .coverage import Coverage

#: A picture stands for this long at most; with a longer pause something is missing. Files are made with pauses.
_HOLD_S, _HOLD_IN_FILES_S = 1.0, 10.0
#: A damaged frame costs time if the next one comes after so many frame times.
_LATE = 1.5
#: Weight of the newest step in the mean time between frames.
_NEWEST = 0.05


class Tally:
    """Fills the coverage of one source.

    frame_seconds: how long a frame is on screen: the nominal time in files, the running mean where frames come live.
    """

    def __init__(self, coverage: Coverage, source_timeout: float) -> None:
        self.frame_seconds = 0.04
        self._coverage, self._timeout = coverage, source_timeout
        self._live = False
        self._last: tuple[float, float] | None = None  # seconds of the stream and of this machine
        self._lost: bool | None = None  # the connection was, after a silence (True) or at once
        self._damaged = self._corrupt = 0

    def connected(self, frame_seconds: float, live: bool) -> None:
        """Frames come from a new connection."""
        self._live = live
        if self._last is None:
            self.frame_seconds = frame_seconds

    def disconnected(self, silent: bool) -> None:
        """The connection is lost; `silent`: because nothing came for `source_timeout`."""
        if self._lost is None:
            self._lost = silent

    def frame(self, seconds: float, at: float, damaged: int, corrupt: int, left_out: int = 0) -> None:
        """A frame of the stream came at `at` of this machine; `damaged` and `corrupt` ones so far, in all.

        left_out: so many between the last one and this one were dropped before they were decoded.
        """
        fresh = damaged - self._damaged
        self.counted(damaged, corrupt)
        if left_out and self._lost is None:
            self.left_out(left_out, seconds)
        if self._last is not None:
            self._between(self._last[0], seconds, at - self._last[1], fresh)
        self._last, self._lost = (seconds, at), None
        self._coverage.arrived(seconds + self.frame_seconds)

    def left_out(self, count: int, following: float | None = None) -> None:
        """So many frames after the last one were dropped before they were decoded; None `following` these yet."""
        self._coverage.count("arrived", count)
        self._coverage.count("dropped", count)
        if self._last is None:
            return
        last, at = self._last
        usual = (count + 1) * self.frame_seconds
        passed = usual if following is None else following - last
        if passed - usual > self._hold:
            passed = usual  # the rest is missing for another reason
        step = passed / (count + 1)
        if self._live:
            self.frame_seconds += _NEWEST * (step - self.frame_seconds)
        self._coverage.add("dropped", last + step, last + passed)
        self._last = (last + count * step, at + count * step)

    @property
    def _hold(self) -> float:
        """For so long a picture stands at most before something is missing."""
        return max(_HOLD_S, 3 * self.frame_seconds) if self._live else _HOLD_IN_FILES_S

    def counted(self, damaged: int, corrupt: int) -> None:
        """So many damaged and corrupt frames until now, in all."""
        self._coverage.count("damaged", damaged - self._damaged)
        self._coverage.count("corrupt", corrupt - self._corrupt)
        self._damaged, self._corrupt = damaged, corrupt

    def _between(self, last: float, seconds: float, passed: float, damaged: int) -> None:
        """What is missing between two frames, and why."""
        step = seconds - last
        shown = last + min(self.frame_seconds, step)
        if self._lost is not None and step > _LATE * self.frame_seconds:
            self._outage(shown, seconds, self._lost)
        elif damaged and step > _LATE * self.frame_seconds:
            self._coverage.add("damaged", shown, seconds)
        elif step > self._hold:
            self._coverage.add("stalled" if self._live and passed > self._hold else "gap", shown, seconds)
        elif self._live:
            self.frame_seconds += _NEWEST * (step - self.frame_seconds)

    def _outage(self, start: float, end: float, silent: bool) -> None:
        found_out = min(start + self._timeout, end) if silent else start
        self._coverage.add("stalled", start, found_out)
        self._coverage.add("reconnect", found_out, end)

    def ended(self) -> None:
        """The source is over by itself: after its last frame nothing is missing."""
        self._lost = None

    def finish(self, at: float) -> None:
        """The source is given up: an outage that has not ended goes until now."""
        if self._lost is not None and self._last is not None:
            last, then = self._last
            self._outage(last + self.frame_seconds, last + at - then, self._lost)
