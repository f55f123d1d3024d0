"""Actionness: how much a snippet is any action. Source: the public code of ASL and AICL."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .temporal import ConvBlock, conv


class Actionness(nn.Module):
    """Conv k3, ReLU, Conv k1, sigmoid over one stream: [B, D, T] -> [B, T] in (0, 1)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = ConvBlock(inputs, hidden, 3, 0.0, slope=0.0)
        self.logit = conv(hidden, 1, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.logit(self.hidden(x, mask)))[:, 0]
