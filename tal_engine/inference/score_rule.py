"""Suppressed proposals -> proposals with the scores that users see, and the least score of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..plan.manifest import Manifest
from ..plan.score_fields import Knots, Logistic
from ..records import Proposals


@dataclass(frozen=True)
class ScoreRule:
    """How a plan's scores are shown and which are enough.

    Applied after suppression, whose decay belongs to the raw scores that the plan's method and its calibration know,
    and before the operating point and `top_k`, which compare classes. The order within a class never changes.

    maps: by label id; empty where raw scores are shown. floors: the least score of each label id, on the scale that
    is shown. top_k: at most so many segments a video, 0 keeps all.
    """

    maps: tuple[Knots | Logistic, ...]
    floors: NDArray[np.float64]
    top_k: int

    @classmethod
    def of(cls, manifest: Manifest) -> ScoreRule:
        """Make the rule of a plan, or of a manifest by `Manifest.with_segment`."""
        names, thresholds = manifest.vocabulary, manifest.thresholds
        least = {} if thresholds is None else thresholds.classes
        floors = np.array([least.get(name, manifest.segment.min_score) for name in names], np.float64)
        maps = () if manifest.calibration is None else tuple(manifest.calibration.classes[n] for n in names)
        return cls(maps, floors, manifest.segment.top_k)

    @property
    def calibrated(self) -> bool:
        """Whether the scores that are shown are calibrated."""
        return bool(self.maps)

    def shown(self, proposals: Proposals) -> Proposals:
        """Replace the scores of proposals by those that users see, and sort best first again."""
        if not self.maps or not len(proposals):
            return proposals
        out = proposals.data.copy()
        for label in np.unique(out["label"]):
            rows = out["label"] == label
            out["score"][rows] = self.maps[label](out["score"][rows])
        return Proposals(out[np.argsort(-out["score"], kind="stable")], proposals.duration)

    def enough(self, proposals: Proposals) -> NDArray[np.bool_]:
        """Mark the proposals that reach the least score of their class."""
        return proposals.data["score"] >= self.floors[proposals.data["label"]]  # type: ignore[no-any-return]
