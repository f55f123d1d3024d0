"""The only place where snippet indices and seconds meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Timeline:
    """Maps index i to the half-open interval [start + i*step, start + i*step + width) in seconds."""

    start: float
    step: float
    width: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and self.step > 0 and self.width > 0):
            raise ValueError(f"invalid {self!r}: start must be finite, step and width positive")

    def left(self, index: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Seconds at which index begins; fractional indices are allowed."""
        return np.asarray(self.start + np.asarray(index, np.float64) * self.step)

    def right(self, end: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Seconds at which a group [s, end) of indices stops: the right edge of its last snippet."""
        return np.asarray(self.start + (np.asarray(end, np.float64) - 1.0) * self.step + self.width)

    def index(self, seconds: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Fractional index whose left edge is at `seconds`."""
        return np.asarray((np.asarray(seconds, np.float64) - self.start) / self.step)

    def centers(self, count: int) -> NDArray[np.float64]:
        """Middle of the first `count` snippets, seconds."""
        return np.asarray(self.start + np.arange(count) * self.step + self.width / 2)
