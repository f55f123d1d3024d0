"""CBP+VLP's choices, its schedule, and what inference does with its activations; the network is in `distill_collab`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import UsageError, require
from ...options import NmsOptions, ProposalOptions
from ..heads import HEADS, head_config, load_head
from ..heads.interface import Recipe, check_choices
from ..heads.streams import StreamConfig, visual_streams, with_image
from ..nn.initial import SMALL_STD


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """The framework's choices; those of the CBP branch are in its head's config."""

    #: Width of CLIP's joint space (paper 4.1: ViT-B/16).
    joint: int = 512
    #: The CBP branch: "transformer" (paper 4.1) or another base head (Table 6), and fields of its config that differ
    #: from its own defaults; the transformer has positions and dropout from here.
    cbp: str = "transformer"
    cbp_options: Mapping[str, Any] = field(default_factory=dict)
    #: Rows of the position tables: the snippets that training samples (T of paper 4.1).
    positions: int = 1000
    #: Of the VLP branch: layers (paper 4.1), their heads and dropout (our choice), prompt vectors before and after a
    #: name, and the standard deviation of all initial weights (paper 4.1: N(0, .01), read as `nn.initial` says). The
    #: layers so begin close to the identity, which keeps what CLIP knows.
    layers: int = 2
    heads: int = 8
    dropout: float = 0.1
    prefix: int = 16
    suffix: int = 16
    std: float = SMALL_STD
    #: What P_vl is made of (Eq. 3): dot products of features and texts (paper), or their cosines times `scale` (our
    #: choice: features that come with unit length give a softmax that is flat without a factor).
    vlp_similarity: Literal["dot", "cosine"] = "dot"
    #: P_vl of these: "softmax" over classes (Eq. 3), or "sigmoid" of each, which is one half at `offset`, learned:
    #: then background can be low for every one of few classes (our choice).
    vlp_probability: Literal["softmax", "sigmoid"] = "softmax"
    offset: float = 0.25
    #: Factor of the cosines at first; learned, at most CLIP's 100 (our choice: where CLIP's own began).
    scale: float = 1 / 0.07
    #: delta_h and delta_l of Eq. 4 (paper 4.1).
    delta_high: float = 0.3
    delta_low: float = 0.1
    #: What they cut: probabilities (paper), or each class's scaled to 0..1 over time (ours).
    teacher: Literal["probability", "minmax"] = "probability"
    #: Weights of L_kd and, lambda of Eq. 5, L_fb (paper 4.1). 0 switches a term off (Table 5).
    kd_weight: float = 1.0
    fb_weight: float = 0.05
    #: Of CBP's own losses in F steps. Eq. 5 has none; without them video scores would drift (our choice).
    cls_weight: float = 1.0
    #: O of Eq. 6, in `pseudo_snippets.distillation`: snippets without an uncertain class (paper), or all sure labels.
    kd_over: Literal["frames", "pairs"] = "frames"
    #: Eq. 7: its products are dot products (paper), which have no bound, or cosines (ours); over anchors it is their
    #: sum (paper), which grows with the length of videos, or their mean (ours).
    contrast_similarity: Literal["dot", "cosine"] = "dot"
    contrast_reduction: Literal["sum", "mean"] = "sum"
    #: tau of Eq. 7 (paper 4.1), and at most how many snippets of each kind it compares (our choice, for memory).
    temperature: float = 0.07
    contrast_frames: int = 2048
    #: Table 4. "only_f": F steps by the plain tower, without prompts and layers. "only_b": B steps.
    mode: Literal["alternate", "only_f", "only_b"] = "alternate"
    #: Inference by CBP alone (paper 3.4), or by both (Table 4): their mean, or fusion_weight of CBP and the rest of
    #: VLP ("weighting" is not explained; our choice).
    fusion: Literal["none", "average", "weighted"] = "none"
    fusion_weight: float = 0.7
    #: Steps: CBP alone first, then rounds of B and F steps; after the last round F goes on (all our choice).
    warm_up: int = 2000
    b_steps: int = 500
    f_steps: int = 500
    rounds: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        require(self.cbp in HEADS, "cbp", self.cbp, f"one of {', '.join(HEADS)}")
        for name in ("contrast_frames", "rounds"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("warm_up", "b_steps", "f_steps", "kd_weight", "fb_weight", "cls_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("scale", "temperature"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require(0 <= self.delta_low < self.delta_high <= 1, "delta_low", self.delta_low,
                f"in [0, delta_high), delta_high ({self.delta_high}) in (0, 1]")  # fmt: skip
        require(0 <= self.fusion_weight <= 1, "fusion_weight", self.fusion_weight, "in [0, 1]")
        if not self.kd_weight + self.fb_weight:
            raise UsageError("kd_weight and fb_weight are both 0: the branches would learn nothing from each other")
        if not self.b_steps + self.f_steps:
            raise UsageError("b_steps and f_steps are both 0: nothing comes after the warm-up")
        if self.fusion != "none" and self.cbp != "transformer":
            raise UsageError(f"fusion is {self.fusion!r}, which needs cbp 'transformer'; {self.cbp} has its own rules")

    @property
    def base_config(self) -> Any:
        """The config of the CBP branch."""
        ours = {"positions": self.positions, "dropout": self.dropout} if self.cbp == "transformer" else {}
        return head_config(self.cbp, "cbp_options", self, ours, self.cbp_options)


#: Fields that checkpoints may lack; see `protocol.earlier_of`.
EARLIER = {"vlp_similarity": "cosine", "contrast_similarity": "cosine", "contrast_reduction": "mean"}

#: What all recipes have of Eq. 3 and 7 in place of the print; measured, with spreads, on the method's card.
_OURS = EARLIER
_THUMOS14 = {"steps": 6000, "batch": 16, "pairs": 0, "length": 1000, "sampling": "contiguous",
             "learning_rate": 1e-4, "weight_decay": 5e-4}  # fmt: skip
#: For some hundred short videos and few classes; chosen on another simulated world than benchmarks use. Labels are cut
#: from probabilities scaled over time: a softmax over few classes is over .3 for one of them on any background. B is
#: short: after 20 steps VLP's background is better (mIoU 74 before, 79 to 81 then), after 200 it knows CBP's mistakes
#: by heart (67). theta_loc is low, since F steps teach 1 for the surest part of an action only; on test videos .15 is
#: passed by 97 % of the snippets of an action and by 15 % of the background around it, and theta_cls .3 by 93 % of a
#: video's classes and by none of 500 that it lacks (seed 0).
_SMALL = {
    **_OURS,
    "cbp_options": {"width": 64, "heads": 4, "layers": 1, "class_threshold": 0.3, "location_threshold": 0.15},
    "positions": 96, "vlp_probability": "sigmoid", "teacher": "minmax", "delta_high": 0.7, "delta_low": 0.3,
    "warm_up": 500, "b_steps": 20, "f_steps": 200, "rounds": 1,
}  # fmt: skip
_SMALL_TRAIN = {"batch": 10, "pairs": 3, "length": 96, "learning_rate": 1e-3}
#: Published data sets: T and learning rate of paper 4.1, the rest our choice; "-co2" and "-um" are Table 6, with the
#: pairs that CO2-Net reads.
RECIPES = {
    "thumos14": Recipe(_OURS, _THUMOS14),
    "activitynet": Recipe({**_OURS, "positions": 400}, {**_THUMOS14, "length": 400}),
    "thumos14-co2": Recipe({**_OURS, "cbp": "co2"}, {**_THUMOS14, "pairs": 3}),
    "thumos14-um": Recipe({**_OURS, "cbp": "um"}, _THUMOS14),
    "simulator": Recipe(_SMALL, {**_SMALL_TRAIN, "steps": 720}),
    # With prompts that fit into the tiny text tower. It knows too little to teach: VLP's foreground mIoU is 24 after
    # B, and CBP's mAP@0.5 falls from 36 to 28 by F (one seed). The recipe shows the mechanics.
    "demo": Recipe(_SMALL | {"prefix": 4, "suffix": 4, "warm_up": 800}, {**_SMALL_TRAIN, "steps": 1020}),
}  # fmt: skip


def training_streams(config: Config) -> tuple[str, ...]:
    """Return what both branches read."""
    return with_image(config)


def inference_streams(config: Config) -> tuple[str, ...]:
    """Return what CBP reads (paper 3.4), or both branches if they are fused."""
    return visual_streams(config) if config.fusion == "none" else with_image(config)


def phase(step: int, config: Config) -> Literal["warm_up", "b", "f"]:
    """Return what a step of the loop trains: CBP by video labels, VLP by CBP ("b"), or CBP by VLP ("f")."""
    if step < config.warm_up:
        return "warm_up"
    if config.mode != "alternate":
        return "b" if config.mode == "only_b" else "f"
    done, at = divmod(step - config.warm_up, config.b_steps + config.f_steps)
    return "b" if done < config.rounds and at < config.b_steps else "f"


def milestones(config: Config) -> dict[int, str]:
    """Return the steps after which phases end: "warm-up", "B 1", "F 1", "B 2", ...; see `protocol.milestones_of`."""
    step = config.warm_up
    found = {step: "warm-up"} if step else {}
    for n in range(config.rounds if config.mode == "alternate" else 0):
        for letter, steps in (("B", config.b_steps), ("F", config.f_steps)):
            step += steps
            found |= {step: f"{letter} {n + 1}"} if steps else {}
    return found


def proposal_options(config: Config) -> ProposalOptions:
    """Return the CBP branch's own (paper 3.4); a fusion of both has the same scale."""
    options: ProposalOptions = load_head(config.cbp).proposal_options(config.base_config)
    return options


def nms_options(config: Config) -> NmsOptions:
    """Return the CBP branch's own."""
    options: NmsOptions = load_head(config.cbp).nms_options(config.base_config)
    return options
