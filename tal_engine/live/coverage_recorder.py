"""Derive from arriving frames what was missed between them: times and counts, independent of the reading thread."""

from __future__ import annotations

import threading

from .coverage import Coverage

#: Longest gap between frames that still counts as continuous, in seconds; files may contain pauses.
_HOLD_S, _HOLD_IN_FILES_S = 1.0, 10.0
#: A damaged frame costs time if the next one comes after more than this many frame times.
_LATE = 1.5
#: Weight of the newest step in the mean time between frames.
_NEWEST = 0.05


class CoverageRecorder:
    """Records the coverage of one source.

    frame_seconds: how long a frame is on screen: nominal in files, the running mean of live frames.
    """

    def __init__(self, coverage: Coverage, source_timeout: float, opened: float = 0.0) -> None:
        """Begin.

        Args:
            coverage: receives the record.
            source_timeout: seconds of silence after which a connection is closed.
            opened: when the source was opened, in seconds of this machine's clock.
        """
        self.frame_seconds = 0.04
        self._coverage, self._timeout, self._opened = coverage, source_timeout, opened
        self._in_vain = False  # connections were attempted before the first frame
        self._over: float | None = None  # when `finish` was called
        self._lock = threading.Lock()
        self._live = False
        self._last: tuple[float, float] | None = None  # seconds of the stream and of this machine
        self._lost: bool | None = None  # the connection was lost, after a silence (True) or at once
        self._damaged = self._corrupt = 0
        self._after_last = False
        self._given_up: float | None = None  # end of the coverage when `given_up` was first called
        self._owed = 0  # damaged frames counted with the last frame, which cost no time yet

    def connected(self, frame_seconds: float, live: bool) -> None:
        """Note that frames come from a new connection."""
        self._live = live
        if self._last is None:
            self.frame_seconds = frame_seconds

    def disconnected(self, silent: bool) -> None:
        """Note that the connection is lost; `silent`: because nothing came for `source_timeout` seconds."""
        if self._lost is None:
            self._lost = silent

    def frame(self, seconds: float, at: float, damaged: int, corrupt: int, left_out: int = 0) -> None:
        """Record a frame of the stream that arrived at `at` of this machine's clock.

        damaged, corrupt: totals of such frames so far. left_out: frames since the last one that were dropped before
        decoding.
        """
        if self._last is None and self._in_vain and self._live:  # the stream begins later than expected
            self._coverage.add("reconnect", self._opened - at, 0.0)
        fresh = damaged - self._damaged
        self.counted(damaged, corrupt)
        if left_out and self._lost is None:
            self.left_out(left_out, seconds)
        if self._last is None and not self._live and fresh and seconds > _LATE * self.frame_seconds:
            self._coverage.add("damaged", 0.0, seconds)
        if self._last is not None:
            # a deinterlacer delays frames by one, so a gap appears one frame later
            self._between(self._last[0], seconds, at - self._last[1], fresh + self._owed)
            self._owed = fresh if seconds - self._last[0] <= _LATE * self.frame_seconds else 0
        self._last, self._lost = (seconds, at), None
        self._coverage.arrived(seconds + self.frame_seconds)

    def left_out(self, count: int, following: float | None = None) -> None:
        """Record `count` frames after the last one that were dropped before decoding; None `following` these yet."""
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
        """Longest gap between frames that still counts as continuous, in seconds."""
        return max(_HOLD_S, 3 * self.frame_seconds) if self._live else _HOLD_IN_FILES_S

    def counted(self, damaged: int, corrupt: int) -> None:
        """Update the totals of damaged and corrupt frames."""
        self._coverage.count("damaged", damaged - self._damaged)
        self._coverage.count("corrupt", corrupt - self._corrupt)
        self._after_last = damaged > self._damaged
        self._damaged, self._corrupt = damaged, corrupt

    def _between(self, last: float, seconds: float, passed: float, damaged: int) -> None:
        """Record what is missing between two frames, and why."""
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

    def in_vain(self) -> None:
        """Note a connection attempt that failed or gave no frame."""
        self._in_vain = True

    def ended(self, stays: float | None = None, missing: float = 0.0) -> None:
        """Note that the source ended by itself: its last frame `stays`, `missing` seconds should follow.

        stays: seconds that the last frame is shown; None: as long as any. The missing seconds count as damaged if
        frames were lost after the last one, and as a gap otherwise.
        """
        self._lost = None
        self.frame_seconds = stays or self.frame_seconds
        if self._last is None:
            return
        end = self._last[0] + self.frame_seconds
        self._coverage.reach(end)
        self._coverage.add("damaged" if self._after_last else "gap", end, end + missing)

    def finish(self, at: float, live: bool = False) -> None:
        """Note that the source is over; an outage that has not ended lasts until now. Only the first call counts.

        For a live source that never gave a frame, all the time since it was opened is missed.
        """
        with self._lock:
            if self._over is not None:
                return
            self._over = at
        if self._lost is not None and self._last is not None:
            last, then = self._last
            self._outage(last + self.frame_seconds, last + at - then, self._lost)
        elif live and self._last is None:
            self._coverage.add("reconnect", 0.0, at - self._opened)

    def given_up(self, since: float, at: float, length: float) -> None:
        """Record that nothing is decided from `since` on: to a file's `length`, or to now for a live source.

        May be called again later: a live source would have continued meanwhile.
        """
        over = at if self._over is None else self._over
        if self._given_up is None:
            self._given_up = self._coverage.end
        end = self._given_up + (at - over if self._live else 0.0)
        self._coverage.fail(since, max(end, 0.0 if self._live else length))

    def failed(self, at: float) -> None:
        """Record the time until now as missed, when a failed source is closed."""
        end = self._coverage.end
        self._coverage.add("reconnect", end, end + at - (at if self._over is None else self._over))
