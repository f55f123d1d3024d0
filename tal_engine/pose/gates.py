"""Whether points are those of a person: what presence, which the graph gives with them, does not tell.

A skeleton holds together if the points in the picture are the points in space seen from the camera, if both sides of
the body are alike, and if the person lies in the square that was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Shoulders, elbows, wrists, hips, knees and ankles of the 33 points.
LIMBS = np.array([11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
#: Bones of the left side and of the right: upper arm, forearm, thigh, shin.
_LEFT = np.array([[11, 13], [13, 15], [23, 25], [25, 27]])
_RIGHT = _LEFT + 1
_SHOULDERS, _HIPS = [11, 12], [23, 24]


@dataclass(frozen=True, slots=True)
class Fit:
    """How points in space lie in the picture: pixels a metre, the place of the origin, what is off in torso lengths."""

    scale: float
    origin: NDArray[np.float64]
    off: float


def fitted(points: NDArray[np.float32], world: NDArray[np.float32]) -> Fit:
    """Fit points in space [33, 3] metres to those in the picture [33, 2 or 3] pixels: one scale and a shift."""
    flat, space = points[LIMBS, :2].astype(np.float64), world[LIMBS, :2].astype(np.float64)
    middle_flat, middle_space = flat.mean(0), space.mean(0)
    a, b = space - middle_space, flat - middle_flat
    scale = float((a * b).sum() / max((a * a).sum(), 1e-9))
    residual = b - scale * a
    torso = float(np.linalg.norm(world[_SHOULDERS].mean(0) - world[_HIPS].mean(0))) * abs(scale)
    off = float(np.sqrt((residual**2).sum(1).mean())) / max(torso, 1e-6)
    return Fit(scale, middle_flat - scale * middle_space, off)


def alike(world: NDArray[np.float32]) -> float:
    """Compare the bones of both sides: the least ratio of the shorter to the longer, in [0, 1]."""
    left, right = (np.linalg.norm(world[b[:, 0]] - world[b[:, 1]], axis=1) for b in (_LEFT, _RIGHT))
    return float((np.minimum(left, right) / np.maximum(np.maximum(left, right), 1e-9)).min())


def inside(points: NDArray[np.float32]) -> float:
    """Return the share of the limbs' points [33, 2 or 3], in sides of the square, that lie in it."""
    at = points[LIMBS, :2]
    return float(((at > -0.05) & (at < 1.05)).all(1).mean())
