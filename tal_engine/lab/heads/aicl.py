"""ASL and AICL's base: class-agnostic actionness of the streams agrees with the classes (CVPR 2021, AAAI 2023).

Source: AICL's public code, models/model.py and utils/loss.py. Its base with the actionness loss;
the contrast of inconsistent snippets is not part of it. There is no background class.

Class probabilities and the actionness of each stream are averaged, as many terms as there are streams and one more:
three for RGB and flow (public code), two for one stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import UsageError
from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses
from ..nn.actionness import Actionness
from ..nn.temporal import ConvBlock, conv, mask_time, top_weights
from .interface import Batch, Classifier, Head, Output, Recipe, builder, freeze
from .streams import StreamConfig, add_parts, part_name, parts_of, visual_streams

__all__ = ["AICL", "RECIPES", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "aicl"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(StreamConfig):
    """AICL's choices; defaults: its public code on THUMOS14."""

    #: Width of all hidden layers.
    hidden: int = 512
    topk_ratio: int = 8
    class_threshold: float = 0.25
    #: q of the actionness's generalized cross-entropy: .7 AICL, .5 SAL.
    robustness: float = 0.7
    cls_weight: float = 1.0
    actionness_weight: float = 1.0
    #: Suppression: IoU at which a segment yields, decay of its score.
    nms_threshold: float = 0.4
    nms_sigma: float = 0.35

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.robustness <= 1:
            raise UsageError(f"robustness is {self.robustness}, must be in (0, 1]")


RECIPES = {
    "thumos14": Recipe({}, {"steps": 6000, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
    "activitynet": Recipe({"robustness": 0.5, "class_threshold": 0.1, "nms_threshold": 0.7},
                          {"steps": 50_000, "batch": 8, "pairs": 0, "length": 50, "learning_rate": 1e-4,
                           "weight_decay": 5e-4}),
}  # fmt: skip


class AICL(Head):
    """A narrow classifier on all streams, and an actionness of each."""

    background = False

    def __init__(self, config: Config, classes: int, own_classifier: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width = hidden = config.hidden
        self.embed = ConvBlock(config.total, hidden, 3, 0.0, slope=0.0)
        self.classifier = conv(hidden, classes, 1) if own_classifier else None
        add_parts(self, {s: Actionness(width, hidden) for s, width in config.visual.items()})

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        x = {s: mask_time(streams[s].transpose(1, 2), mask) for s in self.config.visual}
        embedding = self.embed(torch.cat(list(x.values()), dim=1), mask).transpose(1, 2)
        cas = self.classified(embedding, classify)
        actionness = {s: part(x[s], mask) for s, part in parts_of(self, x).items()}
        combined = functional.softmax(cas, dim=-1)
        for a in actionness.values():
            combined = combined + a[..., None]
        combined = combined / (1 + len(actionness))
        chosen = top_weights(combined.detach(), self.config.topk_ratio, mask)
        parts = {
            "combined": combined,
            "chosen": chosen,
            "video": (chosen * cas).sum(1),
            **{part_name(s): a for s, a in actionness.items()},
        }
        return Output(cas, embedding, torch.stack(list(actionness.values())).mean(0), parts)

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute cls, and actionness of every stream against the snippets chosen for a class of the video."""
        c, parts = self.config, out.parts
        positive = ((parts["chosen"] > 0) & (batch.labels[:, None] > 0)).any(-1).to(out.cas.dtype)
        actionness = [losses.generalized_ce(parts[part_name(s)], positive, c.robustness, batch.mask) for s in c.visual]
        return {
            "cls": c.cls_weight * losses.video_ce(parts["video"], batch.labels),
            "actionness": c.actionness_weight * torch.stack(actionness).sum(),
        }

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.parts["combined"], "video": functional.softmax(out.parts["video"], dim=1)}


build = builder(AICL)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut the average of class probabilities and actionness over its whole range."""
    source = SourceOptions(of="cas", thresholds=linspace(0.1, 0.9, 9), scale="none", score_scale="none")
    return ProposalOptions(
        sources=(source,), class_threshold=config.class_threshold, topk_ratio=config.topk_ratio, upsample=24,
        background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard, but keep what is suppressed, decayed; lengths one second longer (public code)."""
    rule = NMS_RULES["aicl"]
    return replace(rule, threshold=config.nms_threshold, sigma=config.nms_sigma)
