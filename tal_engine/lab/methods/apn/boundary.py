"""Where actions begin and end: the boundary detection module, its targets and its loss (BSN, BMN)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...nn.temporal import ConvBlock, conv


class Boundaries(nn.Module):
    """Three convolutions (BSN): X [B, D, T] -> logits of starts and ends [B, 2, T]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = ConvBlock(width, hidden, 3, 0.0, slope=0.0)
        self.second = ConvBlock(hidden, hidden, 3, 0.0, slope=0.0)
        self.last = conv(hidden, 2, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: [B, T], 0 where a snippet is padding."""
        out: Tensor = self.last(self.second(self.first(x, mask), mask))
        return out


def targets(
    start: NDArray[np.int64], end: NDArray[np.int64], length: int, region: float, share: float
) -> NDArray[np.float32]:
    """Compute the share of each place in the start and in the end region of some instance, [2, length] in 0..1.

    A place i is the interval [i - .5, i + .5]; a region is centred on its border and max(region, share * duration) wide
    (BMN's intersection over anchor).

    Args:
        start: starts [N] of instances, in snippets.
        end: ends [N] of instances, in snippets.
        length: number of places.
        region: least width of a region, in snippets.
        share: width of a region as a share of the duration.
    """
    half = np.maximum(region, share * (end - start))[:, None] / 2
    place = np.arange(length)[None]
    out = np.zeros((2, length), np.float32)
    for row, border in zip(out, (start[:, None], end[:, None]), strict=True):
        inside = np.minimum(border + half, place + 0.5) - np.maximum(border - half, place - 0.5)
        row[:] = inside.clip(0, 1).max(0, initial=0)
    return out


def balanced_bce(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Compute weighted binary cross-entropy; targets above .5 are positive. Either kind weighs half (BMN).

    logits, target, mask (1 where it counts): of one shape. 0 where nothing counts; a kind that is missing counts 0.
    """
    positive, negative = ((target > 0.5) & (mask > 0)).float(), ((target <= 0.5) & (mask > 0)).float()
    right = functional.logsigmoid(logits) * positive / positive.sum().clamp(min=1)
    wrong = functional.logsigmoid(-logits) * negative / negative.sum().clamp(min=1)
    return -0.5 * torch.sum(right + wrong)
