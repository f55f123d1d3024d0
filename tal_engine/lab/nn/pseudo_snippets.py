"""Ternary pseudo-labels, and learning from the confident ones (CBP + VLP, CVPR 2023, Eq. 4-7)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

#: Probabilities are kept this far off 0 and 1, so that logarithms stay finite.
_EDGE = 1e-6


def ternary(probability: Tensor, labels: Tensor, high: float, low: float, mask: Tensor | None = None) -> Tensor:
    """Derive pseudo-labels of one branch for the other one (Eq. 4): [B, T, C], as floats.

    1 (foreground) where the probability is over `high` and the video has the class; 0 (background) where it is under
    `low` or the video does not have the class; -1 (uncertain) elsewhere and on padding.

    Args:
        probability: [B, T, C] in [0, 1].
        labels: [B, C] multi-hot.
        high: delta_h, above which a snippet is foreground.
        low: delta_l, below which a snippet is background.
        mask: [B, T], 0 where a snippet is padding.
    """
    present = labels[:, None, :] > 0
    pseudo = torch.full_like(probability, -1.0)
    pseudo = pseudo.masked_fill((probability > high) & present, 1.0)
    pseudo = pseudo.masked_fill((probability < low) | ~present, 0.0)
    return pseudo if mask is None else pseudo.masked_fill(mask[..., None] == 0, -1.0)


def scaled(probability: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scale each class's probabilities [B, T, C] over the real snippets to 0..1; constant ones become 0.

    Thresholds then cut every video alike, however confident the branch is.
    """
    p = probability
    away = torch.zeros_like(p, dtype=torch.bool) if mask is None else (mask[..., None] == 0).expand_as(p)
    low = p.masked_fill(away, float("inf")).amin(1, keepdim=True)
    high = p.masked_fill(away, float("-inf")).amax(1, keepdim=True)
    return ((p - low) / (high - low).clamp(min=_EDGE)).clamp(0, 1)


def distillation(pseudo: Tensor, probability: Tensor, over: Literal["pairs", "frames"]) -> Tensor:
    """Compute L_kd (Eq. 6): KL divergence of confident pseudo-labels [B, T, C] from probabilities [B, T, C].

    Each snippet and class is a coin; a label of 0 or 1 has no entropy, so that the divergence is the binary
    cross-entropy.

    Args:
        pseudo: ternary labels.
        probability: of the branch that learns.
        over: what O counts. "frames": snippets of which no class is uncertain, and nothing is learned on others.
            "pairs": every confident label, also those of classes that the video lacks where its own class is
            uncertain; under a softmax over classes these alone push its own class up there.
    """
    sure = pseudo >= 0
    if over == "frames":
        sure = sure.all(-1, keepdim=True).expand_as(sure)
    count = sure.sum() if over == "pairs" else sure.all(-1).sum()
    p = probability.clamp(_EDGE, 1 - _EDGE)
    value = -torch.where(pseudo > 0, torch.log(p), torch.log1p(-p))
    return torch.where(sure, value, 0.0).sum() / count.clamp(min=1)


def contrast(
    feature: Tensor,
    pseudo: Tensor,
    temperature: float,
    most: int,
    similarity: Literal["dot", "cosine"] = "dot",
    reduction: Literal["sum", "mean"] = "sum",
) -> Tensor:
    """Compute L_fb (Eq. 7): foreground of a class is close to its like and far from background.

    Anchors: confident foreground snippets of all videos; a snippet of two classes is an anchor of each. Positives:
    the others of the anchor's class. Negatives: snippets that are confidently background for every class. An
    anchor without positives counts for nothing, one without negatives for 0.

    Args:
        feature: [B, T, D].
        pseudo: [B, T, C] ternary labels.
        temperature: tau.
        most: at most this many foreground and this many background snippets, drawn at random.
        similarity: by what features are compared: dot products (paper) or cosines.
        reduction: of the anchors: their sum (paper) or mean. The sum of drawn ones stands for that of all.

    Returns:
        A scalar.
    """
    f, h = feature.flatten(0, 1), pseudo.flatten(0, 1)
    if similarity == "cosine":
        f = functional.normalize(f, dim=-1)
    all_ = torch.nonzero(h > 0)
    at, kind = _some(all_, most).unbind(1)
    back = _some(torch.nonzero((h == 0).all(-1)), most)[:, 0]
    like = (kind[:, None] == kind[None, :]) & (at[:, None] != at[None, :])
    anchors = like.any(1)
    if not len(back) or not anchors.any():
        return f.sum() * 0  # a loss of 0 that still has a gradient
    near = (f[at[anchors]] @ f[at].T / temperature).masked_fill(~like[anchors], float("-inf")).logsumexp(1)
    far = (f[at[anchors]] @ f[back].T / temperature).logsumexp(1)
    losses = functional.softplus(far - near)
    return losses.mean() if reduction == "mean" else losses.sum() * (len(all_) / len(at))


def _some(rows: Tensor, most: int) -> Tensor:
    """Draw at most `most` of the rows, in random order if there are more."""
    return rows if len(rows) <= most else rows[torch.randperm(len(rows), device=rows.device)[:most]]
