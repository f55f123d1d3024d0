"""PseR's choices and its published settings; what it has of ActionFormer is in `actionformer.config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import require
from ...heads import head_config
from ...heads.interface import Recipe
from .. import actionformer


@dataclass(frozen=True, kw_only=True)
class Config(actionformer.Config):
    """PseR's choices; defaults: its public code on THUMOS14. The detector's fields come first."""

    #: Fields of LACP's config, which gives seeds and features, that differ from LACP's own defaults.
    seed_options: Mapping[str, Any] = field(default_factory=dict)
    #: Steps: LACP alone first, then the ranking of bags; the detector has the rest. Without ranking (0) it learns from
    #: the seeds as they are.
    seed_steps: int = 2000
    refine_steps: int = 1800
    #: A point that no proposal holds alone has a seed that reaches so many snippets to either side: a second of I3D's.
    reach: float = 25 / 16
    #: A bag: a seed at these lengths, and each of them moved to the left and to the right by this share of its length.
    scales: tuple[float, ...] = (0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.5)
    shift: float = 0.1
    #: Features of a segment: means of so many equal parts of it.
    bins: int = 8
    #: Width of both ranking networks.
    ranking_width: int = 1024
    #: Random segments that overlap no segment of a bag by this tIoU or more are of no class; how many are drawn, and
    #: what their loss weighs.
    negatives: int = 500
    negative_tiou: float = 0.3
    negative_weight: float = 0.5
    #: Weight of the loss by which a segment's tIoU with its seed is learned; segments whose mean is the pseudo-label.
    tiou_weight: float = 1.0
    best: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scales", tuple(float(s) for s in self.scales))  # JSON gives lists
        for name in ("bins", "ranking_width", "negatives", "best"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("seed_steps", "refine_steps", "negative_weight", "tiou_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(bool(self.scales) and min(self.scales) > 0, "scales", self.scales, "one positive number or more")
        require(0 < self.shift < 1, "shift", self.shift, "between 0 and 1")
        require(self.reach > 0, "reach", self.reach, "positive")
        require(0 < self.negative_tiou <= 1, "negative_tiou", self.negative_tiou, "in (0, 1]")
        require(self.best <= self.bag, "best", self.best, f"at most the size of a bag ({self.bag})")
        self.seed_config  # noqa: B018  # says what is wrong with seed_options

    @property
    def bag(self) -> int:
        """Segments of a bag.

        >>> Config().bag
        21
        """
        return 3 * len(self.scales)

    @property
    def seed_config(self) -> Any:
        """The config of LACP, on the same streams."""
        return head_config("lacp", "seed_options", self, {}, self.seed_options)


_FORMER, _COMPACT = actionformer.RECIPES["thumos14"], actionformer.RECIPES["compact"]
_TRAIN = {**_FORMER.train, "sampling": "full", "schedule": "constant"}
#: LACP's steps and rate on small data sets, as many again for ranking, and ActionFormer's.
_SMALL = {**_COMPACT.config, "seed_steps": 800, "refine_steps": 200, "ranking_width": 128, "negatives": 100}
_SMALL_TRAIN = {**_COMPACT.train, "batch": 10, "sampling": "full", "steps": 1250, "points": "uniform",
                "schedule": "constant", "warmup": 0}  # fmt: skip

RECIPES = {
    # Its phases see as many videos as published, two at a time like the detector (our choice: 16, 16 and 2 there).
    "thumos14": Recipe({"seed_steps": 16000, "refine_steps": 14400}, {**_TRAIN, "steps": 33900}),
    "compact": Recipe(_SMALL, {**_SMALL_TRAIN, "points": "given"}),
    "simulator": Recipe(_SMALL, _SMALL_TRAIN),
    "demo": Recipe(_SMALL, _SMALL_TRAIN),
}
