"""PseR: LACP, the ranking of bags and the detector, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....errors import UsageError
from ....vocabulary import Vocabulary
from ...heads import lacp
from ...heads.interface import Batch
from ...nn.text import TextEncoder
from .. import actionformer
from ..protocol import View, load_method
from .bags import bags, negatives, pooled, tiou
from .config import Config
from .ranking import Overlap, Ranking, bag_loss, merged, negative_loss
from .seeds import seeds


class PseR(nn.Module):
    """The three networks. What one of them learned is not changed by those after it."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = c = config
        self.seeding: lacp.LACP = lacp.build(c.seed_config, vocabulary)
        width = c.bins * self.seeding.width
        self.ranking = Ranking(width, c.ranking_width, len(vocabulary))
        self.overlap = Overlap(width, c.ranking_width)
        self.detector = actionformer.build(c, vocabulary, None)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Compute the terms of the step's phase; the other networks get no gradient.

        Raises:
            UsageError: the batch has no points.
        """
        c, clicked = self.config, batch.clicked
        if batch.mask is not None and bool((clicked.any(-1) & (batch.mask == 0)).any()):
            raise UsageError("a point lies on a snippet that is padding")
        if step < c.seed_steps:
            return self.seeding.loss(batch, step)
        found = self._seeded(batch)
        if step < c.seed_steps + c.refine_steps:
            return self._refining(found)
        segments = tuple(self._segments(*of).float() for of in found)
        return self.detector.loss(replace(batch, segments=segments, untimed=None), step)

    @torch.no_grad()
    def pseudo_segments(self, batch: Batch, refined: bool = True) -> list[Tensor]:
        """Return what the detector learns from, of each video [N, 3], as `Batch.segments` has them; or the seeds."""
        return [self._segments(*of, refined).float() for of in self._seeded(batch)]

    @torch.no_grad()
    def _seeded(self, batch: Batch) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Embedding [T, D], seeds [N, 2] and their label ids [N] of each video; no dropout, padding left out."""
        was = self.seeding.training
        self.seeding.eval()
        out = self.seeding(batch.streams, batch.mask)
        said = self.seeding.activations(out)
        self.seeding.train(was)
        options, found = lacp.proposal_options(self.config.seed_config), []
        real = torch.ones_like(batch.clicked[..., 0]) if batch.mask is None else batch.mask
        for v, n in enumerate(real.sum(1).long().tolist()):
            cas, attention, clicked = (
                x[v, :n].float().cpu().numpy() for x in (said["cas"], said["attention"], batch.clicked)
            )
            at, labels = seeds(cas, attention, clicked, options, self.config.reach)
            x = out.parts["embedded"][v, :n].float()
            found.append((x, torch.from_numpy(at).to(x), torch.from_numpy(labels).to(x.device)))
        return found

    def _refining(self, found: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Tensor]:
        """Compute "rank", "tiou" and "negative", means over videos."""
        c, terms = self.config, dict[str, list[Tensor]](rank=[], tiou=[], negative=[])
        for x, at, labels in found:
            if not len(at):
                continue
            with torch.autocast(x.device.type, enabled=False):  # probabilities next to 0 and 1
                around, classes, instances, overlap = self._looked(x, at)
                others = negatives(len(x), around.flatten(0, 1), c.negatives, c.negative_tiou)
                wanted = torch.stack([tiou(s[None], b)[0] for s, b in zip(at, around, strict=True)])
                terms["rank"].append(bag_loss(classes, instances, labels))
                terms["tiou"].append(c.tiou_weight * functional.smooth_l1_loss(overlap, wanted))
                apart = self.ranking(pooled(x, others, c.bins))[0]
                terms["negative"].append(c.negative_weight * negative_loss(apart, c.negatives))
        nothing = sum((p.sum() * 0 for p in (*self.ranking.parameters(), *self.overlap.parameters())), torch.zeros(()))
        return {k: torch.stack(v).mean() if v else nothing for k, v in terms.items()}

    def _looked(self, x: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Bags [N, bag, 2] around seeds, and what is said of them: logits [N, bag, C] twice, tIoU [N, bag]."""
        c = self.config
        around = bags(at, c.scales, c.shift)
        features = pooled(x, around.flatten(0, 1), c.bins).unflatten(0, (len(at), -1))
        return around, *self.ranking(features), self.overlap(features)

    @torch.no_grad()
    def _segments(self, x: Tensor, at: Tensor, labels: Tensor, refined: bool = True) -> Tensor:
        """Refined seeds [N, 3] in the detector's units, where snippet t is at t and not between t and t + 1."""
        c = self.config
        if refined and c.refine_steps and len(at):
            at = merged(*self._looked(x, at), labels, c.best)
        return torch.cat([at.clamp(0, len(x)) - 0.5, labels[:, None].to(at)], 1)

    def training_state(self) -> dict[str, Tensor]:
        """See `protocol.Remembering`."""
        return self.detector.training_state()

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """See `protocol.Remembering`."""
        self.detector.load_training_state(state)


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> PseR:
    """Build the networks; see `protocol.Method.build`. They read no texts."""
    return PseR(config, vocabulary)


def _own(net: nn.Module) -> PseR:
    if not isinstance(net, PseR):
        raise TypeError(f"cannot freeze a {type(net).__name__} as PseR")
    return net


def freeze(net: nn.Module) -> nn.Module:
    """Wrap the detector alone; see `protocol.Method.freeze`."""
    return actionformer.freeze(_own(net).detector)


def views(net: nn.Module) -> dict[str, View]:
    """Return LACP, which gave the seeds, to be scored in training; see `protocol.views_of`."""
    own = _own(net)
    return {"seeds": View(lacp.freeze(own.seeding), load_method("lacp"), own.config.seed_config)}
