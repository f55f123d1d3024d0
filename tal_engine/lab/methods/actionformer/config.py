"""ActionFormer's choices, its published settings, and what inference does with its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from ....errors import require
from ....options import NmsOptions, PyramidOptions
from ...heads.interface import Recipe
from ...heads.streams import StreamConfig

#: Upper end of a range that has none.
_FAR = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """ActionFormer's choices; defaults: its public code on THUMOS14, which the paper's text agrees with."""

    #: Width of the pyramid and of both heads; heads of the self-attention.
    width: int = 512
    heads: int = 4
    #: Convolutions before the transformer, transformer blocks at full resolution, and levels of the pyramid: each after
    #: the first is a block that halves the resolution.
    embedding: int = 2
    stem: int = 2
    levels: int = 6
    #: Snippets of its own level that a moment attends to, itself in the middle; odd.
    window: int = 19
    #: Convolutions of each head, the last one included.
    head_layers: int = 3
    #: Dropout of projections; share of residual branches that training leaves out, and what their outputs are scaled
    #: by at first (learned).
    dropout: float = 0.0
    drop_path: float = 0.1
    branch_scale: float = 1e-4

    #: A moment of a level learns a segment if the farther border is this far away, snippets: from the first number to
    #: the second, both included. One pair a level; none (the default): 4, 8, 16, ... as published, the last unlimited.
    ranges: tuple[tuple[float, float], ...] = ()
    #: Moments that learn a segment lie within this many time steps of their level from its middle; 0: anywhere inside.
    radius: float = 1.5
    #: Probability of each class that training begins with (RetinaNet's prior).
    prior: float = 0.01
    #: alpha and gamma of the focal loss.
    alpha: float = 0.25
    gamma: float = 2.0
    #: Weight of the distance-IoU loss.
    reg_weight: float = 1.0
    #: Both losses are divided by a running mean of the number of moments that learn a segment: where it begins, and how
    #: much of it a step keeps.
    normalizer: float = 100.0
    normalizer_momentum: float = 0.9
    #: Share that class labels move towards 1 / (classes + 1).
    smoothing: float = 0.0

    #: Inference: scores up to this are left out, then all but so many of each level, then segments up to this many
    #: snippets long.
    min_score: float = 0.001
    level_top_k: int = 2000
    min_length: float = 0.05
    #: Soft suppression: sigma, the score below which a segment is dropped, and segments that a video keeps.
    nms_sigma: float = 0.5
    nms_min_score: float = 0.001
    nms_top_k: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ranges", tuple((float(a), float(b)) for a, b in self.ranges))  # JSON gives lists
        for name in ("width", "heads", "embedding", "levels", "head_layers", "normalizer", "nms_top_k", "level_top_k"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("stem", "radius", "gamma", "reg_weight", "min_length"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("dropout", "drop_path", "normalizer_momentum", "smoothing", "min_score"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("prior", "alpha"):
            require(0 < getattr(self, name) < 1, name, getattr(self, name), "between 0 and 1")
        require(self.window >= 3 and self.window % 2 == 1, "window", self.window, "odd and at least 3")
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width ({self.width})")
        right = all(0 <= a < b for a, b in self.ranges) and len(self.ranges) in (0, self.levels)
        require(right, "ranges", self.ranges, f"empty, or {self.levels} pairs (levels) of rising numbers from 0 on")

    @property
    def strides(self) -> tuple[int, ...]:
        """Snippets between two moments of each level."""
        return tuple(2**i for i in range(self.levels))

    @property
    def borders(self) -> tuple[tuple[float, float], ...]:
        """The range of each level.

        >>> Config(levels=3).borders
        ((0.0, 4.0), (4.0, 8.0), (8.0, 10000.0))
        """
        if self.ranges:
            return self.ranges
        ends = [4.0 * s for s in self.strides[:-1]]
        return tuple(zip([0.0, *ends], [*ends, _FAR], strict=True))


def proposal_options(config: Config) -> PyramidOptions:
    """How moments become proposals."""
    return PyramidOptions(
        strides=config.strides, min_score=config.min_score, top_k=config.level_top_k, min_length=config.min_length
    )


def nms_options(config: Config) -> NmsOptions:
    """Gaussian soft suppression of each class, `NMS_RULES["actionformer"]` by default."""
    return NmsOptions(kind="gaussian", sigma=config.nms_sigma, min_score=config.nms_min_score, top_k=config.nms_top_k)


_TRAIN = {"pairs": 0, "optimizer": "adamw", "schedule": "cosine", "weight_decay": 0.05, "clip_norm": 1.0,
          "sampling": "crop"}  # fmt: skip
_COMPACT = {"width": 64, "heads": 4, "stem": 1, "levels": 5, "window": 9, "dropout": 0.1, "normalizer": 50.0}
_SMALL = {**_TRAIN, "batch": 4, "length": 512, "steps": 250, "warmup": 25, "learning_rate": 1e-3, "ema": 0.98}

RECIPES = {
    # 5 epochs of warm-up and 30 more, 200 videos two by two.
    "thumos14": Recipe(
        {}, {**_TRAIN, "batch": 2, "length": 2304, "steps": 3500, "warmup": 500, "learning_rate": 1e-4, "ema": 0.999}
    ),
    # For tens of videos on a CPU (our choices; the card says on what they were made).
    "compact": Recipe(_COMPACT, _SMALL),
    "simulator": Recipe(_COMPACT, _SMALL),
    "demo": Recipe(_COMPACT, _SMALL),
}
