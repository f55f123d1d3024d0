"""A transformer over RGB and flow with one sigmoid a class: the CBP branch of Ju et al. (CVPR 2023), alone.

No code was published; "our choice" marks what the paper leaves open. Equation numbers are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import require
from ...options import NmsOptions, ProposalOptions, SourceOptions
from ..nn.losses import mil_ce
from ..nn.temporal import topk_mean
from ..nn.transformer_layers import TemporalTransformer
from .interface import (
    Batch,
    Classifier,
    Head,
    Output,
    Recipe,
    builder,
    check_choices,
    freeze,
    need_classifier,
)
from .streams import StreamConfig, joined, visual_streams

__all__ = ["RECIPES", "Config", "TransformerHead", "build", "freeze", "nms_options", "proposal_options"]

name = "transformer"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """The head's choices."""

    #: Of the layers (our choice: as in the authors' earlier Efficient-Prompt); the MLP is four times as wide.
    width: int = 512
    layers: int = 2
    heads: int = 8
    dropout: float = 0.1
    #: Rows of the position table: the snippets that training samples (T of paper 4.1).
    positions: int = 1000
    #: L_cls on top-k means: "binary", sigmoids, the name that the paper gives it; "softmax", the formula that it
    #: prints (Eq. 1), which leaves open how high logits are, so that thresholds on their sigmoids say little.
    classification: Literal["binary", "softmax"] = "binary"
    #: k of Eq. 1 is T // topk_ratio, at inference too (our choice: BaS-Net's).
    topk_ratio: int = 8
    #: theta_cls and theta_loc (paper 4.1).
    class_threshold: float = 0.85
    location_threshold: float = 0.45
    #: Of soft-NMS (our choice: CO2-Net's).
    nms_sigma: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        require(self.width >= 1, "width", self.width, "at least 1")
        require(self.topk_ratio >= 1, "topk_ratio", self.topk_ratio, "at least 1")


_THUMOS14 = {"steps": 2000, "batch": 16, "pairs": 0, "length": 1000, "sampling": "contiguous",
             "learning_rate": 1e-4, "weight_decay": 5e-4}  # fmt: skip
#: T and learning rate: paper 4.1. The rest: our choice.
RECIPES = {
    "thumos14": Recipe({}, _THUMOS14),
    "activitynet": Recipe({"positions": 400}, {**_THUMOS14, "length": 400}),
}


class TransformerHead(Head):
    """All streams, side by side, to one logit a class (paper 3.2, 4.1); no background class."""

    background = False

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        self.entry = nn.Linear(config.total, config.width)
        self.temporal = TemporalTransformer(
            config.width, layers=config.layers, heads=config.heads, dropout=config.dropout, positions=config.positions
        )
        self.norm = nn.LayerNorm(config.width)
        self.classifier = nn.Linear(config.width, classes) if own_classifier else None

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        """Return logits and the last hidden layer, which is 0 on padding."""
        embedding = self.norm(self.temporal(self.entry(joined(streams, tuple(self.config.visual))), mask))
        if mask is not None:
            embedding = embedding * mask[..., None]
        return Output(need_classifier(self.classifier, classify)(embedding), embedding)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute L_cls (Eq. 1): summed over classes, averaged over videos."""
        ratio = self.config.topk_ratio
        if self.config.classification == "softmax":
            return {"cls": mil_ce(out.cas, batch.labels, ratio, batch.mask)}
        pooled = topk_mean(out.cas, ratio, batch.mask)
        loss = functional.binary_cross_entropy_with_logits(pooled, batch.labels, reduction="none")
        return {"cls": loss.sum(1).mean()}

    def activations(self, out: Output) -> dict[str, Tensor]:
        """Return probabilities of snippets, and of the video by Eq. 1's pooling, both in 0..1."""
        # The mask makes k a tensor: in a graph it depends on T.
        pooled = topk_mean(out.cas, self.config.topk_ratio, out.cas.new_ones(out.cas.shape[:2]))
        return {"cas": torch.sigmoid(out.cas), "video": torch.sigmoid(pooled)}


build = builder(TransformerHead)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut each kept class's probabilities at one threshold; a proposal's score is its largest (paper 3.4)."""
    source = SourceOptions(
        of="cas", thresholds=(config.location_threshold,), scale="none", score_scale="none", scoring="maximum",
        class_weight=0.0,
    )  # fmt: skip
    return ProposalOptions(
        sources=(source,), class_score="sigmoid", class_threshold=config.class_threshold,
        topk_ratio=config.topk_ratio, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress with gaussian soft-NMS (paper 3.4). Proposals of one threshold never overlap, so it changes nothing."""
    return NmsOptions(kind="gaussian", sigma=config.nms_sigma)
