"""The bounded queue of frames between the thread that reads a source and the consumer, with its drop policies."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Literal, TypeVar

from ..video.source import Frame
from .coverage import Coverage

QueuedFrame = TypeVar("QueuedFrame", bound=Frame)

Policy = Literal["wait", "drop_oldest", "drop_latest", "adaptive"]

#: Fill level from which `adaptive` keeps fewer frames, and level up to which it keeps more again.
_FULLER, _EMPTIER = 0.75, 0.25
#: One of this many frames is kept however full the queue is, to show that frames arrive.
_MOST_LEFT_OUT = 250


class FrameQueue(Generic[QueuedFrame]):
    """A queue of at most `size` frames; one thread puts, one takes. `coverage` records frames that `policy` drops.

    keep_every: which n-th frame is kept now, counting frames that were skipped before decoding.
    """

    def __init__(self, size: int, policy: Policy, coverage: Coverage) -> None:
        self.keep_every = 1
        self.policy = policy
        self._size, self._coverage = size, coverage
        self._frames: deque[QueuedFrame] = deque()
        self._refused: float | None = None  # start of the newest frame if it was dropped; its end is unknown yet
        self._skip_counter = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: QueuedFrame) -> bool:
        """Add a frame, or drop one by the policy; return False once the queue is closed."""
        with self._changed:
            self._record_refused(frame.pts_seconds)
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
        self._skip_counter += 1 + left_out
        if self._skip_counter < self.keep_every:
            return True
        self._skip_counter = min(self._skip_counter - self.keep_every, self.keep_every - 1)
        fill = len(self._frames) / self._size
        if full:
            self.keep_every = min(self.keep_every + 1 + self.keep_every // 4, _MOST_LEFT_OUT)
        elif fill >= _FULLER:
            self.keep_every = min(self.keep_every + 1, _MOST_LEFT_OUT)
        elif fill <= _EMPTIER:
            self.keep_every = max(self.keep_every - 1 - self.keep_every // 4, 1)
        return full

    def _record_refused(self, following: float | None) -> None:
        if self._refused is not None:
            self._coverage.drop(self._refused, following)
            self._refused = None

    def take(self, timeout: float = 0.0) -> QueuedFrame | None:
        """Take the oldest frame; None if none comes within `timeout` seconds or the queue is closed."""
        with self._changed:
            if not self._frames and timeout > 0:
                self._changed.wait_for(lambda: self._closed or bool(self._frames), timeout)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def finish(self) -> None:
        """Accept no more frames; frames in the queue can still be taken."""
        with self._changed:
            self._record_refused(None)
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Empty and close the queue; release whoever waits on either side."""
        self.finish()
        with self._changed:
            self._frames.clear()
