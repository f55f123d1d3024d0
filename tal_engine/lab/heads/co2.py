"""CO2-Net: streams gate each other, then agree on an attention (ACM MM 2021).

Source: harlanhong/MM2021-CO2-Net. Two published forms of the gate: CO2-Net's own, and the
auto-encoded one of Boosting-WTAL, which PVLR's public code uses on THUMOS14.

Published with RGB and flow, each the other's auxiliary. Our generalization: a stream's auxiliary is all the other
streams side by side; attentions are averaged, and the mutual loss is the mean over pairs of streams. A single stream
is its own auxiliary: its snippets are gated by what they share with the whole of the video, as they are among two; the
losses that hold one stream against another, mutual and reconstruction, have nothing to compare and fall away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses
from ..nn.temporal import ConvBlock, conv, mask_time, mean_time, smooth
from .interface import Batch, Classifier, Head, Output, Recipe, builder, freeze
from .streams import StreamConfig, add_parts, part_name, parts_of, visual_streams

__all__ = ["CO2", "RECIPES", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "co2"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """CO2-Net's choices; defaults: its public code on THUMOS14."""

    #: "co2": CO2-Net's gate, first fusion 1 snippet wide. "autoencoded": Boosting-WTAL's, 3 wide.
    gate: Literal["co2", "autoencoded"] = "co2"
    dropout: float = 0.5
    fusion_dropout: float = 0.7
    #: Dropout between the two fusions, on top of the first one's (CO2-Net's classifier begins with it).
    entry_dropout: float = 0.7
    #: Dropout on the attention's logit (public code): half of the training attentions are 0.5.
    logit_dropout: float = 0.5
    #: Weight of the second of two streams, flow, in the fused attention (PVLR on ActivityNet: .4).
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
    #: Each stream from the others ("autoencoded" only; Boosting-WTAL: 1.5).
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
        """Return filtered [B, D, T], attention [B, T], and the main stream rebuilt if requested and possible."""
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
    """What cross attentions make of their streams.

    filtered: [B, total, T]. attention and each of streams: [B, T]. error: mean squared error of each stream rebuilt
    from the others, summed; None where nobody asked for it, without auto-encoders and with one stream.
    """

    filtered: Tensor
    attention: Tensor
    streams: dict[str, Tensor]
    error: Tensor | None


def cross_attentions(widths: Mapping[str, int], config: Config) -> dict[str, CrossAttention]:
    """Create a cross attention per stream, whose auxiliary is all the others, or itself if there is no other."""
    total = sum(widths.values())
    return {s: CrossAttention(w, total - w if len(widths) > 1 else w, config) for s, w in widths.items()}


def attend(
    gates: Mapping[str, CrossAttention],
    streams: Mapping[str, Tensor],
    mask: Tensor | None,
    flow_share: float,
    *,
    rebuild: bool,
) -> Attended:
    """Gate each stream by the others; average the attentions, of two streams with `flow_share` for the second."""
    x = {s: mask_time(streams[s].transpose(1, 2), mask) for s in gates}
    seen = {}
    for s, gate in gates.items():
        others = [x[o] for o in x if o != s] or [x[s]]
        auxiliary = others[0] if len(others) == 1 else torch.cat(others, dim=1)
        seen[s] = gate(x[s], auxiliary, mask, rebuild and len(x) > 1)
    errors = [losses.mean_of(((new - x[s]) ** 2).mean(1), mask) for s, (_, _, new) in seen.items() if new is not None]
    attentions = {s: a for s, (_, a, _) in seen.items()}
    if len(attentions) == 2:
        first, second = attentions.values()
        mixed = (1 - flow_share) * first + flow_share * second
    else:
        mixed = torch.stack(list(attentions.values())).mean(0)
    filtered = torch.cat([f for f, _, _ in seen.values()], dim=1)
    return Attended(filtered, mixed, attentions, torch.stack(errors).sum() if errors else None)


class CO2(Head):
    """Attentions that look at each other's stream, a fused embedding, a classifier with background."""

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.total
        add_parts(self, cross_attentions(config.visual, config))
        first = 3 if config.gate == "autoencoded" else 1
        self.fusion = nn.ModuleList(
            [ConvBlock(width, width, first, config.fusion_dropout), ConvBlock(width, width, 3, config.fusion_dropout)]
        )
        self.entry_dropout = nn.Dropout(config.entry_dropout)
        self.classifier = conv(width, classes + 1, 1) if own_classifier else None

    @property
    def gates(self) -> dict[str, CrossAttention]:
        """The cross attention of each stream."""
        return parts_of(self, self.config.visual)

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        c = self.config
        rebuild = self.training and c.reconstruction_weight > 0
        seen = attend(self.gates, streams, mask, c.flow_share, rebuild=rebuild)
        fused = self.fusion[0](seen.filtered, mask)
        embedding = self.fusion[1](self.entry_dropout(fused), mask).transpose(1, 2)
        cas = self.classified(embedding, classify)
        attention, by_stream = seen.attention, {part_name(s): a for s, a in seen.streams.items()}
        if c.smoothing != "none":
            attention = smooth(attention[..., None])[..., 0]
            by_stream = {k: smooth(a[..., None])[..., 0] for k, a in by_stream.items()}
        if c.smoothing == "both":
            cas = smooth(cas)
        parts = {**by_stream, "fused": fused.transpose(1, 2)}
        if seen.error is not None:
            parts["reconstruction"] = seen.error
        return Output(cas, embedding, attention, parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute cls, mutual, norm, guide, coactivity, and reconstruction if requested."""
        c, mask, labels = self.config, batch.mask, batch.labels
        by_stream = [out.parts[part_name(s)] for s in c.visual]
        attentions = [out.foreground, *by_stream]
        supp = losses.suppressed(out.cas, out.foreground, c.suppression)
        present = losses.mil_ce(out.cas, losses.with_background(labels, 1), c.topk_ratio, mask)
        absent = losses.mil_ce(supp, losses.with_background(labels, 0), c.topk_ratio, mask)
        terms = {
            "cls": c.cls_weight * (present + absent),
            "norm": c.norm_weight * losses.sparsity(attentions, mask),
            "guide": c.guide_weight * losses.guide(attentions, out.cas, mask),
        }
        if c.mutual_weight and len(by_stream) > 1:
            pairs = [losses.mutual(a, b, mask) for a, b in combinations(by_stream, 2)]
            terms["mutual"] = c.mutual_weight * torch.stack(pairs).mean()
        if c.coactivity_weight and batch.pairs:
            feature = out.parts["fused"] if c.coactivity_on == "fused" else out.embedding
            terms["coactivity"] = c.coactivity_weight * losses.co_activity(supp[..., :-1], feature, labels, batch.pairs)
        if "reconstruction" in out.parts:
            terms["reconstruction"] = c.reconstruction_weight * out.parts["reconstruction"]
        return terms

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.cas * out.foreground[..., None], "attention": out.foreground}


build = builder(CO2)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut the attention, which all kept classes share; scores are taken on each class's raw column."""
    source = SourceOptions(of="attention", thresholds=linspace(0.1, 0.9, 10), scale="none", score_scale="none")
    return ProposalOptions(sources=(source,), class_threshold=config.class_threshold, topk_ratio=config.test_topk_ratio)


def nms_options(config: Config) -> NmsOptions:
    """Suppress with gaussian soft-NMS, sigma .3; the public code's lengths + 1 are of snippets, ours are seconds."""
    return NmsOptions(kind="gaussian", sigma=NMS_RULES["co2"].sigma)
