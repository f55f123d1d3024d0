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

from .... import ops
from ...nn.transformer_layers import TemporalTransformer
from .config import Config
from .pseudo_labels import Ints, Pseudo

#: What a cosine is multiplied with at first: about CLIP's (our choice; learned).
_SCALE = 14.0
#: Cosines are kept this far off 1 and -1, so that logarithms stay finite.
_EDGE = 1e-6


def interpolated(x: Tensor, at: Tensor) -> Tensor:
    """Interpolate x [T, D] linearly at fractional snippets [P, N]: [P, N, D].

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
    text of each class the confidence that the proposal is a whole action of it: (1 + cosine) / 2, or the sigmoid of the
    cosine, scaled and shifted (`Config.confidence`). Class probabilities, and confidences of the second kind, begin at
    1 / (C + 1).
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
        if c.confidence == "scaled":
            self.scale = nn.Parameter(torch.tensor(_SCALE))
            self.shift = nn.Parameter(torch.tensor(-math.log(classes)))
        self.kind = c.confidence
        nn.init.constant_(self.down.bias, -math.log(classes))

    def forward(self, features: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        token = self.token.expand(features.shape[0], 1, -1)
        seen = self.norm(self.encoder(torch.cat([token, features], dim=1))[:, 0])
        like = functional.normalize(self.project(seen), dim=-1) @ functional.normalize(text, dim=-1).T
        return self.down(functional.relu(self.up(seen))), self._logits(like)

    def _logits(self, cosine: Tensor) -> Tensor:
        """Convert cosines to logits of confidences."""
        if self.kind == "scaled":
            return cosine * self.scale + self.shift
        cosine = cosine.clamp(_EDGE - 1, 1 - _EDGE)
        return torch.log1p(cosine) - torch.log1p(-cosine)


def score(classes: Tensor, confidences: Tensor, kind: Literal["product", "class", "confidence"]) -> Tensor:
    """Compute scores in 0..1 from logits, all [P, C]; see `Config.score`."""
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
    """Compute the temporal IoU of each [start, end) with the pseudo-instance of number `of`."""
    a, b = pseudo.start[of], pseudo.end[of]
    inside = (np.minimum(end, b) - np.maximum(start, a)).clip(min=0)
    return np.asarray(inside / (end - start + b - a - inside), np.float64)


def candidates(starts: NDArray[np.float64], ends: NDArray[np.float64], pseudo: Pseudo, c: Config) -> Proposals:
    """Pair likely boundaries that hold exactly one point (paper 3.6), from probabilities [T]."""
    start, end, _ = ops.boundary_pairs(starts, ends, peak_share=c.peak_share, d_min=c.d_min, d_max=c.d_max)
    first, after = np.searchsorted(pseudo.points, start), np.searchsorted(pseudo.points, end)
    one = after - first == 1
    start, end, of = start[one], end[one], first[one]
    return Proposals(start, end, of, overlap(start, end, of, pseudo))


def drawn(found: Proposals, pseudo: Pseudo, c: Config) -> Proposals:
    """Draw what a step learns from: good candidates, pseudo-instances if wanted, and as many bad candidates as both.

    One bad candidate at least, where there is any: a video whose candidates are all bad teaches that they are.
    Drawn with torch's generator, whose state a checkpoint has.
    """
    good, bad = (_some(np.flatnonzero(x), n) for x, n in (
        (found.tiou >= c.positive_tiou, c.proposals // 2), (found.tiou < c.positive_tiou, c.proposals),
    ))  # fmt: skip
    own = np.arange(len(pseudo.start) if c.own_instances else 0)
    rows = np.concatenate([good, bad[: max(len(good) + len(own), 1)]])
    return Proposals(
        np.concatenate([pseudo.start[own], found.start[rows]]),
        np.concatenate([pseudo.end[own], found.end[rows]]),
        np.concatenate([own, found.instance[rows]]),
        np.concatenate([np.ones(len(own)), found.tiou[rows]]),
    )


def _some(rows: Ints, most: int) -> Ints:
    """Draw at most `most` of the rows, in random order."""
    return rows[torch.randperm(len(rows))[:most].numpy()]


def pem_loss(classes: Tensor, confidences: Tensor, hot: Tensor, tiou: Tensor, c: Config) -> Tensor:
    """Compute Eq. 3: binary cross-entropies of classes and confidences, summed over classes, mean over proposals.

    A proposal has its point's class if it overlaps its pseudo-instance enough, else none (our choice). The config
    chooses the target of confidences, and whether the terms of negatives are included, which Eq. 3 lacks.

    Args:
        classes: logits [P, C] of classes.
        confidences: logits [P, C] of confidences.
        hot: classes of the proposals' points [P, C].
        tiou: overlap with the pseudo-instance [P].
        c: the config.
    """
    of_class = hot * (tiou[:, None] >= c.positive_tiou)
    terms = []
    for logits, target in (
        (classes, of_class),
        (confidences, hot * tiou[:, None] if c.confidence_target == "tiou" else of_class),
    ):
        if c.pem_terms == "both":
            terms.append(functional.binary_cross_entropy_with_logits(logits, target, reduction="sum"))
        else:
            terms.append(-(target * functional.logsigmoid(logits)).sum())
    return torch.stack(terms).sum() / max(len(hot), 1)
