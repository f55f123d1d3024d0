"""ASL and AICL's base: class-agnostic actionness of both streams agrees with the classes (CVPR 2021, AAAI 2023).

Source: AICL's public code, models/model.py and utils/loss.py (methods.md 3.6). Its base with the actionness loss;
the contrast of inconsistent snippets is not part of it. There is no background class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import UsageError
from ..nn import losses
from ..nn.actionness import Actionness
from ..nn.temporal import ConvBlock, conv, mask_time, top_weights
from ..options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..vocabulary import Vocabulary
from .interface import Batch, Classifier, Head, Output, Recipe, freeze, two_streams

__all__ = ["AICL", "RECIPES", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "aicl"
uses_text = False
training_streams = two_streams
inference_streams = two_streams


@dataclass(frozen=True, kw_only=True)
class Config:
    """AICL's choices; defaults: its public code on THUMOS14."""

    #: Widths of the feature streams and of all hidden layers.
    rgb: int = 1024
    flow: int = 1024
    hidden: int = 512
    topk_ratio: int = 8
    class_threshold: float = 0.25
    #: q of the actionness's generalized cross-entropy: .7 AICL, .5 SAL.
    robustness: float = 0.7
    cls_weight: float = 1.0
    actionness_weight: float = 1.0
    #: Suppression: IoU at which a segment yields, decay of its score.
    nms_threshold: float = 0.4
    nms_sigma: float = 0.35

    def __post_init__(self) -> None:
        if not 0 < self.robustness <= 1:
            raise UsageError(f"robustness is {self.robustness}, must be in (0, 1]")


RECIPES = {
    "thumos14": Recipe({}, {"steps": 6000, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
    "activitynet": Recipe({"robustness": 0.5, "class_threshold": 0.1, "nms_threshold": 0.7},
                          {"steps": 50_000, "batch": 8, "pairs": 0, "length": 50, "learning_rate": 1e-4,
                           "weight_decay": 5e-4}),
}  # fmt: skip


class AICL(Head):
    """A narrow classifier on both streams, and an actionness of each."""

    background = False

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = hidden = config.hidden
        self.embed = ConvBlock(config.rgb + config.flow, hidden, 3, 0.0, slope=0.0)
        self.classifier = conv(hidden, classes, 1) if own_classifier else None
        self.rgb, self.flow = Actionness(config.rgb, hidden), Actionness(config.flow, hidden)

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        r, f = (mask_time(streams[s].transpose(1, 2), mask) for s in ("rgb", "flow"))
        embedding = self.embed(torch.cat([r, f], dim=1), mask).transpose(1, 2)
        cas = self.classified(embedding, classify)
        a_rgb, a_flow = self.rgb(r, mask), self.flow(f, mask)
        combined = (functional.softmax(cas, dim=-1) + a_rgb[..., None] + a_flow[..., None]) / 3
        chosen = top_weights(combined.detach(), self.config.topk_ratio, mask)
        parts = {
            "combined": combined,
            "chosen": chosen,
            "video": (chosen * cas).sum(1),
            "rgb": a_rgb,
            "flow": a_flow,
        }
        return Output(cas, embedding, (a_rgb + a_flow) / 2, parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """cls, and actionness of both streams against the snippets that were chosen for a class of the video."""
        c, parts = self.config, out.parts
        positive = ((parts["chosen"] > 0) & (batch.labels[:, None] > 0)).any(-1).to(out.cas.dtype)
        actionness = [losses.generalized_ce(parts[s], positive, c.robustness, batch.mask) for s in ("rgb", "flow")]
        return {
            "cls": c.cls_weight * losses.video_ce(parts["video"], batch.labels),
            "actionness": c.actionness_weight * (actionness[0] + actionness[1]),
        }

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.parts["combined"], "video": functional.softmax(out.parts["video"], dim=1)}


def build(config: Config, vocabulary: Vocabulary, text: Any = None, *, own_classifier: bool = True) -> AICL:
    """See `methods.protocol.Method.build`; without `own_classifier` one has to be given to every call."""
    return AICL(config, len(vocabulary), own_classifier)


def proposal_options(config: Config) -> ProposalOptions:
    """Class probabilities and actionness, averaged, are cut over their whole range."""
    source = SourceOptions(of="cas", thresholds=linspace(0.1, 0.9, 9), scale="none", score_scale="none")
    return ProposalOptions(
        sources=(source,), class_threshold=config.class_threshold, topk_ratio=config.topk_ratio, upsample=24,
        background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Hard suppression that also keeps what it suppresses, decayed; lengths one second longer (public code)."""
    rule = NMS_RULES["aicl"]
    return replace(rule, threshold=config.nms_threshold, sigma=config.nms_sigma)
