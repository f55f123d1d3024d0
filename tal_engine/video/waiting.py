"""The line of frames between the thread that reads a source and whoever takes them. Knows policies, no sources."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Literal, TypeVar

from .coverage import Coverage
from .source import Frame

Lined = TypeVar("Lined", bound=Frame)

Policy = Literal["wait", "drop_oldest", "drop_latest", "adaptive"]

#: From the first fill on `adaptive` keeps fewer frames, up to the second more again.
_FULLER, _EMPTIER = 0.75, 0.25
#: One of so many frames is kept however full the line is, so that it is known that they come.
_MOST_LEFT_OUT = 250


class Line(Generic[Lined]):
    """At most `size` frames; one thread puts, one takes. What `policy` drops goes to `coverage`.

    `every`: which n-th frame is kept now, of all that came or were left out before they came.
    """

    def __init__(self, size: int, policy: Policy, coverage: Coverage) -> None:
        self.every = 1
        self.policy = policy
        self._size, self._coverage = size, coverage
        self._frames: deque[Lined] = deque()
        self._refused: float | None = None  # of the newest frame, if it was dropped: how long it shows is not known yet
        self._turn = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Lined) -> bool:
        """Add a frame, or drop one as the policy has it; False once the line is closed."""
        with self._changed:
            self._settle(frame.pts_seconds)
            if self.policy == "wait":
                self._changed.wait_for(lambda: self._closed or len(self._frames) < self._size)
            if self._closed:
                return False
            if self._refuses(frame.left_out):
                self._refused = frame.pts_seconds
                return True
            self._frames.append(frame)
            if len(self._frames) > self._size:
                oldest = self._frames.popleft()
                self._coverage.drop(oldest.pts_seconds, self._frames[0].pts_seconds)
            self._changed.notify_all()
            return True

    def _refuses(self, left_out: int) -> bool:
        full = len(self._frames) >= self._size
        if self.policy == "drop_latest":
            return full
        if self.policy != "adaptive":
            return False
        self._turn += 1 + left_out
        if self._turn < self.every:
            return True
        self._turn = min(self._turn - self.every, self.every - 1)
        fill = len(self._frames) / self._size
        if full:
            self.every = min(self.every + 1 + self.every // 4, _MOST_LEFT_OUT)
        elif fill >= _FULLER:
            self.every = min(self.every + 1, _MOST_LEFT_OUT)
        elif fill <= _EMPTIER:
            self.every = max(self.every - 1 - self.every // 4, 1)
        return full

    def _settle(self, following: float | None) -> None:
        if self._refused is not None:
            self._coverage.drop(self._refused, following)
            self._refused = None

    def take(self, timeout: float = 0.0) -> Lined | None:
        """The frame that waits longest; None if there is none within `timeout` seconds, or the line was closed."""
        with self._changed:
            if not self._frames and timeout > 0:
                self._changed.wait_for(lambda: self._closed or bool(self._frames), timeout)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def finish(self) -> None:
        """Nothing more will be put; what waits can still be taken."""
        with self._changed:
            self._settle(None)
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be put or taken: who waits on either side goes on."""
        self.finish()
        with self._changed:
            self._frames.clear()
