"""CO2-Net: RGB and flow gate each other, then agree on an attention (ACM MM 2021).

Source: harlanhong/MM2021-CO2-Net (methods.md 3.1). Two published forms of the gate: CO2-Net's own, and the
auto-encoded one of Boosting-WTAL, which PVLR's public code uses on THUMOS14.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..nn import losses
from ..nn.temporal import ConvBlock, conv, mask_time, mean_time, smooth
from ..options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..vocabulary import Vocabulary
from .interface import Batch, Classifier, Head, Output, Recipe, freeze, two_streams

__all__ = ["CO2", "RECIPES", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "co2"
uses_text = False
training_streams = two_streams
inference_streams = two_streams


@dataclass(frozen=True, kw_only=True)
class Config:
    """CO2-Net's choices; defaults: its public code on THUMOS14."""

    #: Widths of the feature streams.
    rgb: int = 1024
    flow: int = 1024
    #: "co2": CO2-Net's gate, first fusion 1 snippet wide. "autoencoded": Boosting-WTAL's, 3 wide.
    gate: Literal["co2", "autoencoded"] = "co2"
    dropout: float = 0.5
    fusion_dropout: float = 0.7
    #: Dropout between the two fusions, on top of the first one's (CO2-Net's classifier begins with it).
    entry_dropout: float = 0.7
    #: Dropout on the attention's logit (public code): half of the training attentions are 0.5.
    logit_dropout: float = 0.5
    #: Weight of flow in the fused attention (PVLR on ActivityNet: .4).
    flow_share: float = 0.5
    #: What is averaged over a fifth of the video (ActivityNet variants): "both" is attentions and CAS.
    smoothing: Literal["none", "attention", "both"] = "none"
    #: L of the suppressed branch: "shifted" a*(x - m) + m, m the lowest class (public code), "product" a*x.
    suppression: Literal["shifted", "product"] = "shifted"
    topk_ratio: int = 7
    test_topk_ratio: int = 10
    class_threshold: float = 0.2
    #: What co-activity compares: the first fusion's output (CO2-Net), or what the classifier reads.
    coactivity_on: Literal["fused", "embedding"] = "fused"
    cls_weight: float = 1.0
    mutual_weight: float = 1.0
    norm_weight: float = 0.8
    guide_weight: float = 0.8
    coactivity_weight: float = 1.0
    #: Flow from RGB and RGB from flow ("autoencoded" only; Boosting-WTAL: 1.5).
    reconstruction_weight: float = 0.0


RECIPES = {
    "thumos14": Recipe({}, {"steps": 5000, "batch": 10, "pairs": 3, "length": 500, "learning_rate": 5e-5,
                            "weight_decay": 1e-3}),
    "activitynet": Recipe({"smoothing": "both", "topk_ratio": 5},
                          {"steps": 22000, "batch": 10, "pairs": 3, "length": 60, "learning_rate": 3e-5,
                           "weight_decay": 5e-4}),
}  # fmt: skip


