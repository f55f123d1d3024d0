"""STPN: sparse temporal pooling, one video-level classifier read back at every snippet (CVPR 2018), and its like.

Source: the paper, and bellos1203/STPN, whose published weights are one head a stream. There is no background class.

Two streams: the public code keeps a class whose video probability passes in either stream, cuts proposals out of each
stream's weighted activations, and suppresses them together. Here the video's logit is the larger of the two, which
keeps exactly those classes; but a head has one sequence a class, so what is cut is the mean of the two weighted ones.
With one stream both are the public code's; with three or more, the largest and the mean of all.

Heads of the same shape that others published (DGAM) differ in how a video is pooled and what is made of its logits;
those are fields, for weights that are imported. What DGAM adds to cut proposals (.2 of the squared attention) is not
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError, require
from ...options import NmsOptions, ProposalOptions, SourceOptions
from ..nn.temporal import mean_time
from .interface import Batch, Classifier, Head, Output, Recipe, builder, freeze, need_classifier
from .streams import PUBLISHED, StreamConfig, joined, part_name

__all__ = ["RECIPES", "STPN", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "stpn"
uses_text = False


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """STPN's choices; defaults: its public code on THUMOS14."""

    #: Width of the attention's hidden layer.
    hidden: int = 256
    #: Which streams have a head: all that there are, or one; the published files are of one stream each.
    streams: Literal["rgb", "flow", "both"] = "both"
    #: A video's features: mean over time of attention times features, or weighted by an attention of sum 1 (DGAM).
    pooling: Literal["time", "attention"] = "time"
    #: A video's probabilities: sigmoids of its logits, or their softmax (DGAM).
    probability: Literal["sigmoid", "softmax"] = "sigmoid"
    #: The classifier's last column is background (DGAM). It counts in the softmax and is in no activation.
    background: bool = False
    #: Classes of at least this video probability are kept.
    class_threshold: float = 0.1
    #: Where the weighted activations of a class are cut.
    threshold: float = 0.05
    #: beta: weight of the attention's L1 norm.
    sparsity_weight: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = ("both", *(s for s in PUBLISHED if s in self.visual))
        require(self.streams in allowed, "streams", self.streams, f"one of {', '.join(allowed)}")


RECIPES = {
    "thumos14": Recipe({}, {"steps": 80_000, "batch": 6, "pairs": 0, "length": 400, "learning_rate": 1e-4,
                            "weight_decay": 0.0}),
}  # fmt: skip


def training_streams(config: Config) -> tuple[str, ...]:
    """Return the streams that have a head."""
    return tuple(config.visual) if config.streams == "both" else (config.streams,)


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
        self.config, self.classes = config, classes
        self.streams = training_streams(config)
        widths = {part_name(s): config.visual[s] for s in self.streams}
        self.width = sum(widths.values())
        self.attention = nn.ModuleDict({s: _Attention(d, config.hidden) for s, d in widths.items()})
        self.classifier = (
            nn.ModuleDict({s: nn.Linear(d, classes + config.background) for s, d in widths.items()})
            if own_classifier
            else None
        )

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        x = {part_name(s): streams[s] for s in self.streams}
        attentions = {s: self.attention[s](x[s]) for s in x}
        attention = torch.stack(list(attentions.values())).mean(0)
        embedding = joined(streams, self.streams)
        if classify is not None or self.classifier is None:
            chosen = need_classifier(None, classify)
            cas, video = chosen(embedding), chosen(self._pooled(embedding, attention, mask))
            weighted = attention[..., None] * torch.sigmoid(cas)
            return Output(cas, embedding, attention, {**attentions, "weighted": weighted, "video": video})
        logits, videos, weights = [], [], []
        for s in x:
            layer = self.classifier[s]
            assert isinstance(layer, nn.Linear)  # noqa: S101 (for the type checker)
            # Snippets are read by the weights alone, the video with the bias (Eq. 6 of the paper; public code).
            logits.append(functional.linear(x[s], layer.weight[: self.classes]))
            videos.append(layer(self._pooled(x[s], attentions[s], mask)))
            weights.append(attentions[s][..., None] * torch.sigmoid(logits[-1]))
        cas, weighted = (torch.stack(x).mean(0) for x in (logits, weights))
        parts = {**attentions, "weighted": weighted}
        parts |= {f"video_{s}": x for s, x in zip(x, videos, strict=True)}
        return Output(cas, embedding, attention, parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute cls and sparsity, each stream on its own.

        Raises:
            UsageError: the head has background or a softmax; those are of imported weights, and STPN's loss has none.
        """
        c = self.config
        if c.background or c.probability != "sigmoid":
            raise UsageError(
                f"background={c.background}, probability={c.probability!r} are of imported heads, which are not "
                "trained here; STPN's loss is for False and 'sigmoid'"
            )
        cls = sum(
            (functional.binary_cross_entropy_with_logits(v[:, 0], batch.labels) for v in _videos(out)), torch.zeros(())
        )
        attentions = [out.parts[s] if batch.mask is None else out.parts[s] * batch.mask for s in self.attention]
        norm = torch.stack([a.abs().sum(1).mean() for a in attentions]).sum()
        return {"cls": cls, "sparsity": self.config.sparsity_weight * norm}

    def activations(self, out: Output) -> dict[str, Tensor]:
        # The classes that either stream keeps.
        video = torch.stack([self._probability(v[:, 0]) for v in _videos(out)]).amax(0)
        return {"cas": out.parts["weighted"], "attention": out.foreground, "video": video}

    def _probability(self, logits: Tensor) -> Tensor:
        found = torch.sigmoid(logits) if self.config.probability == "sigmoid" else functional.softmax(logits, dim=-1)
        return found[..., : self.classes]

    def _pooled(self, x: Tensor, attention: Tensor, mask: Tensor | None) -> Tensor:
        """Pool the video's features, [B, 1, D]: mean over time of attention * x, by the mean attention if requested."""
        a = attention[..., None]
        mean = mean_time((a * x).transpose(1, 2), mask)
        if self.config.pooling == "attention":
            mean = mean / mean_time(a.transpose(1, 2), mask).clamp(min=1e-12)
        return mean.transpose(1, 2)


def _videos(out: Output) -> list[Tensor]:
    """Return a video's logits [B, 1, C], by stream if streams have their own."""
    return [v for k, v in out.parts.items() if k.startswith("video_")] or [out.parts["video"]]


build = builder(STPN)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut weighted activations once; the score is their mean inside (public code: of a * logit).

    With a softmax the most probable class is kept if none passes (DGAM's public code).
    """
    source = SourceOptions(
        of="cas", thresholds=(config.threshold,), scale="none", score_scale="none", outer_ratio=0.0, class_weight=0.0
    )
    return ProposalOptions(
        sources=(source,), class_score="sigmoid", class_threshold=config.class_threshold,
        class_fallback=config.probability == "softmax", upsample=24, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard at .5 (public code)."""
    return NmsOptions(kind="hard", threshold=0.5)
