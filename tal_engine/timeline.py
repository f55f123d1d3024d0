"""Conversion between snippet indices and seconds; no other module does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Timeline:
    """Maps index i to the half-open interval [start + i*step, start + i*step + width) in seconds.

    >>> from tal_engine import Timeline
    >>> timeline = Timeline(start=0.0, step=0.64, width=0.64)  # 16 frames at 25 fps
    >>> float(timeline.left(2)), float(timeline.right(3)), float(timeline.index(1.28))
    (1.28, 1.92, 2.0)
    """

    start: float
    step: float
    width: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and self.step > 0 and self.width > 0):
            raise ValueError(f"invalid {self!r}: start must be finite, step and width positive")

    def left(self, index: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the seconds at which an index begins; fractional indices are allowed."""
        return np.asarray(self.start + np.asarray(index, np.float64) * self.step)

    def right(self, end: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the seconds at which a group [s, end) of indices ends: the right edge of its last snippet."""
        return np.asarray(self.start + (np.asarray(end, np.float64) - 1.0) * self.step + self.width)

    def index(self, seconds: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the fractional index whose left edge is at `seconds`."""
        return np.asarray((np.asarray(seconds, np.float64) - self.start) / self.step)

    def centers(self, count: int) -> NDArray[np.float64]:
        """Return the centres of the first `count` snippets, in seconds."""
        return np.asarray(self.start + np.arange(count) * self.step + self.width / 2)
