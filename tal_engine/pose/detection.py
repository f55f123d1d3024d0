"""People in a picture: what BlazePose's detector gives, decoded. Knows no graph and no video.

Written from MediaPipe's public configuration of the detector (modules/pose_detection, Apache-2.0): 224 x 224 pixels,
anchors every 8, 16 and 32 of them, four points a person, weighted suppression.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Side of the picture that the detector reads, pixels.
SIDE = 224
#: Anchors of each cell by the distance of the cells in pixels; layers of one distance share their cells.
_LAYERS = ((8, 2), (16, 2), (32, 6))
#: Points of a person: between the hips, on a circle around the body, between the shoulders, around the upper body.
POINTS = 4
#: Least distance of the middle of the hips to a border that cuts the picture, in radii of the body.
_UNCUT = 0.5
#: Hips of one person in several squares are closer than this, in radii of the body.
_SAME_HIPS = 0.35
#: Boxes that share more than this (intersection over union) are one person.
_OVERLAP = 0.3
#: Boxes farther away, in pixels of the square, are of no person.
_FAR = 1e4
#: Raw scores are cut to +-this before the logistic function.
_MOST_RAW = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A person in a picture: score in [0, 1], box (left, top, right, bottom) of the face, points [4, 2]; pixels."""

    score: float
    box: NDArray[np.float32]
    points: NDArray[np.float32]

    @property
    def radius(self) -> float:
        """Radius of the circle around the whole body, pixels."""
        return float(np.hypot(*(self.points[1] - self.points[0])))


@cache
def anchors() -> NDArray[np.float32]:
    """Return the centres of the anchors, [2254, 2] (x, y) in [0, 1]."""
    parts = []
    for stride, count in _LAYERS:
        cells = (np.arange(SIDE // stride) + 0.5) * stride / SIDE
        x, y = np.meshgrid(cells, cells)
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, 0))
    return np.concatenate(parts).astype(np.float32)


def letterboxed(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float, tuple[float, float]]:
    """Scale a picture [H, W, 3] into the middle of a black square.

    Returns:
        The square [224, 224, 3], the picture's pixels for each of its pixels, and where its corner lies in the picture.
    """
    import cv2  # who gives features needs none

    high, wide = image.shape[:2]
    step = max(high, wide) / SIDE
    left, top = (wide - step * SIDE) / 2, (high - step * SIDE) / 2
    place = np.array([[step, 0, left], [0, step, top]], np.float64)
    square = cv2.warpAffine(image, place, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(square, np.uint8), step, (left, top)


def tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Return squares (left, top, side) that cover a picture along its longer side; none of one that is nearly square.

    >>> tiles(240, 320), tiles(1080, 1920)
    ([(0, 0, 240), (80, 0, 240)], [(0, 0, 1080), (420, 0, 1080), (840, 0, 1080)])
    """
    side, rest = min(height, width), abs(width - height)
    if rest < side / 4:
        return []
    count = 2 if rest < 0.6 * side else 3
    steps = [round(i * rest / (count - 1)) for i in range(count)]
    return [(at, 0, side) if width > height else (0, at, side) for at in steps]


def is_whole(d: Detection, tile: tuple[int, int, int], height: int, width: int) -> bool:
    """Return whether a person was not cut by a border of the tile, unless that is the picture's."""
    left, top, side = tile
    x, y = (float(v) for v in d.points[0])
    room = _UNCUT * d.radius
    wide = (left == 0 or x - left >= room) and (left + side >= width or left + side - x >= room)
    return wide and (top == 0 or y - top >= room) and (top + side >= height or top + side - y >= room)


def decode(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    step: float = SIDE,
    corner: tuple[float, float] = (0.0, 0.0),
    least: float = 0.5,
) -> list[Detection]:
    """Decode the detector's tensors of one picture, best first; several boxes of one person are left.

    Args:
        boxes: [2254, 12]: centre, size and four points, relative to the anchors, in pixels of the square.
        scores: [2254, 1] raw scores.
        step: the picture's pixels for each pixel of the square.
        corner: where the square's corner lies in the picture.
        least: lower scores are left out.
    """
    score = 1.0 / (1.0 + np.exp(-np.clip(scores.ravel().astype(np.float64), -_MOST_RAW, _MOST_RAW)))
    chosen = np.flatnonzero((score >= least) & np.isfinite(boxes).all(1) & (np.abs(boxes).max(1) < _FAR))
    chosen = chosen[np.argsort(-score[chosen], kind="stable")]
    raw = boxes[chosen].astype(np.float64).reshape(-1, 2 + POINTS, 2)
    raw[:, [0, *range(2, 2 + POINTS)]] += anchors()[chosen, None] * SIDE
    raw *= step
    raw[:, [0, *range(2, 2 + POINTS)]] += corner
    centre, half = raw[:, 0], raw[:, 1] / 2
    box = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
    points = raw[:, 2:].astype(np.float32)
    return [Detection(float(score[i]), b, p) for i, b, p in zip(chosen, box, points, strict=True)]


def one_each(found: list[Detection], most: int = 0) -> list[Detection]:
    """Merge boxes of one person: the best, at the mean of all that overlap it, weighted by score.

    Args:
        found: best first.
        most: return at most so many; 0: all.
    """
    if not found:
        return []
    box, points = np.stack([d.box for d in found]), np.stack([d.points for d in found])
    score = np.array([d.score for d in found])
    left = np.ones(len(found), bool)
    people: list[Detection] = []
    for i in range(len(found)):
        if not left[i]:
            continue
        same = left & (overlap(box[i], box) > _OVERLAP)
        same[i] = True
        weight = (score[same] / score[same].sum()).astype(np.float32)
        mean_box = np.tensordot(weight, box[same], 1)
        people.append(Detection(float(score[i]), mean_box, np.tensordot(weight, points[same], 1)))
        left &= ~same
        if len(people) == most:
            break
    return people


def apart(found: list[Detection]) -> list[Detection]:
    """Leave out who has the hips of a better one, as somebody has who was seen in several squares; best first."""
    kept: list[Detection] = []
    for d in found:
        near = (np.hypot(*(d.points[0] - k.points[0])) < _SAME_HIPS * max(d.radius, k.radius) for k in kept)
        if not any(near):
            kept.append(d)
    return kept


def overlap(one: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute intersection over union [N] of a box (left, top, right, bottom) with boxes [N, 4]."""
    inner = np.minimum(one[2:], boxes[:, 2:]) - np.maximum(one[:2], boxes[:, :2])
    shared = np.prod(np.maximum(inner, 0), 1)
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), 1)
    own = np.prod(np.maximum(one[2:] - one[:2], 0))
    return np.asarray(shared / np.maximum(own + area - shared, 1e-9), np.float32)
