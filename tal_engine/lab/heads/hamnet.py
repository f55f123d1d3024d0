"""HAM-Net: hybrid attentions that drop the most telling snippets, so that actions are found whole (AAAI 2021).

Source: asrafulashiq/hamnet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses
from ..nn.temporal import ConvBlock, conv, mask_time, smooth
from .interface import Batch, Classifier, Head, Output, Recipe, builder, freeze
from .streams import StreamConfig, joined, visual_streams

__all__ = ["RECIPES", "Config", "HAMNet", "build", "freeze", "nms_options", "proposal_options"]

name = "hamnet"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """HAM-Net's choices; defaults: its public code on THUMOS14."""

    attention_width: int = 512
    #: Dropouts before the classifier's two wide convolutions and before its last one.
    dropout: float = 0.5
    last_dropout: float = 0.7
    attention_dropout: float = 0.0
    #: CAS and attention are averaged over a fifth of the video (ActivityNet).
    smoothed: bool = False
    #: Snippets below this share of the attention's range are kept by the adaptive drop.
    drop_share: float = 0.2
    #: wt: weight of the dropped branches, the rest goes to the plain ones.
    drop_weight: float = 0.2
    topk_ratio: int = 10
    test_topk_ratio: int = 10
    class_threshold: float = 0.2
    #: Where no class reaches the threshold: none (public code), or the likeliest one as in CO2-Net.
    class_fallback: bool = False
    present_weight: float = 1.0
    absent_weight: float = 1.0
    norm_weight: float = 0.8
    guide_weight: float = 0.8


RECIPES = {
    "thumos14": Recipe({}, {"steps": 1000, "batch": 20, "pairs": 0, "length": 500, "learning_rate": 1e-5,
                            "weight_decay": 1e-3}),
    "activitynet": Recipe({"smoothed": True, "topk_ratio": 20, "test_topk_ratio": 5, "drop_weight": 0.5,
                           "present_weight": 0.25, "absent_weight": 2.0, "norm_weight": 0.5, "guide_weight": 0.1},
                          {"steps": 4800, "batch": 20, "pairs": 0, "length": 80, "learning_rate": 1e-5,
                           "weight_decay": 1e-3}),
    # Narrow features; at the rate of the other heads its attention saturates in some seeds.
    "simulator": Recipe({"attention_width": 64, "class_fallback": True},
                        {"steps": 1000, "batch": 10, "pairs": 3, "length": 96, "learning_rate": 3e-4}),
}  # fmt: skip


class HAMNet(Head):
    """A classifier with background and an attention, both on the features themselves."""

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.total
        half = config.attention_width
        self.entry_dropout = nn.Dropout(config.dropout)
        self.embed = nn.ModuleList([ConvBlock(width, width, 3, d) for d in (config.dropout, config.last_dropout)])
        self.classifier = conv(width, classes + 1, 1) if own_classifier else None
        self.hidden = nn.ModuleList(
            [ConvBlock(width, half, 3, config.attention_dropout), ConvBlock(half, half, 3, config.attention_dropout)]
        )
        self.logit = conv(half, 1, 1)

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        features = mask_time(joined(streams, tuple(self.config.visual)).transpose(1, 2), mask)
        x = self.entry_dropout(features)
        for layer in self.embed:
            x = layer(x, mask)
        embedding = x.transpose(1, 2)
        cas = self.classified(embedding, classify)
        x = features
        for layer in self.hidden:
            x = layer(x, mask)
        attention = torch.sigmoid(self.logit(x)).transpose(1, 2)
        if self.config.smoothed:
            cas, attention = smooth(cas), smooth(attention)
        return Output(cas, embedding, attention[..., 0])

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute present (BCL, HAL), absent (SAL, SSAL), norm and guide."""
        c, mask = self.config, batch.mask
        dropped = self._drop(out.foreground, mask)
        hard = (dropped > 0).to(dropped.dtype)
        with_it, without = (losses.with_background(batch.labels, v) for v in (1, 0))

        def term(cas: Tensor, labels: Tensor) -> Tensor:
            return losses.mil_ce(cas, labels, c.topk_ratio, mask)

        plain = term(out.cas, with_it), term(losses.suppressed(out.cas, out.foreground, "product"), without)
        left = (
            term(losses.suppressed(out.cas, hard, "shifted"), with_it),
            term(losses.suppressed(out.cas, dropped, "shifted"), without),
        )
        present, absent = (c.drop_weight * b + (1 - c.drop_weight) * a for a, b in zip(plain, left, strict=True))
        return {
            "present": c.present_weight * present,
            "absent": c.absent_weight * absent,
            "norm": c.norm_weight * losses.sparsity([out.foreground], mask),
            "guide": c.guide_weight * losses.guide([out.foreground], out.cas, mask),
        }

    def _drop(self, attention: Tensor, mask: Tensor | None) -> Tensor:
        """Compute semi-soft attention: that of the snippets below the threshold, 0 elsewhere."""
        low = high = attention
        if mask is not None:
            low = attention.masked_fill(mask == 0, float("inf"))
            high = attention.masked_fill(mask == 0, float("-inf"))
        bottom, top = low.amin(1, keepdim=True), high.amax(1, keepdim=True)
        return attention * (attention < bottom + self.config.drop_share * (top - bottom))

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.cas * out.foreground[..., None], "attention": out.foreground}


build = builder(HAMNet)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut as CO2-Net does; a video without a likely class has no proposals (public code)."""
    source = SourceOptions(of="attention", thresholds=linspace(0.1, 0.9, 10), scale="none", score_scale="none")
    return ProposalOptions(
        sources=(source,), class_threshold=config.class_threshold, class_fallback=config.class_fallback,
        topk_ratio=config.test_topk_ratio,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress with gaussian soft-NMS, sigma .3; the public code's lengths + 1 are of snippets, ours are seconds."""
    return NmsOptions(kind="gaussian", sigma=NMS_RULES["co2"].sigma)
