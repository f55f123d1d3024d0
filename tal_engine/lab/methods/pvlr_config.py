"""PVLR's choices: every published difference is a value of a field; recipes put them together by data set.

Equation numbers are the paper's; "code" is the public code, sejong-rcv/PVLR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import UsageError
from ...options import NmsOptions, ProposalOptions, SourceOptions, linspace
from ..heads import head_config, load_head
from ..heads.interface import Recipe
from ..heads.streams import StreamConfig, visual_streams, with_image
from ..nn.initial import SMALL_STD

#: What each base head does differently under PVLR than in its own publication. On CO2-Net: Eq. 6 has L_oppo
#: (CO2-Net's mutual loss) and no co-activity; the suppressed branch is a*x (Eq. 5).
BASES: dict[str, dict[str, Any]] = {
    "co2": {"entry_dropout": 0.0, "suppression": "product", "coactivity_on": "embedding", "cls_weight": 0.8,
            "coactivity_weight": 0.0},
    "basnet": {},
    "cola": {},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """PVLR's choices. Weights and counts: public code, THUMOS14 (the paper prints none)."""

    #: Width of the joint space (paper: 1024, as that of each stream).
    joint: int = 1024
    #: The base head (Table 6 puts PVLR on BaS-Net and CoLA), and fields of its config that differ from `BASES`.
    base: Literal["co2", "basnet", "cola"] = "co2"
    base_options: Mapping[str, Any] = field(default_factory=dict)
    #: Prompt vectors before and after the name; "affix" paper 4.2, "full" public code.
    prefix: int = 4
    suffix: int = 4
    prompt: Literal["affix", "full"] = "affix"
    #: Standard deviation of their initial values, N(0, .01) in the paper; see `nn.initial`.
    prompt_std: float = SMALL_STD
    #: g_mu and g_Sigma: "linear" (THUMOS14 code), or with a dropout and a layer more (ActivityNet code).
    adapter: Literal["linear", "two_layer"] = "linear"
    #: K samples of the embedding (Table 5); 0 is the deterministic embedding.
    samples: int = 20
    #: What g_Sigma gives: "sigma" z = mu + eps * g (Eq. 8); "log_variance" z = mu + eps * exp(g / 2) (code).
    spread: Literal["sigma", "log_variance"] = "sigma"
    #: Which variance distances see: that of z, or g itself, as the public code has it.
    contrast_variance: Literal["of_z", "g"] = "of_z"
    #: Standard deviation of eps: 1 paper; .005 THUMOS14 / .05 ActivityNet public code.
    noise: float = 1.0
    #: Similarity in training: "cosine" (Eq. 10) or "dot" (code, with temperature 8). Inference: cosine.
    similarity: Literal["cosine", "dot"] = "cosine"
    #: tau of Eq. 10, which the paper leaves open; inference of the public code: .03.
    temperature: float = 0.05
    test_temperature: float = 0.05
    #: L_kd: mean of logs (Eq. 12) or log of the mean (code).
    distillation: Literal["mean_log", "log_mean"] = "mean_log"
    #: L_ortho: squared Frobenius norm (Eq. 11) or not (code); is background one of its texts (Eq. 11: c = 1...C; code:
    #: yes); does the gradient stop in one of its two factors (code). Rows have unit length in both.
    ortho_squared: bool = True
    ortho_background: bool = False
    ortho_detached: bool = False
    #: p(N) of Eq. 17 and 19: "jsd" is the paper's Jensen-Shannon divergence, 1 - exp(-JSD) of its closed form with the
    #: Gaussian that has the mixture's moments (the exact one has none, and is 1 for nearly all pairs in a wide space);
    #: others (Table 4) are d / (1 + d), as the code has KL. And whether distances are divided by the width.
    distance: Literal["jsd", "kl", "bhattacharyya", "mahalanobis"] = "jsd"
    per_dimension: bool = False
    #: With "kl", L_intra averages the probabilities of both directions (THUMOS14 code), or has one (ActivityNet code).
    symmetric: bool = True
    #: L_intra: mean over pairs of their losses (Eq. 17), or loss of the pairs' mean probability (code).
    intra_mean: Literal["mean_log", "log_mean"] = "mean_log"
    #: L_inter: mean over all pairs of videos (Eq. 19), or over those that share a class and over others apart (code).
    inter_mean: Literal["pairs", "kinds"] = "pairs"
    #: Snippets of each kind for L_intra; radii m and M of its rings (CoLA: 3, 6; code: 24, 3, empty rings); the share
    #: of snippets that is left out of the easy ones at random (CoLA, code). theta_b of Eq. 13: the attention's median.
    easy: int = 20
    hard: int = 5
    inner_radius: int = 3
    outer_radius: int = 6
    mining_dropout: float = 0.6
    #: Mixture weights of Eq. 18 sum to 1; in the public code its moments are means over time of weighted ones.
    mixture_normalised: bool = True
    #: Weights of the terms that PVLR adds; those of the base head are in its own config.
    kd_weight: float = 200.0
    ortho_weight: float = 0.5
    intra_action_weight: float = 0.005
    intra_background_weight: float = 0.005
    inter_weight: float = 0.005
    #: Inference: whose proposal rules (public code), classes of at least this video probability are kept.
    inference: Literal["thumos14", "activitynet"] = "thumos14"
    class_threshold: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 0:
            raise UsageError(f"samples is {self.samples}, must be 0 (deterministic) or more")
        if min(self.temperature, self.test_temperature) <= 0:
            raise UsageError(f"temperature is {self.temperature}, must be positive")
        if self.base not in BASES:
            raise UsageError(f"base is {self.base!r}, must be one of {', '.join(BASES)}")

    @property
    def base_config(self) -> Any:
        """The config of the base head."""
        return head_config(self.base, "base_options", self, BASES[self.base], self.base_options)


