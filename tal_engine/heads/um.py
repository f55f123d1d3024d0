"""UM: uncertainty modelling, the magnitude of a feature says whether it is an action (AAAI 2021).

Source: Pilhyeon/WTAL-Uncertainty-Modeling (methods.md 3.4). There is no background class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..nn import losses
from ..nn.temporal import ConvBlock, conv, mask_time, minmax, top_weights
from ..options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..vocabulary import Vocabulary
from .interface import Batch, Classifier, Head, Output, Recipe, freeze, joined, two_streams

__all__ = ["RECIPES", "UM", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "um"
uses_text = False
training_streams = two_streams
inference_streams = two_streams


@dataclass(frozen=True, kw_only=True)
class Config:
    """UM's choices; defaults: its public code on THUMOS14."""

    #: Widths of the feature streams.
    rgb: int = 1024
    flow: int = 1024
    dropout: float = 0.7
    #: Action and background snippets are one in so many; share of snippets left out when they are picked.
    action_ratio: int = 9
    background_ratio: int = 4
    selection_dropout: float = 0.7
    #: Magnitude that the mean action feature should reach.
    margin: float = 100.0
    class_threshold: float = 0.2
    #: Weight of both classification losses; their mean over classes starves sets of many classes (methods.md 3.2).
    loss_scale: float = 1.0
    #: beta: background snippets belong to no class more than to another.
    background_weight: float = 1.0
    #: alpha: action features are long, background features short.
    magnitude_weight: float = 5e-4


RECIPES = {
    "thumos14": Recipe({}, {"steps": 10_000, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
}  # fmt: skip


class UM(Head):
    """One convolution whose outputs' magnitudes pick action and background snippets, and a classifier."""

    background = False

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.rgb + config.flow
        self.embed = ConvBlock(width, width, 3, 0.0, slope=0.0)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = conv(width, classes, 1, bias=False) if own_classifier else None

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        c = self.config
        x = mask_time(joined(streams).transpose(1, 2), mask)
        embedded = self.embed(x, mask).transpose(1, 2)
        embedding = self.dropout(embedded)
        cas = self.classified(embedding, classify)
        magnitude = embedded.norm(dim=-1)
        size = magnitude.detach()
        keep = torch.ones_like(size)
        if self.training:
            keep = (torch.rand_like(size) >= c.selection_dropout).to(size.dtype)
        action = top_weights(size * keep, c.action_ratio, mask)
        background = top_weights((size.amax(1, keepdim=True) - size) * keep, c.background_ratio, mask)
        parts = {
            "action": _mean(action, cas),
            "background": _mean(background, cas),
            "action_feature": _mean(action, embedded),
            "background_feature": _mean(background, embedded),
        }
        return Output(cas, embedding, minmax(magnitude, mask), parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """action, background, magnitude."""
        c, parts = self.config, out.parts
        long, short = (parts[f"{kind}_feature"].norm(dim=-1) for kind in ("action", "background"))
        magnitude = ((functional.relu(c.margin - long) + short) ** 2).mean()
        nothing = losses.video_bce(parts["background"], torch.ones_like(batch.labels))
        return {
            "action": c.loss_scale * losses.video_bce(parts["action"], batch.labels),
            "background": c.loss_scale * c.background_weight * nothing,
            "magnitude": c.magnitude_weight * magnitude,
        }

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {
            "cas": functional.softmax(out.cas, dim=-1) * out.foreground[..., None],
            "attention": out.foreground,
            "video": functional.softmax(out.parts["action"], dim=1),
        }


def _mean(weight: Tensor, x: Tensor) -> Tensor:
    """Mean of x [B, T, D] by weights [B, T] of sum 1: [B, D]."""
    return (weight[..., None] * x).sum(1)


def build(config: Config, vocabulary: Vocabulary, text: Any = None, *, own_classifier: bool = True) -> UM:
    """See `methods.protocol.Method.build`; without `own_classifier` one has to be given to every call."""
    return UM(config, len(vocabulary), own_classifier)


def proposal_options(config: Config) -> ProposalOptions:
    """Class probabilities times magnitude are cut low, the magnitude around its middle."""
    cas = SourceOptions(of="cas", thresholds=linspace(0.0, 0.225, 10), scale="none", score_scale="none")
    magnitude = SourceOptions(of="attention", thresholds=linspace(0.4, 0.6, 9), scale="none", score_scale="none")
    return ProposalOptions(
        sources=(cas, magnitude), class_threshold=config.class_threshold, topk_ratio=config.action_ratio,
        min_length=2, upsample=24, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Hard suppression at .6, lengths one second longer than they are (public code)."""
    return NMS_RULES["cola"]
