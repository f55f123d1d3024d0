"""VLPO's choices, and what inference does with its activations; the network is in `vlpo`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ...errors import UsageError, require
from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..heads.interface import Recipe, check_choices
from ..heads.streams import IMAGE, StreamConfig, visual_streams, with_image


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """VLPO's choices; defaults: the paper on THUMOS14, and our choices where it is silent."""

    #: Width of the video-language model's stream ("clip") and of its texts (paper: VideoCLIP-XL, 768).
    joint: int = 768
    #: Widths of the base's convolutions (AICL) and of F_va's (our choice; 1024 gives the 9.84 M of Table 12).
    hidden: int = 512
    video_hidden: int = 1024
    #: Text of a class (paper 3.2); [CLS] is its name.
    prompt: str = "a video of action [CLS]"
    #: Table 4. "zero_shot" is the model's similarities alone: nothing is trained.
    adaptation: Literal["cm_afa", "clip_adapter", "training_free", "zero_shot"] = "cm_afa"
    #: CLIP-Adapter's bottleneck and its share of the result (its public code, on both sides).
    adapter_reduction: int = 4
    adapter_share: float = 0.2
    #: Table 3. Without DSP all classes are selected alike; without APR there is no S^v.
    dsp: bool = True
    ppg: bool = True
    apr: bool = True
    #: norm of Eq. 3 (open): cosines, their softmax over classes after `norm_scale`, or their min-max over time.
    norm: Literal["cosine", "softmax", "minmax"] = "cosine"
    norm_scale: float = 100.0
    #: Factor of M in Eq. 6: 1 is literal; 100 is CLIP's (our choice: class thresholds mean nothing on flat softmaxes).
    vl_scale: float = 100.0
    #: Eq. 4 compares softmaxes over classes at this temperature; each element counts, or each snippet (both open).
    kl_temperature: float = 1.0
    kl_reduction: Literal["elements", "snippets"] = "elements"
    #: A in Eq. 5: its softmax over classes (AICL's public code) or the logits (literal).
    hybrid_cas: Literal["softmax", "logits"] = "softmax"
    #: S of S^a and S^v: their mean (our choice) or the sum in (0, 2) (Eq. 8, literal).
    hybrid_action: Literal["mean", "sum"] = "mean"
    #: Whose top k L_mil averages: of A itself (paper 3.1) or of A + S (AICL's public code).
    mil_pooling: Literal["cas", "combined"] = "cas"
    #: A_p: top k of S (Eq. 1, 9), or of A + S for each of the video's classes (AICL's public code).
    positives: Literal["action", "combined"] = "action"
    #: Whose GCE is S^a's term of Eq. 13: that of the mean of both streams, one term beside S^v's (paper), or of each
    #: stream (AICL's public code), two terms, so that S^a counts twice as much as S^v.
    gce_on: Literal["mean", "each"] = "mean"
    #: q of Eq. 1, alpha_h and alpha_l of Eq. 11 (paper 4.2).
    q: float = 0.6
    high: float = 0.9
    low: float = 0.25
    #: k = T / 8 on THUMOS14, T / 4 on ActivityNet (paper 4.2); also at test time.
    topk_ratio: int = 8
    #: lambda_1 to lambda_3 (paper 4.2).
    kl_weight: float = 300.0
    vl_weight: float = 0.1
    snip_weight: float = 0.5
    #: Video probabilities at test time: from M (appendix A.1), from A (AICL), or the mean of both.
    class_from: Literal["preference", "cas", "both"] = "preference"
    #: How often classes are predicted again with Eq. 5 of the predicted ones (our choice; 0: from A + S alone).
    passes: int = 1
    #: Kept classes: AICL .25 on THUMOS14, SAL .1 on ActivityNet.
    class_threshold: float = 0.25
    #: Suppression: "soft", Gaussian (appendix A.1, without parameters; sigma is CO2-Net's), or "aicl": hard at
    #: `nms_threshold` (.4 THUMOS14, .7 ActivityNet), and each suppressed segment stays with a score that its suppressor
    #: decays (AICL's public code).
    suppression: Literal["soft", "aicl"] = "soft"
    nms_sigma: float = 0.3
    nms_threshold: float = 0.4
    #: Added to lengths, in seconds: 0 is plain overlap; 1 AICL's public code, though it widens short actions.
    nms_length_offset: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        for ok, what, rule in (
            ("[CLS]" in self.prompt, "prompt", "a text with [CLS] in it"),
            (0 < self.q <= 1, "q", "in (0, 1]"),
            (0 <= self.low <= self.high, "low", f"in [0, high] ({self.high})"),
            (self.topk_ratio >= 1, "topk_ratio", "at least 1"),
            (self.passes >= 0, "passes", "0 or more"),
            (self.kl_temperature > 0, "kl_temperature", "positive"),
            (self.nms_sigma > 0, "nms_sigma", "positive"),
            (self.adapter_reduction >= 1, "adapter_reduction", "at least 1"),
            (0 <= self.adapter_share <= 1, "adapter_share", "in [0, 1]"),
            *((getattr(self, w) >= 0, w, "0 or more") for w in ("kl_weight", "vl_weight", "snip_weight")),
        ):
            require(ok, what, getattr(self, what), rule)
        kl = self.kl_weight if self.adaptation == "cm_afa" else 0.0
        if self.adaptation in ("cm_afa", "clip_adapter") and not (kl or self.vl_weight):
            raise UsageError(f"adaptation is {self.adaptation!r}, but no loss trains it: use 'training_free'")