#: What checkpoints did that are older than a field.
EARLIER = {"intra_mean": "log_mean", "inter_mean": "pairs", "ortho_background": True, "ortho_detached": False}

#: What the public code does where the paper says otherwise or nothing.
_CODE = {
    "prompt": "full", "spread": "log_variance", "contrast_variance": "g", "similarity": "dot",
    "distillation": "log_mean", "ortho_squared": False, "ortho_background": True, "ortho_detached": True,
    "distance": "kl", "intra_mean": "log_mean", "inter_mean": "kinds", "inner_radius": 24, "outer_radius": 3,
    "mixture_normalised": False,
}  # fmt: skip
_THUMOS14 = {"steps": 7000, "batch": 10, "pairs": 3, "length": 320, "learning_rate": 5e-5, "weight_decay": 1e-3}
_ACTIVITYNET = {"steps": 20000, "batch": 10, "pairs": 3, "length": 60, "learning_rate": 3e-5, "weight_decay": 5e-5}
_ANET_BASE = {"smoothing": "attention", "topk_ratio": 5, "flow_share": 0.4}
_ANET = {
    "inference": "activitynet", "adapter": "two_layer", "easy": 3, "hard": 3, "kd_weight": 1.0, "ortho_weight": 4.0,
    "intra_action_weight": 0.01, "intra_background_weight": 0.01, "inter_weight": 0.0, "base_options": _ANET_BASE,
}  # fmt: skip

RECIPES = {
    "thumos14": Recipe({}, _THUMOS14),
    "thumos14-code": Recipe(
        {**_CODE, "noise": 0.005, "temperature": 8.0, "test_temperature": 0.03,
         "base_options": {"gate": "autoencoded", "suppression": "shifted", "mutual_weight": 0.0,
                          "coactivity_weight": 1.0}},
        _THUMOS14,
    ),
    "activitynet": Recipe(_ANET, _ACTIVITYNET),
    "activitynet-code": Recipe(
        {**_ANET, **_CODE, "noise": 0.05, "temperature": 1.0, "test_temperature": 0.01, "symmetric": False,
         "inner_radius": 12,
         "base_options": {**_ANET_BASE, "suppression": "shifted", "cls_weight": 1.0, "mutual_weight": 0.0,
                          "coactivity_weight": 1.0}},
        _ACTIVITYNET,
    ),
    # Table 6: adapter and P-CAS alone on another head.
    "plug-in": Recipe(
        {"kd_weight": 0.0, "ortho_weight": 0.0, "intra_action_weight": 0.0, "intra_background_weight": 0.0,
         "inter_weight": 0.0},
        _THUMOS14,
    ),
}  # fmt: skip


def training_streams(config: Config) -> tuple[str, ...]:
    """CLIP's image features are read where they are distilled."""
    return with_image(config) if config.kd_weight else visual_streams(config)


def inference_streams(config: Config) -> tuple[str, ...]:
    """Return the visual streams: the image tower is not needed after training (paper 4.1)."""
    return visual_streams(config)


def proposal_options(config: Config) -> ProposalOptions:
    """Return PVLR's inference on CO2-Net's activations (public code); on another head, that head's own."""
    if config.base != "co2":
        options: ProposalOptions = load_head(config.base).proposal_options(config.base_config)
        return options
    if config.inference == "thumos14":
        return ProposalOptions(class_threshold=config.class_threshold)
    cas = SourceOptions(of="cas", thresholds=linspace(0.1, 0.95, 10), outer_ratio=0.2, class_weight=0.01)
    attention = SourceOptions(
        of="attention", thresholds=linspace(0.2, 0.95, 10), scale="none", score_scale="none", outer_ratio=0.4,
        class_weight=0.5,
    )  # fmt: skip
    return ProposalOptions(sources=(cas, attention), class_threshold=config.class_threshold, topk_ratio=10)


def nms_options(config: Config) -> NmsOptions:
    """Return gaussian soft-NMS, sigma .2 on THUMOS14, .5 on ActivityNet (public code); another head's own."""
    if config.base != "co2":
        options: NmsOptions = load_head(config.base).nms_options(config.base_config)
        return options
    return NmsOptions(kind="gaussian", sigma=0.2 if config.inference == "thumos14" else 0.5)
