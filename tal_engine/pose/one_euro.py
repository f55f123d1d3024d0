"""The One-Euro filter (Casiez, Roussel, Vogel 2012): smooth while things are still, prompt while they move."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How a filter smooths: cut-off in Hz of what stands still, how much speed raises it, cut-off of the speed."""

    least_cutoff: float
    beta: float
    speed_cutoff: float = 1.0


def share(cutoff: NDArray[np.float64] | float, step: float) -> NDArray[np.float64]:
    """Return the weight of a new value in a low-pass filter of some cut-offs in Hz, `step` seconds after the last."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * math.pi * np.asarray(cutoff) * step)))


class OneEuro:
    """A filter for an array of values that move independently.

    Speeds are of raw values, as in the authors' implementation, and in units of `scale`, so that a person far away is
    smoothed as one nearby.
    """

    def __init__(self, how: Smoothing) -> None:
        self._how = how
        self._seconds = -math.inf
        self._raw: NDArray[np.float64] | None = None
        self._smooth: NDArray[np.float64] = np.zeros(0)
        self._speed: NDArray[np.float64] = np.zeros(0)

    def __call__(self, values: NDArray[np.float32], seconds: float, scale: float = 1.0) -> NDArray[np.float32]:
        """Smooth values at a time later than the last one's; the first are returned as they are.

        Args:
            values: of any shape, always the same.
            seconds: their time.
            scale: size of what moves, in units of the values.
        """
        raw = values.astype(np.float64)
        step = seconds - self._seconds
        if self._raw is None:
            self._smooth, self._speed = raw, np.zeros_like(raw)
        elif step > 0:
            speed = (raw - self._raw) / (max(scale, 1e-9) * step)
            weight = share(self._how.speed_cutoff, step)
            self._speed = weight * speed + (1 - weight) * self._speed
            cutoff = self._how.least_cutoff + self._how.beta * np.abs(self._speed)
            weight = share(cutoff, step)
            self._smooth = weight * raw + (1 - weight) * self._smooth
        self._raw, self._seconds = raw, seconds
        return self._smooth.astype(np.float32)
