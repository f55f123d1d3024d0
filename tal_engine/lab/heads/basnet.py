"""BaS-Net: one classifier sees a video whole and with its background filtered out (AAAI 2020).

Source: Pilhyeon/BaSNet-pytorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses
from ..nn.temporal import ConvBlock, conv, mask_time, topk_mean
from .interface import Batch, Classifier, Head, Output, Recipe, builder, freeze
from .streams import StreamConfig, joined, visual_streams

__all__ = ["RECIPES", "BaSNet", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "basnet"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """BaS-Net's choices; defaults: its public code on THUMOS14."""

    #: Width of the filter's hidden layer.
    filter_width: int = 512
    dropout: float = 0.7
    topk_ratio: int = 8
    class_threshold: float = 0.25
    #: Class probability that enters the scores of proposals: "binary" 1 for every kept class (public code), "soft".
    video_score: Literal["binary", "soft"] = "binary"
    #: Weight of both classification losses; their mean over classes starves sets of many classes.
    loss_scale: float = 1.0
    norm_weight: float = 1e-4


RECIPES = {
    "thumos14": Recipe({}, {"steps": 1500, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
}  # fmt: skip


class BaSNet(Head):
    """A filter of snippets, and one classifier with background for the plain and the filtered features."""

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.total
        self.filter = nn.ModuleList(
            [ConvBlock(width, config.filter_width, 1, 0.0, slope=0.01), conv(config.filter_width, 1, 1)]
        )
        self.embed = nn.ModuleList([ConvBlock(width, width, 3, d, slope=0.01) for d in (0.0, config.dropout)])
        self.classifier = conv(width, classes + 1, 1, bias=False) if own_classifier else None

    def _embed(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.embed:
            x = layer(x, mask)
        return x.transpose(1, 2)

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        x = mask_time(joined(streams, tuple(self.config.visual)).transpose(1, 2), mask)
        weight = torch.sigmoid(self.filter[1](self.filter[0](x, mask)))
        embedding = self._embed(x, mask)
        cas = self.classified(embedding, classify)
        suppressed = self.classified(self._embed(weight * x, mask), classify)
        return Output(cas, embedding, weight[:, 0], {"suppressed": suppressed})

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute base, suppressed and norm."""
        c, mask, labels = self.config, batch.mask, batch.labels
        base = losses.video_bce(topk_mean(out.cas, c.topk_ratio, mask), losses.with_background(labels, 1))
        supp = losses.video_bce(
            topk_mean(out.parts["suppressed"], c.topk_ratio, mask), losses.with_background(labels, 0)
        )
        weight = out.foreground if mask is None else out.foreground * mask
        return {
            "base": c.loss_scale * base,
            "suppressed": c.loss_scale * supp,
            "norm": c.norm_weight * weight.sum(1).mean(),
        }

    def activations(self, out: Output) -> dict[str, Tensor]:
        cas = out.parts["suppressed"]
        if self.config.video_score == "soft":
            return {"cas": cas}
        p = functional.softmax(topk_mean(cas, self.config.topk_ratio), dim=1)[:, :-1]
        kept = p >= self.config.class_threshold
        # Without a kept class the best one is taken, as the proposal stage does.
        best = (p >= p.amax(1, keepdim=True)) & ~kept.any(1, keepdim=True)
        return {"cas": cas, "video": (kept | best).to(cas.dtype)}


build = builder(BaSNet)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut each kept class's suppressed column, from its positive minimum to its maximum, at low thresholds."""
    source = SourceOptions(
        of="cas", thresholds=linspace(0.0, 0.225, 10), scale="relu_minmax", score_scale="relu_minmax"
    )
    return ProposalOptions(
        sources=(source,), class_threshold=config.class_threshold, topk_ratio=config.topk_ratio, upsample=24
    )


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard at .7, lengths one second longer than they are (public code)."""
    return NMS_RULES["basnet"]
