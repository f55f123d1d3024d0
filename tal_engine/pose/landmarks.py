"""What BlazePose's landmark graphs give, decoded: 33 points of a person in the square, and in metres.

Written from MediaPipe's public configuration (modules/pose_landmark, Apache-2.0). Knows no graph and no video.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .region import SIDE

#: Points of a person, and those of the graph, whose 34th and 35th say where the person is in the next frame.
POINTS, ALL = 33, 39
#: Values of each point: x, y, z, visibility, presence.
_VALUES = 5
#: Cells of the heat map around a point that refine it, and the least confidence of one of them for that.
_REACH, _CONFIDENT = 3, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Points of a person in the square: [33, 3] in its sides, their visibility and presence [33] in [0, 1].

    world: [33, 3] metres around the middle of the hips. guides: [2, 3], the centre and the upper end of the circle
    around the body. presence: in [0, 1], whether somebody is there; no safe gate.
    """

    points: NDArray[np.float32]
    visible: NDArray[np.float32]
    present: NDArray[np.float32]
    world: NDArray[np.float32]
    guides: NDArray[np.float32]
    presence: float


def decode(
    landmarks: NDArray[np.float32],
    world: NDArray[np.float32],
    presence: NDArray[np.float32],
    heatmap: NDArray[np.float32] | None = None,
) -> list[Landmarks]:
    """Decode the tensors of a batch of squares.

    Args:
        landmarks: [N, 195].
        world: [N, 117].
        presence: [N, 1].
        heatmap: [N, 64, 64, 39] raw, if points are to be refined by it.
    """
    raw = landmarks.reshape(-1, ALL, _VALUES)
    points = raw[..., :3] / np.float32(SIDE)
    sure = _sigmoid(raw[..., 3:])
    metres = world.reshape(-1, ALL, 3)
    found = []
    for i in range(len(raw)):
        at = points[i] if heatmap is None else refined(points[i], heatmap[i])
        found.append(
            Landmarks(
                at[:POINTS],
                sure[i, :POINTS, 0],
                sure[i, :POINTS, 1],
                metres[i, :POINTS],
                at[POINTS : POINTS + 2],
                float(presence[i].ravel()[0]),
            )
        )
    return found


def refined(points: NDArray[np.float32], heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move points [K, 3] to the centre of their heat map [H, W, K] nearby, where that is confident."""
    high, wide, count = heatmap.shape
    inside: NDArray[np.bool_] = np.all((points[:, :2] >= 0) & (points[:, :2] < 1), axis=1)
    place = np.where(inside[:, None], points[:, :2], 0.0)
    column, row = (place[:, 0] * wide).astype(int), (place[:, 1] * high).astype(int)
    near = np.arange(-_REACH, _REACH + 1)
    rows = np.where(inside, row, 0)[:, None, None] + near[None, :, None]
    columns = np.where(inside, column, 0)[:, None, None] + near[None, None, :]
    within = (rows >= 0) & (rows < high) & (columns >= 0) & (columns < wide)
    which = np.arange(count)[:, None, None]
    raw = heatmap[np.clip(rows, 0, high - 1), np.clip(columns, 0, wide - 1), which]
    weight = _sigmoid(raw) * within
    total, best = weight.sum((1, 2)), weight.max((1, 2))
    x = (weight * columns).sum((1, 2)) / np.maximum(total, 1e-9) / wide
    y = (weight * rows).sum((1, 2)) / np.maximum(total, 1e-9) / high
    moved = points.copy()
    sure = inside & (best >= _CONFIDENT) & (total > 0)
    moved[sure, 0], moved[sure, 1] = x[sure], y[sure]
    return moved


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -80, 80))), np.float32)
