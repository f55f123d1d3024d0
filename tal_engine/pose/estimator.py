"""Detector and landmark graphs on a backend: pictures to people, without memory of earlier pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from . import detection, landmarks
from .detection import Detection
from .landmarks import Landmarks
from .region import Region

#: Names of the graphs' input and outputs, as `export.pose_weights` makes them.
PICTURES, DETECTED = "pictures", ("boxes", "scores")
GIVEN = ("landmarks", "presence", "world")
#: Left out of graphs that do without.
HEATMAP = "heatmap"
#: Boxes with lower scores are not decoded; what begins and what confirms a person needs more.
_LEAST_SCORE = 0.2


@dataclass(frozen=True)
class PoseEstimator:
    """The two graphs, loaded. Safe to share between threads and videos."""

    detector: Backend
    landmarker: Backend

    def detect(self, image: NDArray[np.uint8], *, closely: bool = False) -> list[Detection]:
        """Find people in a picture, best first, one box each; however faint, down to a score of 0.2.

        Args:
            image: [H, W, 3] uint8 RGB.
            closely: look also at the squares that a picture is made of along its longer side, in the same call: people
                are larger in them. For pictures that are not about as high as wide.
        """
        high, wide = image.shape[:2]
        parts = detection.tiles(high, wide) if closely else []
        views = [detection.letterboxed(image)]
        views += [detection.letterboxed(image[top : top + side, left : left + side]) for left, top, side in parts]
        out = self.detector.run({PICTURES: np.stack([v[0] for v in views])})
        found: list[Detection] = []
        for i, (_, step, corner) in enumerate(views):
            left, top, _ = tile = parts[i - 1] if i else (0, 0, 0)
            at = (corner[0] + left, corner[1] + top)
            people = detection.decode(out[DETECTED[0]][i], out[DETECTED[1]][i], step, at, _LEAST_SCORE)
            found += [d for d in people if not i or detection.is_whole(d, tile, high, wide)]
        people = detection.one_each(sorted(found, key=lambda d: -d.score))
        return detection.apart(people) if parts else people

    def locate(self, image: NDArray[np.uint8], regions: Sequence[Region]) -> list[Landmarks]:
        """Find the points of the person in each region, in one call of the graph."""
        if not regions:
            return []
        out = self.landmarker.run({PICTURES: np.stack([r.crop(image) for r in regions])})
        points, presence, world = (out[name] for name in GIVEN)
        return landmarks.decode(points, world, presence, out.get(HEATMAP))
