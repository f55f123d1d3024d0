"""How good proposals are: their features, the proposal evaluation module, what it learns from, and its loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ... import ops
from ...nn.transformer import TemporalTransformer
from .config import Config
from .pseudo import Ints, Pseudo

#: What a cosine is multiplied with at first: about CLIP's (our choice; learned).
_SCALE = 14.0


def interpolated(x: Tensor, at: Tensor) -> Tensor:
    """Features of x [T, D] at fractional snippets [P, N], by straight lines between neighbours: [P, N, D].

    Positions before the first and after the last snippet are moved there.
    """
    last = x.shape[0] - 1
    at = at.clamp(min=0).minimum(torch.full_like(at, 1.0) * last)
    low = at.floor()
    high = (low + 1).minimum(torch.full_like(at, 1.0) * last)
    share = (at - low)[..., None]
    below, above = (x.index_select(0, i.long().flatten()).reshape(*i.shape, -1) for i in (low, high))
    return below * (1 - share) + above * share


class Evaluator(nn.Module):
    """PEM: features of proposals [P, N, D] and texts [C, joint] -> logits of classes and confidences, each [P, C].

    A learned token looks at the N features; what it becomes gives classes by a small MLP, and by its cosine with the
    text of each class the confidence that the proposal is a whole action of it. Confidences are sigmoids of the
    cosine, scaled and shifted (our choice: a cosine has no logarithm). Both begin at 1 / (C + 1).
    """

    def __init__(self, c: Config, classes: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(c.width) * 0.02)
        self.encoder = TemporalTransformer(
            c.width, layers=c.layers, heads=c.heads, dropout=c.dropout, positions=c.points + 1
        )
        self.norm = nn.LayerNorm(c.width)
        self.up, self.down = nn.Linear(c.width, c.width), nn.Linear(c.width, classes)
        self.project = nn.Linear(c.width, c.joint)
        self.scale = nn.Parameter(torch.tensor(_SCALE))
        self.shift = nn.Parameter(torch.tensor(-math.log(classes)))
        nn.init.constant_(self.down.bias, -math.log(classes))

    def forward(self, features: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        token = self.token.expand(features.shape[0], 1, -1)
        seen = self.norm(self.encoder(torch.cat([token, features], dim=1))[:, 0])
        like = functional.normalize(self.project(seen), dim=-1) @ functional.normalize(text, dim=-1).T
        return self.down(functional.relu(self.up(seen))), like * self.scale + self.shift


def score(classes: Tensor, confidences: Tensor, kind: Literal["product", "class", "confidence"]) -> Tensor:
    """Scores in 0..1 from logits, all [P, C]; see `Config.score`."""
    p, s = torch.sigmoid(classes), torch.sigmoid(confidences)
    return {"product": p * s, "class": p, "confidence": s}[kind]


@dataclass(frozen=True)
class Proposals:
    """Proposals of a video to learn from: borders [P], the only instance whose point each holds, overlap with it."""

    start: Ints
    end: Ints
    instance: Ints
    tiou: NDArray[np.float64]


def overlap(start: Ints, end: Ints, of: Ints, pseudo: Pseudo) -> NDArray[np.float64]:
    """Temporal IoU of each [start, end) with the pseudo-instance of number `of`."""
    a, b = pseudo.start[of], pseudo.end[of]
    inside = (np.minimum(end, b) - np.maximum(start, a)).clip(min=0)
    return np.asarray(inside / (end - start + b - a - inside), np.float64)


def candidates(starts: NDArray[np.float64], ends: NDArray[np.float64], pseudo: Pseudo, c: Config) -> Proposals:
    """Pairs of likely boundaries that hold exactly one point (paper 3.6), from probabilities [T]."""
    start, end, _ = ops.boundary_pairs(starts, ends, peak_share=c.peak_share, d_min=c.d_min, d_max=c.d_max)
    first, after = np.searchsorted(pseudo.points, start), np.searchsorted(pseudo.points, end)
    one = after - first == 1
    start, end, of = start[one], end[one], first[one]
    return Proposals(start, end, of, overlap(start, end, of, pseudo))


def drawn(found: Proposals, pseudo: Pseudo, c: Config) -> Proposals:
    """What a step learns from: the pseudo-instances, good candidates, and as many bad ones as both (our choice).

    Drawn with torch's generator, whose state a checkpoint has.
    """
    good, bad = (_some(np.flatnonzero(x), n) for x, n in (
        (found.tiou >= c.positive_tiou, c.proposals // 2), (found.tiou < c.positive_tiou, c.proposals),
    ))  # fmt: skip
    count = len(pseudo.start)
    rows = np.concatenate([good, bad[: len(good) + count]])
    own = np.arange(count)
    return Proposals(
        np.concatenate([pseudo.start, found.start[rows]]),
        np.concatenate([pseudo.end, found.end[rows]]),
        np.concatenate([own, found.instance[rows]]),
        np.concatenate([np.ones(count), found.tiou[rows]]),
    )


def _some(rows: Ints, most: int) -> Ints:
    """At most so many of the rows, in random order."""
    return rows[torch.randperm(len(rows))[:most].numpy()]


def pem_loss(classes: Tensor, confidences: Tensor, hot: Tensor, tiou: Tensor, positive: float) -> Tensor:
    """Eq. 3 with the terms of negatives, which it lacks: without them every proposal would be a good one.

    Sum over classes, mean over proposals. A proposal has its point's class if it overlaps its pseudo-instance enough,
    else none; its confidence in that class is the overlap itself, and in others 0 (our choices).

    Args:
        classes, confidences: logits [P, C].
        hot: classes of the proposals' points [P, C].
        tiou: overlap with the pseudo-instance [P].
        positive: enough of it.
    """
    tiou = tiou[:, None]
    wanted = (hot * (tiou >= positive), hot * tiou)
    terms = [
        functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        for logits, target in zip((classes, confidences), wanted, strict=True)
    ]
    return torch.stack(terms).sum() / max(len(hot), 1)
