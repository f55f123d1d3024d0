"""What a skeleton file may leave open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import require
from .skeleton import LAYOUTS, turned


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonOptions:
    """How to read a skeleton file where it does not say so itself.

    layout: how points are numbered, a name in `skeleton.LAYOUTS`; "": as the file says, or as their number tells.
    fps: frames a second; 0: as the file says. axes: which of its axes point right, down and away from the camera, such
    as ``+x-y-z`` (y up, z at the viewer); "": those of the layout, y up for BVH and AMC. subject: which person of a
    file of several.

    >>> SkeletonOptions(layout="coco17", fps=30.0).layout
    'coco17'
    """

    layout: str = ""
    fps: float = 0.0
    axes: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        require(self.layout in ("", *LAYOUTS), "layout", self.layout, f"one of {', '.join(LAYOUTS)}")
        require(
            0 <= self.fps <= 1000 and math.isfinite(self.fps), "fps", self.fps, "in (0, 1000], or 0: as the file says"
        )
        if self.axes:
            turned(np.zeros((1, 3)), self.axes)
