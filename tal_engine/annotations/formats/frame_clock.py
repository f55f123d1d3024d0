"""Seconds to frames and back, for formats that count frames.

One rule for all of them: a boundary in seconds belongs to the nearest boundary between two frames, so that times which
another tool rounded to milliseconds come out as the frames that they were; a segment has one frame at least. Formats
differ in what they write of it (base 0 or 1, last frame inside or not), which is each format's own matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError


@dataclass(frozen=True)
class FrameClock:
    """When frames are shown: at a constant rate, or as their times say (variable frame rate).

    Args:
        fps: frames a second; with `times` the rate beyond the last of them.
        times: seconds at which each frame begins, increasing.

    Raises:
        UsageError: a rate that is not positive and finite; times that do not increase.

    Example:
        >>> FrameClock(25).frames(1.0, 2.0)
        (25, 50)
    """

    fps: float
    times: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"{self.fps} frames a second, must be positive and finite")
        if len(self.times) and np.any(np.diff(self.times) <= 0):
            raise UsageError("times of frames must increase")

    def boundary(self, seconds: float) -> int:
        """Return the frame that begins nearest to a time; a frame begins at every boundary.

        A time halfway between two boundaries belongs to the later one.
        """
        n = len(self.times)
        if n and seconds < self.times[-1]:
            after = int(np.searchsorted(self._known, seconds, side="right"))
            if after == 0:
                return 0
            return after - 1 if seconds - self.times[after - 1] < self.times[after] - seconds else after
        base, first = (self.times[-1], n - 1) if n else (0.0, 0)
        return max(first + int(np.floor((seconds - base) * self.fps + 0.5)), 0)

    def seconds(self, frame: int) -> float:
        """Return the seconds at which a frame begins."""
        n = len(self.times)
        if frame < 0:
            raise UsageError(f"frame {frame}, must be at least 0")
        if frame < n:
            return float(self.times[frame])
        return float(self.times[-1] + (frame - n + 1) / self.fps) if n else frame / self.fps

    def frames(self, start: float, end: float) -> tuple[int, int]:
        """Return the frames of a segment as [first, end): `end` is the first frame after it, at least one later."""
        first = self.boundary(start)
        return first, max(self.boundary(end), first + 1)

    @property
    def _known(self) -> NDArray[np.float64]:
        return np.asarray(self.times, float)


def clock_of(video: str | Path) -> FrameClock:
    """Create the clock of a video file from its frames' times; constant if they are evenly spaced.

    Raises:
        VideoError: the video cannot be read.
    """
    from ...video import open_video  # decoding is loaded only where a format asks for frames

    with open_video(video) as source:
        times = np.array([frame.pts_seconds for frame in source.frames], float)
    if len(times) < 2:
        return FrameClock(source.fps or 25.0)
    times -= times[0]
    steps = np.diff(times)
    fps = float(len(steps) / (times[-1] - times[0]))
    # Containers round times to a millisecond or to their time base: that is no variable rate.
    constant = float(np.max(np.abs(times - np.arange(len(times)) / fps))) < 0.25 / fps
    return FrameClock(_named_rate(fps)) if constant else FrameClock(1.0 / float(np.median(steps)), times.tolist())


def _named_rate(fps: float) -> float:
    """Round a measured rate to a usual one within 1e-4 (25, 30000/1001, ...), if there is one."""
    usual = [*map(float, range(1, 241)), *(1000.0 * k / 1001.0 for k in (24, 30, 48, 60, 120, 240))]
    nearest = min(usual, key=lambda rate: abs(rate - fps))
    return nearest if abs(nearest - fps) < 1e-4 * fps else fps
