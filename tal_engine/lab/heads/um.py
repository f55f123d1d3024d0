"""UM: uncertainty modelling, the magnitude of a feature says whether it is an action (AAAI 2021).

Source: Pilhyeon/WTAL-Uncertainty-Modeling. There is no background class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses
from ..nn.temporal import minmax, top_weights
from .interface import Batch, Classifier, Output, Recipe, WideConfig, WideHead, builder, freeze
from .streams import visual_streams

__all__ = ["RECIPES", "UM", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "um"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(WideConfig):
    """UM's choices; defaults: its public code on THUMOS14."""

    dropout: float = 0.7
    #: Action and background snippets are one in so many; share of snippets left out when they are picked.
    action_ratio: int = 9
    background_ratio: int = 4
    selection_dropout: float = 0.7
    #: Magnitude that the mean action feature should reach.
    margin: float = 100.0
    class_threshold: float = 0.2
    #: Weight of both classification losses; their mean over classes starves sets of many classes.
    loss_scale: float = 1.0
    #: beta: background snippets belong to no class more than to another.
    background_weight: float = 1.0
    #: alpha: action features are long, background features short.
    magnitude_weight: float = 5e-4


RECIPES = {
    "thumos14": Recipe({}, {"steps": 10_000, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
}  # fmt: skip


class UM(WideHead):
    """One convolution whose outputs' magnitudes pick action and background snippets, and a classifier."""

    background = False
    config: Config

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        c = self.config
        embedded = self.embedded(streams, mask)
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
        """Compute action, background and magnitude."""
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
    """Average x [B, T, D] by weights [B, T] of sum 1: [B, D]."""
    return (weight[..., None] * x).sum(1)


build = builder(UM)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut class probabilities times magnitude low, the magnitude around its middle."""
    cas = SourceOptions(of="cas", thresholds=linspace(0.0, 0.225, 10), scale="none", score_scale="none")
    magnitude = SourceOptions(of="attention", thresholds=linspace(0.4, 0.6, 9), scale="none", score_scale="none")
    return ProposalOptions(
        sources=(cas, magnitude), class_threshold=config.class_threshold, topk_ratio=config.action_ratio,
        min_length=2, upsample=24, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard at .6, lengths one second longer than they are (public code)."""
    return NMS_RULES["cola"]
