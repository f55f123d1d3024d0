"""A transformer over RGB and flow with one sigmoid a class: the CBP branch of Ju et al. (CVPR 2023), alone.

No code was published; "our choice" marks what the paper leaves open (methods.md 5.2). Equation numbers are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import require
from ..nn.losses import mil_ce
from ..nn.temporal import topk_mean
from ..nn.transformer import TemporalTransformer
from ..options import NmsOptions, ProposalOptions, SourceOptions
from ..vocabulary import Vocabulary
from .interface import Batch, Classifier, Head, Output, Recipe, freeze, joined, need_classifier, two_streams

__all__ = ["RECIPES", "Config", "TransformerHead", "build", "freeze", "nms_options", "proposal_options"]

name = "transformer"
uses_text = False
training_streams = two_streams
inference_streams = two_streams


@dataclass(frozen=True, kw_only=True)
class Config:
    """The head's choices."""

    #: Widths of the feature streams.
    rgb: int = 1024
    flow: int = 1024
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
        allowed = ("binary", "softmax")
        require(self.classification in allowed, "classification", self.classification, f"one of {', '.join(allowed)}")
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
    """RGB and flow to one logit a class (paper 3.2, 4.1); no background class."""

    background = False

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        self.entry = nn.Linear(config.rgb + config.flow, config.width)
        self.temporal = TemporalTransformer(
            config.width, layers=config.layers, heads=config.heads, dropout=config.dropout, positions=config.positions
        )
        self.norm = nn.LayerNorm(config.width)
        self.classifier = nn.Linear(config.width, classes) if own_classifier else None

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        """Logits and the last hidden layer, which is 0 on padding."""
        embedding = self.norm(self.temporal(self.entry(joined(streams)), mask))
        if mask is not None:
            embedding = embedding * mask[..., None]
        return Output(need_classifier(self.classifier, classify)(embedding), embedding)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """L_cls (Eq. 1): summed over classes, averaged over videos."""
        ratio = self.config.topk_ratio
        if self.config.classification == "softmax":
            return {"cls": mil_ce(out.cas, batch.labels, ratio, batch.mask)}
        pooled = topk_mean(out.cas, ratio, batch.mask)
        loss = functional.binary_cross_entropy_with_logits(pooled, batch.labels, reduction="none")
        return {"cls": loss.sum(1).mean()}

    def activations(self, out: Output) -> dict[str, Tensor]:
        """Probabilities of snippets, and of the video by Eq. 1's pooling: both thresholds are on a scale of 0 to 1."""
        # The mask makes k a tensor: in a graph it depends on T.
        pooled = topk_mean(out.cas, self.config.topk_ratio, out.cas.new_ones(out.cas.shape[:2]))
        return {"cas": torch.sigmoid(out.cas), "video": torch.sigmoid(pooled)}


def build(config: Config, vocabulary: Vocabulary, text: Any = None, *, own_classifier: bool = True) -> TransformerHead:
    """See `methods.protocol.Method.build`; without `own_classifier` one has to be given to every call."""
    return TransformerHead(config, len(vocabulary), own_classifier)


def proposal_options(config: Config) -> ProposalOptions:
    """One threshold on each kept class's probabilities, a proposal scored by the largest in it (paper 3.4)."""
    source = SourceOptions(
        of="cas", thresholds=(config.location_threshold,), scale="none", score_scale="none", scoring="maximum",
        class_weight=0.0,
    )  # fmt: skip
    return ProposalOptions(
        sources=(source,), class_score="sigmoid", class_threshold=config.class_threshold,
        topk_ratio=config.topk_ratio, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Gaussian soft-NMS (paper 3.4). Proposals of one threshold never overlap, so that it changes nothing."""
    return NmsOptions(kind="gaussian", sigma=config.nms_sigma)
