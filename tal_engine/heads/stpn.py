"""STPN: sparse temporal pooling, one video-level classifier read back at every snippet (CVPR 2018).

Source: the paper, and bellos1203/STPN, whose published weights are one head a stream. There is no background class.

Two streams: the public code keeps a class whose video probability passes in either stream, cuts proposals out of each
stream's weighted activations, and suppresses them together. Here the video's logit is the larger of the two, which
keeps exactly those classes; but a head has one sequence a class, so what is cut is the mean of the two weighted ones.
With one stream both are the public code's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..nn.temporal import mean_time
from ..options import NmsOptions, ProposalOptions, SourceOptions
from ..vocabulary import Vocabulary
from .interface import Batch, Classifier, Head, Output, Recipe, freeze, need_classifier

__all__ = ["RECIPES", "STPN", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "stpn"
uses_text = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """STPN's choices; defaults: its public code on THUMOS14."""

    #: Widths of the feature streams and of the attention's hidden layer.
    rgb: int = 1024
    flow: int = 1024
    hidden: int = 256
    #: Which streams have a head; the published files are of one stream each.
    streams: Literal["rgb", "flow", "both"] = "both"
    class_threshold: float = 0.1
    #: Where the weighted activations of a class are cut.
    threshold: float = 0.05
    #: beta: weight of the attention's L1 norm.
    sparsity_weight: float = 1e-4


RECIPES = {
    "thumos14": Recipe({}, {"steps": 80_000, "batch": 6, "pairs": 0, "length": 400, "learning_rate": 1e-4,
                            "weight_decay": 0.0}),
}  # fmt: skip


def training_streams(config: Config) -> tuple[str, ...]:
    """The streams that have a head."""
    return ("rgb", "flow") if config.streams == "both" else (config.streams,)


inference_streams = training_streams


class _Attention(nn.Module):
    """Features [B, T, D] to attention [B, T]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.logit = nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.logit(functional.relu(self.hidden(x))))[..., 0]


class STPN(Head):
    """Of each stream: an attention, and a linear classifier of the features' weighted mean."""

    background = False
    classifier: nn.ModuleDict | None

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        widths = {s: int(getattr(config, s)) for s in training_streams(config)}
        self.width = sum(widths.values())
        self.attention = nn.ModuleDict({s: _Attention(d, config.hidden) for s, d in widths.items()})
        self.classifier = (
            nn.ModuleDict({s: nn.Linear(d, classes) for s, d in widths.items()}) if own_classifier else None
        )

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        names = list(self.attention)
        attentions = {s: self.attention[s](streams[s]) for s in names}
        attention = torch.stack([attentions[s] for s in names]).mean(0)
        embedding = torch.cat([streams[s] for s in names], dim=-1)
        if classify is not None or self.classifier is None:
            chosen = need_classifier(None, classify)
            cas, video = chosen(embedding), chosen(_pooled(embedding, attention, mask))
            weighted = attention[..., None] * torch.sigmoid(cas)
            return Output(cas, embedding, attention, {**attentions, "weighted": weighted, "video": video})
        logits, videos, weights = [], [], []
        for s in names:
            layer = self.classifier[s]
            assert isinstance(layer, nn.Linear)  # noqa: S101 (for the type checker)
            # Snippets are read by the weights alone, the video with the bias (Eq. 6 of the paper; public code).
            logits.append(functional.linear(streams[s], layer.weight))
            videos.append(layer(_pooled(streams[s], attentions[s], mask)))
            weights.append(attentions[s][..., None] * torch.sigmoid(logits[-1]))
        cas, weighted = (torch.stack(x).mean(0) for x in (logits, weights))
        video = torch.stack(videos).amax(0)  # the classes that either stream keeps
        parts = {**attentions, "weighted": weighted, "video": video}
        parts |= {f"video_{s}": x for s, x in zip(names, videos, strict=True)}
        return Output(cas, embedding, attention, parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """cls and sparsity, each stream on its own."""
        videos = [v for k, v in out.parts.items() if k.startswith("video_")] or [out.parts["video"]]
        cls = sum((functional.binary_cross_entropy_with_logits(v[:, 0], batch.labels) for v in videos), torch.zeros(()))
        attentions = [out.parts[s] if batch.mask is None else out.parts[s] * batch.mask for s in self.attention]
        norm = torch.stack([a.abs().sum(1).mean() for a in attentions]).sum()
        return {"cls": cls, "sparsity": self.config.sparsity_weight * norm}

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.parts["weighted"], "video": torch.sigmoid(out.parts["video"][:, 0])}


def _pooled(x: Tensor, attention: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over time of attention * x: [B, 1, D]."""
    return mean_time((attention[..., None] * x).transpose(1, 2), mask).transpose(1, 2)


def build(config: Config, vocabulary: Vocabulary, text: Any = None, *, own_classifier: bool = True) -> STPN:
    """See `methods.protocol.Method.build`; without `own_classifier` one has to be given to every call."""
    return STPN(config, len(vocabulary), own_classifier)


def proposal_options(config: Config) -> ProposalOptions:
    """Weighted activations are cut once; the score is their mean inside (public code: of a * logit)."""
    source = SourceOptions(
        of="cas", thresholds=(config.threshold,), scale="none", score_scale="none", outer_ratio=0.0, class_weight=0.0
    )
    return ProposalOptions(
        sources=(source,), class_score="sigmoid", class_threshold=config.class_threshold, class_fallback=False,
        upsample=24, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Hard suppression at .5 (public code)."""
    return NmsOptions(kind="hard", threshold=0.5)
