"""Temporal convolutions that keep padding out of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def mask_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padded snippets of x [B, C, T] where mask [B, T] is 0."""
    return x if mask is None else x * mask[:, None, :]


def mean_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the real snippets of x [B, C, T] -> [B, C, 1]."""
    if mask is None:
        return x.mean(-1, keepdim=True)
    return (x * mask[:, None, :]).sum(-1, keepdim=True) / mask.sum(-1)[:, None, None].clamp(min=1)


class ConvBlock(nn.Module):
    """Conv1d, LeakyReLU, Dropout over [B, C, T]; padded snippets stay zero for the next layer."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dropout: float, slope: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)
        self.slope = slope
        nn.init.kaiming_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.dropout(functional.leaky_relu(self.conv(x), self.slope))
        return mask_time(x, mask)


def topk_mean(x: Tensor, ratio: int, mask: Tensor | None = None) -> Tensor:
    """Mean over time of the max(1, T // ratio) largest values of each class: [B, T, C] -> [B, C].

    With a mask [B, T] the T of each video is its number of real snippets.
    """
    length = x.shape[1]
    if mask is None:
        k = max(1, length // ratio)
        return x.topk(k, dim=1).values.mean(1)
    x = x.masked_fill(mask[..., None] == 0, float("-inf"))
    ranked = x.sort(dim=1, descending=True).values
    k_each = (mask.sum(1).long() // ratio).clamp(min=1)
    chosen = torch.arange(length, device=x.device)[None, :] < k_each[:, None]
    return torch.where(chosen[..., None], ranked, 0.0).sum(1) / k_each[:, None]
