"""Temporal convolutions that keep padding out of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .winograd import pays, winograd


def mask_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padded snippets of x [B, C, T] where mask [B, T] is 0."""
    return x if mask is None else x * mask[:, None, :]


def mean_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """Average x [B, C, T] over the real snippets -> [B, C, 1]."""
    if mask is None:
        return x.mean(-1, keepdim=True)
    return (x * mask[:, None, :]).sum(-1, keepdim=True) / mask.sum(-1)[:, None, None].clamp(min=1)


def conv(inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Conv1d:
    """Create a Conv1d of the same length, initialised as in CO2-Net and its descendants: kaiming uniform, bias 0."""
    layer = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ConvBlock(nn.Module):
    """Conv1d, LeakyReLU, Dropout over [B, C, T]; padded snippets stay zero for the next layer."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dropout: float, slope: float = 0.2) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, kernel)
        self.dropout = nn.Dropout(dropout)
        self.slope = slope

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.dropout(functional.leaky_relu(self._convolved(x), self.slope))
        return mask_time(x, mask)

    def _convolved(self, x: Tensor) -> Tensor:
        """Convolve by Winograd's products in training, where that is faster; graphs have the plain convolution."""
        weight, bias = self.conv.weight, self.conv.bias
        if self.training and bias is not None and pays(x, weight) and not torch.is_autocast_enabled(x.device.type):
            return winograd(x, weight, bias)
        out: Tensor = self.conv(x)
        return out


def smooth(x: Tensor, share: int = 5) -> Tensor:
    """Average about T // share neighbours in time, counting zeros beyond the ends: [B, T, C] -> [B, T, C].

    The window is odd, (T // share) // 2 * 2 + 1: 13 snippets for T = 60 (CO2-Net on ActivityNet). Computed by
    cumulative sums, so that the window may depend on T in an exported graph.
    """
    length = x.shape[1]
    half = (length // share) // 2
    sums = functional.pad(x.cumsum(1), (0, 0, 1, 0))
    at = torch.arange(length, device=x.device)
    upper, lower = (at + half + 1).clamp(max=length), (at - half).clamp(min=0)
    return (sums[:, upper] - sums[:, lower]) / (2 * half + 1)


def topk_mean(x: Tensor, ratio: int, mask: Tensor | None = None) -> Tensor:
    """Average the max(1, T // ratio) largest values of each class over time: [B, T, C] -> [B, C].

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


def top_weights(x: Tensor, ratio: int, mask: Tensor | None = None) -> Tensor:
    """Return 1 / k at the k = max(1, T // ratio) largest values over time, 0 elsewhere: [B, T, ...].

    The sum over time of weights * y is the mean of y where x is largest. With a mask [B, T] the T of each
    video is its number of real snippets.
    """
    length = x.shape[1]
    if mask is None:
        k = max(1, length // ratio)
        return torch.zeros_like(x).scatter(1, x.topk(k, dim=1).indices, 1.0) / k
    shape = (len(x), -1) + (1,) * (x.ndim - 2)
    rank = x.masked_fill(mask.view(shape) == 0, float("-inf")).argsort(dim=1, descending=True).argsort(dim=1)
    k_each = (mask.sum(1).long() // ratio).clamp(min=1).view(shape)
    return (rank < k_each).to(x.dtype) / k_each


def minmax(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scale x [B, T] from its lowest to its highest real value to [0, 1]; zeros where it is constant or padding."""
    if mask is None:
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        return (x - low) / (high - low).clamp(min=1e-6)
    low = x.masked_fill(mask == 0, float("inf")).amin(1, keepdim=True)
    high = x.masked_fill(mask == 0, float("-inf")).amax(1, keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-6) * mask
