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

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find people in a picture [H, W, 3], best first, one box each; however faint, down to a score of 0.2."""
        square, step, corner = detection.letterboxed(image)
        out = self.detector.run({PICTURES: square[None]})
        boxes, scores = (out[name][0] for name in DETECTED)
        return detection.one_each(detection.decode(boxes, scores, step, corner, _LEAST_SCORE))

    def locate(self, image: NDArray[np.uint8], regions: Sequence[Region]) -> list[Landmarks]:
        """Find the points of the person in each region, in one call of the graph."""
        if not regions:
            return []
        out = self.landmarker.run({PICTURES: np.stack([r.crop(image) for r in regions])})
        points, presence, world = (out[name] for name in GIVEN)
        return landmarks.decode(points, world, presence, out.get(HEATMAP))