#: Fields that checkpoints may lack; see `protocol.earlier_of`.
EARLIER = {"suppression": "aicl"}

#: AICL's public code where the paper says otherwise, in all recipes. The small ones have its suppression too, with
#: which their figures were measured, the published ones the paper's, which is as good. Measured on the method's card.
_AICL = {"mil_pooling": "combined", "gce_on": "each"}
_SMALL = {**_AICL, "suppression": "aicl", "nms_length_offset": 1.0, "prompt": "[CLS]", "high": 0.7, "low": 0.45,
          "positives": "combined", "vl_scale": 20.0, "class_threshold": 0.1}  # fmt: skip
_SMALL_TRAIN = {"steps": 600, "batch": 10, "pairs": 0, "length": 96, "learning_rate": 1e-3}

RECIPES = {
    # Optimiser, batch and steps: AICL's and SAL's public code; the rest is paper 4.2.
    "thumos14": Recipe(_AICL, {"steps": 10000, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
    "activitynet": Recipe({**_AICL, "topk_ratio": 4, "class_threshold": 0.1, "nms_threshold": 0.7},
                          {"steps": 50000, "batch": 8, "pairs": 0, "length": 50, "learning_rate": 1e-5,
                           "weight_decay": 5e-4}),
    # For the feature simulator. Chosen on another simulated world than benchmarks use, one seed each:
    # * The hashed text tower knows no words: those of a prompt are one vector on all classes, which swamps a class's
    #   min-max over time. "[CLS]" is a prompt of Table 11.
    # * Noise of a snippet is large, so few reach .9 of their video's range: 18 % of action snippets, and PPG teaches
    #   the others that they are none. Above .7 are 78 % of them and 5 % of the background
    #   (mAP@0.1:0.7 94; with .9 and .25 41).
    # * Top k of S as positives of S (Eq. 1) confirm themselves: S settled on background as often as on actions (base
    #   alone 51; with AICL's rule 87 and 82, two seeds).
    # * Cosines of right and wrong classes are .46 and .03 on average, so that 100 makes Eq. 6 nearly one-hot and videos
    #   of two classes lose one: .85 of all classes are kept from probability .1 on, with 20 .95.
    "simulator": Recipe(_SMALL, _SMALL_TRAIN),
    # The same, for procedural videos; some of them show many classes.
    "demo": Recipe({**_SMALL, "class_threshold": 0.01}, _SMALL_TRAIN),
}  # fmt: skip
#: Table 3, Exp. 1, to measure against: the base alone, classes from its own activations.
RECIPES["baseline"] = Recipe(
    {**_AICL, "adaptation": "training_free", "dsp": False, "ppg": False, "apr": False, "class_from": "cas"},
    RECIPES["thumos14"].train,
)


def training_streams(config: Config) -> tuple[str, ...]:
    """Return I3D's streams and the video-language model's; that one alone for "zero_shot"."""
    return (IMAGE,) if config.adaptation == "zero_shot" else with_image(config)


def inference_streams(config: Config) -> tuple[str, ...]:
    """Return the training streams; "clip" only if S^v or the video probabilities are used."""
    unread = not config.apr and config.class_from == "cas" and config.adaptation != "zero_shot"
    return visual_streams(config) if unread else training_streams(config)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut as AICL does: A + S of each kept class, 24 times finer; logits, which have no bound, are scaled first."""
    scale: Literal["none", "minmax"] = "minmax" if config.hybrid_cas == "logits" else "none"
    source = SourceOptions(of="cas", thresholds=linspace(0.1, 0.9, 9), scale=scale, score_scale=scale)
    return ProposalOptions(
        sources=(source,), class_threshold=config.class_threshold, topk_ratio=config.topk_ratio, upsample=24,
        background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Return soft suppression, or AICL's; see `Config.suppression`."""
    if config.suppression == "soft":
        return NmsOptions(kind="gaussian", sigma=config.nms_sigma, length_offset=config.nms_length_offset)
    return replace(NMS_RULES["aicl"], threshold=config.nms_threshold, length_offset=config.nms_length_offset)
