"""The square around a person, turned so that the person stands upright in it: into the picture and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Side of the squares that the landmark graphs read, pixels.
SIDE = 256
#: The square is so many times as wide as the circle around the body.
_ROOM = 1.25


@dataclass(frozen=True, slots=True)
class Region:
    """A square of the picture: centre and side in pixels, and the angle in radians by which its top leans right."""

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def around(cls, centre: NDArray[np.float32], rim: NDArray[np.float32]) -> Region:
        """Return the square around a circle whose centre and upper end (x, y) are given; not sound if they are none."""
        dx, dy = (float(rim[k]) - float(centre[k]) for k in range(2))
        if not (math.isfinite(dx) and math.isfinite(dy)):
            return cls(math.nan, math.nan, math.nan, 0.0)
        turn = math.pi / 2 - math.atan2(-dy, dx)
        angle = turn - 2 * math.pi * math.floor((turn + math.pi) / (2 * math.pi))
        return cls(float(centre[0]), float(centre[1]), 2 * _ROOM * math.hypot(dx, dy), angle)

    @property
    def turn(self) -> NDArray[np.float64]:
        """The rotation [2, 2] from the square's axes to the picture's."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def is_sound(self, height: int, width: int) -> bool:
        """Return whether its centre lies in or near the picture, and its side is a sensible length."""
        values = (self.x, self.y, self.side, self.angle)
        if not all(map(math.isfinite, values)):
            return False
        near = -0.5 * width <= self.x <= 1.5 * width and -0.5 * height <= self.y <= 1.5 * height
        return near and 2.0 <= self.side <= 8.0 * max(height, width)

    def crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the square out of a picture [H, W, 3], by one warp, [256, 256, 3]; black where there is no picture."""
        import cv2  # who gives features needs none

        turn = self.turn * (self.side / SIDE)
        corner = np.array([self.x, self.y]) - turn @ np.full(2, SIDE / 2)
        place = np.column_stack([turn, corner])
        cut = cv2.warpAffine(image, place, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return np.asarray(cut, np.uint8)

    def to_picture(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert points [..., 3] of the square, in [0, 1], to the picture's pixels; depth is scaled alike."""
        plane = (points[..., :2] - 0.5) @ (self.turn.T * self.side) + (self.x, self.y)
        return np.concatenate([plane, points[..., 2:3] * self.side], -1).astype(np.float32)

    def to_world(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn points [..., 3] in metres from the square's axes to the picture's."""
        return np.concatenate([points[..., :2] @ self.turn.T, points[..., 2:3]], -1).astype(np.float32)

    def near(self, other: Region) -> bool:
        """Return whether both may be of one person: centres closer than a quarter of the larger side."""
        apart = math.hypot(self.x - other.x, self.y - other.y)
        alike = 0.5 < self.side / other.side < 2.0
        return alike and apart < 0.25 * max(self.side, other.side)
