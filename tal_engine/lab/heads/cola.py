"""CoLA: snippets at the edges of actions are pulled to the sure ones of their kind (CVPR 2021).

Source: zhang-can/CoLA, branches main and anet12. There is no background class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses
from ..nn.mining import gather, mine
from ..nn.temporal import minmax, topk_mean
from .interface import Batch, Classifier, Output, Recipe, WideConfig, WideHead, builder, freeze
from .streams import visual_streams

__all__ = ["RECIPES", "CoLA", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "cola"
uses_text = False
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(WideConfig):
    """CoLA's choices; defaults: its public code on THUMOS14."""

    dropout: float = 0.7
    topk_ratio: int = 5
    test_topk_ratio: int = 5
    class_threshold: float = 0.2
    #: Easy and hard snippets are one in so many; share of snippets left out when easy ones are picked.
    easy_ratio: int = 5
    hard_ratio: int = 20
    mining_dropout: float = 0.6
    #: Radii m and M of the rings around the edges of actions, snippets.
    inner_radius: int = 3
    outer_radius: int = 6
    temperature: float = 0.07
    #: Weight of the classification loss; its mean over classes starves sets of many classes.
    loss_scale: float = 1.0
    contrast_weight: float = 0.01
    #: Thresholds of the CAS are 0, step, .., 9 step (ActivityNet: .015).
    cas_step: float = 0.025


RECIPES = {
    "thumos14": Recipe({}, {"steps": 6000, "batch": 16, "pairs": 0, "length": 750, "learning_rate": 1e-4,
                            "weight_decay": 5e-4}),
    "activitynet": Recipe({"topk_ratio": 10, "test_topk_ratio": 8, "class_threshold": 0.1, "contrast_weight": 0.005,
                           "cas_step": 0.015},
                          {"steps": 100_000, "batch": 256, "pairs": 0, "length": 50, "learning_rate": 1e-4,
                           "weight_decay": 5e-4}),
}  # fmt: skip


class CoLA(WideHead):
    """One convolution, a classifier that gives no negative value, and the sum of classes as actionness."""

    background = False
    config: Config

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        embedded = self.embedded(streams, mask)
        embedding = self.dropout(embedded)
        cas = functional.relu(self.classified(embedding, classify))
        actionness = cas.sum(-1)
        # Attentions are shares, so methods that read one get the actionness from its lowest to its highest value.
        return Output(cas, embedding, minmax(actionness, mask), {"embedded": embedded, "actionness": actionness})

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute action and contrast."""
        c = self.config
        action = losses.video_bce(topk_mean(out.cas, c.topk_ratio, batch.mask), batch.labels)
        terms = {"action": c.loss_scale * action}
        if c.contrast_weight:
            terms["contrast"] = c.contrast_weight * self._contrast(out, batch.mask)
        return terms

    def _contrast(self, out: Output, mask: Tensor | None) -> Tensor:
        """Compute SniCo: the mean hard snippet is close to the mean easy one of its kind, far from the other's."""
        c, x = self.config, out.parts["embedded"]
        length = x.shape[1]
        mined = mine(
            out.parts["actionness"], easy=max(1, length // c.easy_ratio), hard=max(1, length // c.hard_ratio),
            inner=c.inner_radius, outer=c.outer_radius, dropout=c.mining_dropout, mask=mask,
        )  # fmt: skip
        sets = {kind: gather(x, index) for kind, index in mined._asdict().items()}
        near = {kind: chosen.mean(1) for kind, chosen in sets.items()}
        action = losses.info_nce(near["hard_action"], near["easy_action"], sets["easy_background"], c.temperature)
        background = losses.info_nce(
            near["hard_background"], near["easy_background"], sets["easy_action"], c.temperature
        )
        return action + background

    def activations(self, out: Output) -> dict[str, Tensor]:
        return {"cas": out.cas, "attention": out.foreground}


build = builder(CoLA)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut class columns low, the actionness over its whole range; scores are taken on the class columns."""
    cas = SourceOptions(
        of="cas", thresholds=linspace(0.0, 9 * config.cas_step, 10), scale="relu_minmax", score_scale="relu_minmax"
    )
    actionness = SourceOptions(
        of="attention", thresholds=linspace(0.1, 0.9, 33), scale="relu_minmax", score_scale="relu_minmax"
    )
    return ProposalOptions(
        sources=(cas, actionness), class_threshold=config.class_threshold, topk_ratio=config.test_topk_ratio,
        min_length=2, upsample=24, background=False,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard at .6, lengths one second longer than they are (public code)."""
    return NMS_RULES["cola"]
