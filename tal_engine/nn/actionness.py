"""Actionness: how much a snippet is any action, and the loss that tolerates wrong guesses about it.

Source: ASL and AICL (methods.md 3.6). Also what they share with losses on selected snippets: the choice of a class's
largest values as a mask, so that what is averaged may be another sequence than the one that chose.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .temporal import ConvBlock, conv

#: Inside the powers of `gce`, where the gradient of 0 ** q would be infinite (AICL's public code).
_EPS = 1e-7


class Actionness(nn.Module):
    """Conv k3, ReLU, Conv k1, sigmoid over one stream: [B, D, T] -> [B, T] in (0, 1)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = ConvBlock(inputs, hidden, 3, 0.0, slope=0.0)
        self.logit = conv(hidden, 1, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.logit(self.hidden(x, mask)))[:, 0]


def gce(scores: Tensor, positive: Tensor, q: float, mask: Tensor | None = None) -> Tensor:
    """Generalised cross-entropy of scores [B, T] in (0, 1) against positives [B, T] (bool), VLPO Eq. 1.

    Mean over a video's positives plus mean over its other snippets, then over videos; a side without snippets adds
    nothing. q -> 0 is cross-entropy, q = 1 the absolute error.
    """
    real = torch.ones_like(scores) if mask is None else mask
    yes = positive.to(scores.dtype) * real
    no = real - yes

    def side(chosen: Tensor, p: Tensor) -> Tensor:
        return (chosen * (1 - (p + _EPS) ** q) / q).sum(1) / chosen.sum(1).clamp(min=1)

    return (side(yes, scores) + side(no, 1 - scores)).mean()


def largest(x: Tensor, ratio: int, mask: Tensor | None = None) -> Tensor:
    """Which snippets hold the max(1, T // ratio) largest values of each class: [B, T, C] -> bool [B, T, C].

    With a mask [B, T] the T of each video is its number of real snippets. Of equal values the earlier one is chosen,
    so that an exported graph chooses what the network does.
    """
    count: int | Tensor
    if mask is None:
        # A number, not a tensor: that one would be a constant in an exported graph.
        count = max(1, x.shape[1] // ratio)
        least = x.topk(count, dim=1).values[:, -1:]
    else:
        x = x.masked_fill(mask[..., None] == 0, float("-inf"))
        count = (mask.sum(1).long() // ratio).clamp(min=1)[:, None, None]
        least = x.sort(dim=1, descending=True).values.gather(1, (count - 1).expand(-1, 1, x.shape[2]))
    above, equal = x > least, x == least
    room = count - above.sum(1, keepdim=True)
    return above | (equal & (equal.cumsum(1) <= room))


def mean_where(x: Tensor, chosen: Tensor) -> Tensor:
    """Mean over time of the chosen snippets of each class: [B, T, C], bool [B, T, C] -> [B, C]."""
    w = chosen.to(x.dtype)
    return (x * w).sum(1) / w.sum(1).clamp(min=1)
