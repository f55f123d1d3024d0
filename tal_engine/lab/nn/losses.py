"""Losses of weakly supervised localization that several heads share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .temporal import topk_mean


def with_background(labels: Tensor, value: float) -> Tensor:
    """Append a background column of `value` to labels [B, C]: [B, C + 1]."""
    return torch.cat([labels, torch.full_like(labels[:, :1], value)], dim=1)


def bce(p: Tensor, target: Tensor) -> Tensor:
    """Compute the binary cross-entropy of probabilities, entry by entry; NaN where one is NaN.

    torch's own raises on NaN, and on CUDA it ends the process; the training loop reports the term and the videos.
    """
    broken = p.isnan()
    each = functional.binary_cross_entropy(p.masked_fill(broken, 0.5), target, reduction="none")
    return each.masked_fill(broken, float("nan"))


def mil_ce(cas: Tensor, labels: Tensor, ratio: int, mask: Tensor | None = None) -> Tensor:
    """Compute multiple-instance cross-entropy: softmax of the top-k mean against sum-normalised labels.

    cas [B, T, C], labels [B, C] multi-hot. Source: CO2-Net, train loss.
    """
    return video_ce(topk_mean(cas, ratio, mask), labels)


def video_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy of the softmax of video logits [B, C] against labels [B, C], normalised to sum 1."""
    target = labels / (labels.sum(1, keepdim=True) + 1e-4)
    return -(target * functional.log_softmax(logits, dim=1)).sum(1).mean()


def video_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the binary cross-entropy of the softmax of video logits [B, C] against labels of sum 1, mean over B * C.

    BaS-Net, CoLA and UM use it. The mean shrinks with the number of classes, so that sets of many classes need a
    larger weight.
    """
    target = labels / labels.sum(1, keepdim=True).clamp(min=1)
    # Half precision cannot hold probabilities next to 0 and 1, and on CUDA autocast refuses to.
    with torch.autocast(logits.device.type, enabled=False):
        return bce(functional.softmax(logits.float(), dim=1), target).mean()


def generalized_ce(probability: Tensor, positive: Tensor, q: float, mask: Tensor | None = None) -> Tensor:
    """Compute generalized cross-entropy of two classes, averaging each kind of snippet in its video (AICL).

    probability, positive (1 or 0) and mask: [B, T]. (1 - p**q) / q of the right answer's probability p.
    """
    real = torch.ones_like(positive) if mask is None else mask
    total = probability.new_zeros(())
    for right, chosen in ((probability, positive * real), (1 - probability, (1 - positive) * real)):
        loss = (1 - (right + 1e-7) ** q) / q
        total = total + ((loss * chosen).sum(1) / chosen.sum(1).clamp(min=1)).mean()
    return total


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Query [B, D] is closer to positive [B, D] than to each of negatives [B, K, D], by cosine (CoLA)."""
    q, p, n = (functional.normalize(x, dim=-1) for x in (query, positive, negatives))
    logits = torch.cat([(q * p).sum(-1, keepdim=True), (n @ q[..., None])[..., 0]], dim=1) / temperature
    return -functional.log_softmax(logits, dim=1)[:, 0].mean()


def suppressed(cas: Tensor, attention: Tensor, rule: str) -> Tensor:
    """Suppress the background of a CAS: "product" a*x (PVLR Eq. 5) or "shifted" a*(x - m) + m, m the lowest class."""
    a = attention[..., None]
    if rule == "product":
        return a * cas
    low = cas.min(dim=-1, keepdim=True).values
    return a * (cas - low) + low


def mutual(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Let each attention [B, T] learn from the other one (CO2-Net's mutual loss, PVLR's L_oppo)."""
    return 0.5 * mean_of((a - b.detach()) ** 2, mask) + 0.5 * mean_of((b - a.detach()) ** 2, mask)


def mean_of(x: Tensor, mask: Tensor | None) -> Tensor:
    """Average x [B, T] over the real snippets."""
    return x.mean() if mask is None else (x * mask).sum() / mask.sum().clamp(min=1)


def sparsity(attentions: list[Tensor], mask: Tensor | None = None) -> Tensor:
    """Average the attention (L_norm): most of a video is background."""
    return torch.stack([mean_of(a, mask) for a in attentions]).mean()


def guide(attentions: list[Tensor], cas: Tensor, mask: Tensor | None = None) -> Tensor:
    """Penalise attention that is not the opposite of the background class, the last column of cas (L_guide)."""
    background = functional.softmax(cas, dim=-1)[..., -1]
    return torch.stack([mean_of((1 - a - background).abs(), mask) for a in attentions]).mean()


def co_activity(cas: Tensor, feature: Tensor, labels: Tensor, pairs: int, margin: float = 0.5) -> Tensor:
    """Rank an action in two videos closer than action and background (W-TALC, CO2-Net).

    The first 2 * pairs videos of the batch are pairs that share a class. cas [B, T, C] suppressed
    logits, feature [B, T, D], labels [B, C] without background.
    """
    total, count = feature.new_zeros(()), 0
    length = max(feature.shape[1] - 1, 1)
    for i in range(0, 2 * pairs, 2):
        for c in torch.nonzero(labels[i] * labels[i + 1]).flatten().tolist():
            high, low = [], []
            for v in (i, i + 1):
                w = functional.softmax(cas[v, :, c], dim=0)
                high.append(w @ feature[v])
                low.append(((1 - w) / length) @ feature[v])
            near = _cosine_distance(high[0], high[1])
            for far in (_cosine_distance(high[0], low[1]), _cosine_distance(low[0], high[1])):
                total = total + 0.5 * functional.relu(near - far + margin)
            count += 1
    return total / max(count, 1)


def _cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - functional.cosine_similarity(a, b, dim=0)