class CrossAttention(nn.Module):
    """Main stream, gated by the auxiliary one, to filtered features and an attention."""

    def __init__(self, main: int, aux: int, c: Config) -> None:
        super().__init__()
        self.autoencoded = c.gate == "autoencoded"
        half = main // 2
        self.channel = ConvBlock(main, main, 3, c.dropout)
        if self.autoencoded:
            self.encode = ConvBlock(aux, half, 3, c.dropout)
            # Only the reconstruction loss trains it; PVLR keeps it without that loss.
            self.decode = ConvBlock(half, main, 3, c.dropout)
            self.bit = ConvBlock(half, main, 3, c.dropout)
        else:
            self.bit = ConvBlock(aux, main, 3, c.dropout)
        self.hidden = nn.ModuleList([ConvBlock(main, half, 3, c.dropout), ConvBlock(half, half, 3, 0.0)])
        self.logit = conv(half, 1, 1)
        self.logit_dropout = nn.Dropout(c.logit_dropout)

    def forward(
        self, main: Tensor, aux: Tensor, mask: Tensor | None, rebuild: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(filtered [B, D, T], attention [B, T], the main stream rebuilt where that is asked for and can be)."""
        channel = self.channel(mean_time(main, mask))
        rebuilt = None
        if self.autoencoded:
            code = self.encode(aux, mask)
            bit = self.bit(code, mask)
            rebuilt = self.decode(code, mask) if rebuild else None
            agreement = (functional.normalize(channel, dim=1) * functional.normalize(bit, dim=1)).sum(1, keepdim=True)
            gate = torch.sigmoid(bit * agreement)
        else:
            gate = torch.sigmoid(self.bit(aux, mask) * channel)
        filtered = mask_time(gate * main, mask)
        x = filtered
        for layer in self.hidden:
            x = layer(x, mask)
        attention = torch.sigmoid(self.logit_dropout(self.logit(x)))
        return filtered, attention[:, 0], rebuilt


class Attended(NamedTuple):
    """What two cross attentions make of two streams.

    filtered: [B, rgb + flow, T]. attention, rgb, flow: [B, T]. error: mean squared error of each stream rebuilt from
    the other one; None where nobody asked for it, and without auto-encoders.
    """

    filtered: Tensor
    attention: Tensor
    rgb: Tensor
    flow: Tensor
    error: Tensor | None


def attend(
    rgb: CrossAttention,
    flow: CrossAttention,
    streams: Mapping[str, Tensor],
    mask: Tensor | None,
    flow_share: float,
    *,
    rebuild: bool,
) -> Attended:
    """Each stream gated by the other one; the attentions are mixed with a weight of `flow_share` for flow."""
    r, f = (mask_time(streams[s].transpose(1, 2), mask) for s in ("rgb", "flow"))
    filtered_r, attention_r, rebuilt_r = rgb(r, f, mask, rebuild)
    filtered_f, attention_f, rebuilt_f = flow(f, r, mask, rebuild)
    error = None
    if rebuilt_r is not None and rebuilt_f is not None:
        error = sum(
            (losses.mean_of(((a - b) ** 2).mean(1), mask) for a, b in ((rebuilt_r, r), (rebuilt_f, f))), r.new_zeros(())
        )
    mixed = (1 - flow_share) * attention_r + flow_share * attention_f
    return Attended(torch.cat([filtered_r, filtered_f], dim=1), mixed, attention_r, attention_f, error)


class CO2(Head):
    """Two attentions that look at each other's stream, a fused embedding, a classifier with background."""

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.rgb + config.flow
        self.rgb = CrossAttention(config.rgb, config.flow, config)
        self.flow = CrossAttention(config.flow, config.rgb, config)
        first = 3 if config.gate == "autoencoded" else 1
        self.fusion = nn.ModuleList(
            [ConvBlock(width, width, first, config.fusion_dropout), ConvBlock(width, width, 3, config.fusion_dropout)]
        )
        self.entry_dropout = nn.Dropout(config.entry_dropout)
        self.classifier = conv(width, classes + 1, 1) if own_classifier else None

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        c = self.config
        rebuild = self.training and c.reconstruction_weight > 0
        seen = attend(self.rgb, self.flow, streams, mask, c.flow_share, rebuild=rebuild)
        fused = self.fusion[0](seen.filtered, mask)
        embedding = self.fusion[1](self.entry_dropout(fused), mask).transpose(1, 2)
        cas = self.classified(embedding, classify)
        attention, attention_r, attention_f = seen.attention, seen.rgb, seen.flow
        if c.smoothing != "none":
            attention, attention_r, attention_f = (
                smooth(a[..., None])[..., 0] for a in (attention, attention_r, attention_f)
            )
        if c.smoothing == "both":
            cas = smooth(cas)
        parts = {"rgb": attention_r, "flow": attention_f, "fused": fused.transpose(1, 2)}
        if seen.error is not None:
            parts["reconstruction"] = seen.error
        return Output(cas, embedding, attention, parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """cls, mutual, norm, guide, coactivity, and reconstruction where it is asked for."""
        c, mask, labels = self.config, batch.mask, batch.labels
        attentions = [out.foreground, out.parts["rgb"], out.parts["flow"]]
        supp = losses.suppressed(out.cas, out.foreground, c.suppression)
        present = losses.mil_ce(out.cas, losses.with_background(labels, 1), c.topk_ratio, mask)
        absent = losses.mil_ce(supp, losses.with_background(labels, 0), c.topk_ratio, mask)
        terms = {
            "cls": c.cls_weight * (present + absent),
            "norm": c.norm_weight * losses.sparsity(attentions, mask),
            "guide": c.guide_weight * losses.guide(attentions, out.cas, mask),
        }
        if c.mutual_weight:
            terms["mutual"] = c.mutual_weight * losses.mutual(out.parts["rgb"], out.parts["flow"], mask)
        if c.coactivity_weight and batch.pairs:
            feature = out.parts["fused"] if c.coactivity_on == "fused" else out.embedding
            terms["coactivity"] = c.coactivity_weight * losses.co_activity(supp[..., :-1], feature, labels, batch.pairs)
        if "reconstruction" in out.parts:
            terms["reconstruction"] = c.reconstruction_weight * out.parts["reconstruction"]
        return terms

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.cas * out.foreground[..., None], "attention": out.foreground}


def build(config: Config, vocabulary: Vocabulary, text: Any = None, *, own_classifier: bool = True) -> CO2:
    """See `methods.protocol.Method.build`; without `own_classifier` one has to be given to every call."""
    return CO2(config, len(vocabulary), own_classifier)


def proposal_options(config: Config) -> ProposalOptions:
    """The attention, which all kept classes share, is cut; scores are taken on each class's raw column."""
    source = SourceOptions(of="attention", thresholds=linspace(0.1, 0.9, 10), scale="none", score_scale="none")
    return ProposalOptions(sources=(source,), class_threshold=config.class_threshold, topk_ratio=config.test_topk_ratio)


def nms_options(config: Config) -> NmsOptions:
    """Gaussian soft-NMS, sigma .3; the public code's lengths + 1 are of snippets, ours are plain seconds."""
    return NmsOptions(kind="gaussian", sigma=NMS_RULES["co2"].sigma)
