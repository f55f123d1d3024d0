"""Rotations of bones as matrices, over all frames at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def about(axis: str, radians: Floats) -> Floats:
    """Return rotations [..., 3, 3] about x, y or z."""
    c, s = np.cos(radians), np.sin(radians)
    m = np.zeros((*np.shape(radians), 3, 3))
    k = "xyz".index(axis)
    i, j = (k + 1) % 3, (k + 2) % 3
    m[..., k, k] = 1.0
    m[..., i, i], m[..., j, j], m[..., i, j], m[..., j, i] = c, c, -s, s
    return m


def chained(axes: str, radians: Floats) -> Floats:
    """Multiply rotations, the first axis outermost.

    Args:
        axes: such as "zxy" for Rz @ Rx @ Ry.
        radians: [..., len(axes)].

    Returns:
        [..., 3, 3].
    """
    out = np.broadcast_to(np.eye(3), (*radians.shape[:-1], 3, 3))
    for k, axis in enumerate(axes):
        out = out @ about(axis, radians[..., k])
    return out
