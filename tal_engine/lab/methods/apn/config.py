"""APN's choices, and what inference does with its proposals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....errors import UsageError, require
from ....options import BoundaryOptions, NmsOptions
from ...heads.interface import Recipe, check_choices
from ...heads.streams import StreamConfig


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """APN's choices; defaults: the paper, or our choice where nothing is said of it."""

    #: Width of the texts (our choice: CLIP ViT-B/16's).
    joint: int = 512
    #: Width of the embedded features X and of the boundary module's convolutions (our choice; BSN has 512).
    width: int = 512
    hidden: int = 512
    #: Texts of a class, whose vectors are averaged; [CLS] is its name. The paper gives the first one as an example.
    prompts: tuple[str, ...] = ("the man in the scene is [CLS]", "a video of [CLS]", "a person doing [CLS]")

    #: Boundary targets (BSN, BMN): an instance's start is learned in a region this many snippets wide, or this share
    #: of its duration if that is more.
    region: float = 3.0
    region_share: float = 0.1

    #: Candidate boundaries and durations (BSN); the paper leaves d_min and d_max open. d_max 0 allows all.
    peak_share: float = 0.5
    d_min: int = 1
    d_max: int = 0
    #: Most proposals of a video that inference evaluates, by start * end probability (our choice).
    top_k: int = 500

    #: N and the margin of proposal features (paper 3.4).
    points: int = 32
    margin: float = 0.1
    #: The proposals' transformer (our choice).
    layers: int = 2
    heads: int = 8
    dropout: float = 0.1
    #: Most proposals of a video that a step learns from, and the overlap with a pseudo-instance from which one has its
    #: class; as many above it as below (our choices).
    proposals: int = 64
    positive_tiou: float = 0.5
    #: Whether the pseudo-instances are learned from beside the proposals that hold one point; paper 3.6 has these only.
    own_instances: bool = False
    #: L_PEM: binary cross-entropies (paper 3.6), or, as Eq. 3 prints them, their positive terms alone, by which every
    #: proposal is a good one.
    pem_terms: Literal["both", "positive"] = "both"
    #: s_i of Eq. 3, which the paper does not define: a proposal's overlap with its pseudo-instance, or 1 where it has
    #: its class.
    confidence_target: Literal["tiou", "class"] = "tiou"
    #: s_ij of paper 3.4: the "cosine", moved to 0..1 since Eq. 3 takes its logarithm, or the sigmoid of the cosine
    #: "scaled" and shifted by learned numbers (ours).
    confidence: Literal["cosine", "scaled"] = "cosine"
    #: The score of a proposal, before its boundary probabilities: class probability, confidence, or both (open).
    score: Literal["product", "class", "confidence"] = "product"

    #: R: steps after which pseudo-labels of a video are made again, when it is next in a batch.
    refresh: int = 10
    #: Snippets over whose mean features are clustered, and whether the mean of the video is taken off first. The paper
    #: clusters the features themselves: 1, no. Ours: one snippet is noisy, and what all have in common tells nothing.
    smoothing: int = 1
    centred: bool = False
    #: Most sweeps of the clustering (it ends by itself, mostly within five); 0 leaves borders midway between points.
    sweeps: int = 100
    #: Whose distances tell action from background inside of a cluster: those of the mean of all points that the class
    #: has in the video, or the cluster's medoid's. Where an action is shorter than what surrounds it the medoid is
    #: background (our choice).
    profile: Literal["class", "medoid"] = "class"
    #: How clearly a cluster's rim must differ to be background (`ops.mine_actions`; our choice).
    kappa: float = 0.5

    #: Eq. 1: its products are dot products (paper), which have no bound, or cosines (ours); Eq. 2: over the anchors of
    #: a video, and averaged over videos, it is their sum (paper), or twice the mean over anchors (ours).
    contrast_similarity: Literal["dot", "cosine"] = "dot"
    contrast_reduction: Literal["sum", "mean"] = "sum"
    #: tau of Eq. 1, lambda_1 and lambda_2 of Eq. 4.
    temperature: float = 0.1
    pem_weight: float = 1.0
    ctr_weight: float = 0.1
    #: Overlap above which the lower one of two segments of a class is dropped.
    nms_threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "prompts", tuple(self.prompts))  # JSON gives lists
        for name in ("width", "hidden", "points", "layers", "heads", "proposals", "refresh", "d_min"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("d_max", "top_k", "sweeps", "margin", "pem_weight", "ctr_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("temperature", "region", "region_share"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require(0 < self.positive_tiou < 1, "positive_tiou", self.positive_tiou, "between 0 and 1")
        require(self.smoothing % 2 == 1, "smoothing", self.smoothing, "odd and positive")
        check_choices(self)
        longest = f"0 (any) or at least d_min ({self.d_min})"
        require(self.d_max == 0 or self.d_max >= self.d_min, "d_max", self.d_max, longest)
        if not self.prompts or any("[CLS]" not in p for p in self.prompts):
            raise UsageError(f"prompts are {self.prompts}, must be at least one text with [CLS] in it")


def proposal_options(config: Config) -> BoundaryOptions:
    """Return how boundary probabilities become proposals."""
    return BoundaryOptions(
        peak_share=config.peak_share, d_min=config.d_min, d_max=config.d_max, top_k=config.top_k,
        points=config.points, margin=config.margin,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard (our choice; the paper gives the threshold only)."""
    return NmsOptions(kind="hard", threshold=config.nms_threshold)


#: Fields that checkpoints may lack; see `protocol.earlier_of`.
EARLIER = {"own_instances": True, "confidence": "scaled", "centred": True, "contrast_similarity": "cosine",
           "contrast_reduction": "mean"}  # fmt: skip

#: What recipes have in place of the print; measured on the method's card. The published ones take the sum of Eq. 2,
#: which is as good; figures of the small ones were measured with the mean.
_OURS = {**EARLIER, "smoothing": 3}
_PUBLISHED = {**_OURS, "contrast_reduction": "sum"}
_TRAIN = {"batch": 16, "pairs": 0, "learning_rate": 1e-4, "weight_decay": 0.0}
#: Features that come with segments and without points.
_DRAWN = {**_TRAIN, "points": "uniform", "steps": 500, "batch": 8, "sampling": "full", "learning_rate": 1e-3}

RECIPES = {
    # 30 epochs (paper) of 200 and of 10,024 videos. Whole videos as LACP has them, 100 snippets as BMN (our choices).
    "thumos14": Recipe({**_PUBLISHED, "d_max": 150}, {**_TRAIN, "steps": 375, "sampling": "full"}),
    "activitynet": Recipe(
        _PUBLISHED, {**_TRAIN, "steps": 18795, "sampling": "uniform", "length": 100, "test_sampling": "uniform",
             "test_length": 100},
    ),
    # Chosen on another simulated world than benchmarks use. Actions are shorter there than what is between them, so
    # that medoids become background and the clustering's borders are worse than those midway between points.
    "simulator": Recipe(
        {**_OURS, "width": 64, "hidden": 64, "points": 16, "layers": 1, "heads": 4, "proposals": 16, "d_max": 40,
         "top_k": 300, "smoothing": 5, "sweeps": 0},
        _DRAWN,
    ),
    "demo": Recipe(
        {**_OURS, "width": 128, "hidden": 128, "points": 16, "layers": 1, "heads": 4, "proposals": 16, "top_k": 300},
        _DRAWN,
    ),
}  # fmt: skip
