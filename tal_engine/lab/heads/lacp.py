"""LACP: points become whole actions by the sequence that fits the activations best (ICCV 2021).

Source: Pilhyeon/Learning-Action-Completeness-from-Points, which is run with one video a forward pass:
every term is a mean over videos. Our choices: sequences are those of the network as it is at each step (the public
code's are up to ten steps old), so that there is nothing to keep between steps, and exact; seeds and sequences are of
the network without dropout; features of all classes of a video are contrasted (public code: of its last one). Videos of
which only the classes are known, or the points of some of them, learn the video term; points that there are teach the
classes that have points. The other terms need all points of a video, and are means over the videos that have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions, linspace
from ..nn import losses, sequence
from ..nn.temporal import mean_time, topk_mean
from .interface import Batch, Classifier, Output, Recipe, WideConfig, WideHead, builder, freeze
from .streams import visual_streams

__all__ = ["LACP", "RECIPES", "Config", "build", "freeze", "nms_options", "proposal_options"]

name = "lacp"
uses_text = False
uses_points = True
mixes = True
training_streams = visual_streams
inference_streams = visual_streams


@dataclass(frozen=True, kw_only=True)
class Config(WideConfig):
    """LACP's choices; defaults: its public code on THUMOS14."""

    dropout: float = 0.7
    topk_ratio: int = 8
    class_threshold: float = 0.5
    #: Snippets whose background score reaches this are background; up to this one belongs to the point beside it.
    background_seed: float = 0.95
    action_seed: float = 0.1
    temperature: float = 0.1
    #: Snippets drawn of each span for the feature contrast, one of each equal part.
    samples: int = 3
    video_weight: float = 1.0
    point_weight: float = 0.5
    background_weight: float = 1.0
    score_weight: float = 1.0
    contrast_weight: float = 1.0


RECIPES = {
    "thumos14": Recipe({}, {"steps": 2000, "batch": 1, "accumulate": 16, "pairs": 0, "sampling": "full",
                            "learning_rate": 1e-4, "weight_decay": 5e-4}),
    # Chosen on another simulated world than benchmarks use (mAP@0.1:0.7 of one seed: 300 steps 88, 800 steps 91).
    "simulator": Recipe({}, {"steps": 800, "batch": 10, "pairs": 0, "sampling": "full", "points": "uniform",
                             "learning_rate": 1e-3, "weight_decay": 5e-4}),
    "demo": Recipe({}, {"steps": 800, "batch": 10, "pairs": 0, "sampling": "full", "points": "uniform",
                        "learning_rate": 1e-3, "weight_decay": 5e-4}),
}  # fmt: skip


class _Guidance(NamedTuple):
    """What points and activations say of a batch.

    background: [B, T], mined seeds. action, rest: [B, T, C], weights whose sum with the activations is the mean
    contrast of a video's action and background spans. found: [B], 1 where a video has spans of both kinds.
    sequences: (video, its sequence of one class).
    """

    background: Tensor
    action: Tensor
    rest: Tensor
    found: Tensor
    sequences: list[tuple[int, sequence.Sequence]]


class LACP(WideHead):
    """One convolution, and a sigmoid classifier with background that suppresses the other classes."""

    config: Config

    def forward(
        self, streams: Mapping[str, Tensor], mask: Tensor | None = None, classify: Classifier | None = None
    ) -> Output:
        embedded = self.embedded(streams, mask)
        embedding = self.dropout(embedded)
        cas = clean = self.classified(embedding, classify)
        if self.training:
            with torch.no_grad():
                clean = self.classified(embedded, classify)
        attention = 1 - torch.sigmoid(cas[..., -1])
        return Output(cas, embedding, attention, {"embedded": embedded, "clean": clean.detach()})

    def objective(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        """Compute video, point, background, score and contrast."""
        c, points, mask = self.config, batch.clicked, batch.mask
        whole = _whole(batch)
        clicked = whole if batch.untimed is None else torch.maximum(whole, points.amax((1, 2)))
        # Half precision cannot hold probabilities next to 0 and 1.
        with torch.autocast(out.cas.device.type, enabled=False):
            p, guide = _suppressed(out.cas), self._guidance(out.parts["clean"], points, mask, whole)
            positive = functional.pad(points, (0, 1))
            negative = functional.pad(torch.zeros_like(points), (0, 1), value=1.0)
            known = None if batch.untimed is None else 1 - functional.pad(batch.untimed, (0, 1))[:, None]
            return {
                "video": c.video_weight * self._video(out.cas, batch.labels, mask),
                "point": c.point_weight * _focal(p, positive, points.amax(-1), clicked, known),
                "background": c.background_weight * _focal(p, negative, guide.background, whole),
                "score": c.score_weight * _completeness(p[..., :-1], guide, whole),
                "contrast": c.contrast_weight * self._contrast(out.parts["embedded"].float(), guide.sequences, whole),
            }

    def _video(self, cas: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """Score classes that a video has by their highest activations, others by all of theirs."""
        p = torch.sigmoid(cas.float())[..., :-1]
        mean = mean_time(p.transpose(1, 2), mask)[..., 0]
        video = torch.where(labels > 0, topk_mean(p, self.config.topk_ratio, mask), mean)
        return losses.bce(video, labels).mean()

    def _guidance(self, cas: Tensor, points: Tensor, mask: Tensor | None, whole: Tensor) -> _Guidance:
        c = self.config
        p, hits = _suppressed(cas).double().cpu().numpy(), (points > 0).cpu().numpy()
        background = np.zeros(p.shape[:2])
        weights = {kind: np.zeros(hits.shape) for kind in (True, False)}
        lengths = [p.shape[1]] * len(p) if mask is None else mask.sum(1).long().tolist()
        sequences = []
        for b, n in enumerate(lengths):
            if not whole[b]:  # what is between its points may be an action
                continue
            hit = hits[b, :n]
            seeds = sequence.mine_seeds(p[b, :n, -1], hit.max(1), c.background_seed, c.action_seed)
            background[b, :n] = seeds.background
            found = _sequences(p[b, :n], hit, seeds)
            for kind, of in weights.items():
                spans = [(k, span) for k, s in found.items() for span in s.spans(kind)]
                for k, span in spans:
                    of[b, :n, k] += sequence.contrast_weights(span, n) / len(spans)
            sequences += [(b, s) for s in found.values()]
        cut = np.zeros(len(p))
        cut[[b for b, _ in sequences]] = 1
        arrays = (background, weights[True], weights[False], cut)
        mined, action, rest, both = (torch.from_numpy(x).to(cas.device, torch.float32) for x in arrays)
        return _Guidance(mined, action, rest, both, sequences)

    def _contrast(self, feature: Tensor, sequences: list[tuple[int, sequence.Sequence]], whole: Tensor) -> Tensor:
        """Pull actions of a class in one video closer to each other than to what is between them."""
        count = [0] * len(feature)
        chosen = [(b, s) for b, s in sequences if len(s.spans(True)) > 1]
        for b, _ in chosen:
            count[b] += 1
        total = feature.sum() * 0  # a loss of 0 that still has a gradient
        for b, s in chosen:
            x = functional.normalize(feature[b, _drawn(s.cuts, self.config.samples)].mean(1), dim=-1)
            near = x @ x.T / self.config.temperature
            near = near.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), float("-inf"))
            action = slice(0 if s.first else 1, None, 2)
            rows = near[action].logsumexp(1) - near[action, action].logsumexp(1)
            total = total + rows.mean() / count[b]
        return total / _count(whole)

    def activations(self, out: Output) -> dict[str, Tensor]:
        video = topk_mean(torch.sigmoid(out.cas)[..., :-1], self.config.topk_ratio)
        return {"cas": _suppressed(out.cas), "attention": out.foreground, "video": video}


def _suppressed(cas: Tensor) -> Tensor:
    """Compute probabilities [B, T, C + 1], those of classes times what background leaves."""
    p = torch.sigmoid(cas.float())
    return torch.cat([p[..., :-1] * (1 - p[..., -1:]), p[..., -1:]], dim=-1)


def _whole(batch: Batch) -> Tensor:
    """Mark the videos whose classes all have their points, [B]."""
    if batch.untimed is None:
        return torch.ones_like(batch.labels[:, 0])
    return 1 - batch.untimed.amax(1)


def _count(videos: Tensor) -> Tensor:
    """Count marked videos; 1 of none, as their sum is 0 then."""
    return videos.sum().clamp(min=1)


def _focal(p: Tensor, target: Tensor, chosen: Tensor, videos: Tensor, known: Tensor | None = None) -> Tensor:
    """Compute focal loss (gamma 2) of p [B, T, C + 1], mean over a video's chosen snippets [B, T], over videos [B].

    known: classes that a target is known of, [B, 1, C + 1]; None: all.
    """
    each = (p - target) ** 2 * losses.bce(p, target)
    each = each.sum(-1) if known is None else (each * known).sum(-1)
    return ((each * chosen).sum(1) / chosen.sum(1).clamp(min=1) * videos).sum() / _count(videos)


def _completeness(p: Tensor, guide: _Guidance, videos: Tensor) -> Tensor:
    """Compute how much contrast the spans of both kinds lack, squared, mean over videos."""
    action = (guide.action * p).sum((1, 2))
    rest = (guide.rest * (1 - p)).sum((1, 2))
    return ((2 * guide.found - action - rest) ** 2 * videos).sum() / _count(videos)


def _sequences(p: NDArray[np.float64], hit: NDArray[np.bool_], seeds: sequence.Seeds) -> dict[int, sequence.Sequence]:
    """Find the best sequence of each class that has points in a video, unless it fills the video."""
    action = hit[seeds.owner] & (seeds.owner >= 0)[:, None]
    any_action = action.max(1)
    found = {}
    for k in np.flatnonzero(hit.any(0)).tolist():
        others = seeds.background | (any_action & ~action[:, k])
        if others.any():
            found[k] = sequence.best_sequence(p[:, k], action[:, k], others)
    return found


def _drawn(cuts: NDArray[np.int64], count: int) -> Tensor:
    """Draw snippets [S, count], one at random from each of `count` equal parts of each span."""
    edges = torch.from_numpy(cuts[:-1, None] + np.diff(cuts)[:, None] * np.arange(count + 1) / count).long()
    low, high = edges[:, :-1], torch.maximum(edges[:, 1:], edges[:, :-1] + 1)
    return low + (torch.rand(low.shape) * (high - low)).long()


build = builder(LACP)


def proposal_options(config: Config) -> ProposalOptions:
    """Cut class columns low, and what is not background high; both are taken as they are."""
    cas = SourceOptions(of="cas", thresholds=linspace(0.0, 0.225, 10), scale="none", score_scale="none")
    agnostic = SourceOptions(of="attention", thresholds=linspace(0.5, 0.7, 9), scale="none", score_scale="none")
    return ProposalOptions(
        sources=(cas, agnostic), class_score="sigmoid", class_threshold=config.class_threshold,
        topk_ratio=config.topk_ratio, upsample=24,
    )  # fmt: skip


def nms_options(config: Config) -> NmsOptions:
    """Suppress hard at .7, lengths one second longer than they are (public code)."""
    return NMS_RULES["basnet"]
