"""Layers of the pyramid, over [B, D, T]: norms over channels, local self-attention, transformer blocks.

Masks are [B, 1, T], 1 where a snippet is real. A convolution leaves zeros where a snippet is padding; norms with a bias
do not, and the convolution after them sees that. Trained weights know it, so padding is part of what the network
computes; see `network.padded_length`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import Config

#: What a score of something that must not be seen is replaced by: far below all others, finite in half precision.
_UNSEEN = -1e4
#: Snippets of a block of `local_attention` at the coarsest level, and most of them at finer ones, where there are more.
SMALLEST_BLOCK, _LARGEST_BLOCK = 2, 16


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [B, D, T] (weights are [1, D, 1], as published)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, width, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        norm = functional.layer_norm(x.transpose(1, 2), (x.shape[1],), self.weight.flatten(), self.bias.flatten())
        return norm.transpose(1, 2)


class ScaledBranch(nn.Module):
    """A learned scale of each channel of a residual branch, and stochastic depth: [B, D, T] -> [B, D, T].

    Source: LayerScale (Touvron et al. 2021) and stochastic depth (Huang et al. 2016), as published with ActionFormer.
    """

    def __init__(self, width: int, scale: float, drop: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, width, 1), scale))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        if not self.training or self.drop == 0:
            return x
        kept = (torch.rand(len(x), 1, 1, device=x.device) >= self.drop).to(x.dtype)
        return x * kept / (1 - self.drop)


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def local_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, reach: int, size: int) -> Tensor:
    """Compute softmax attention of each snippet to those at most `reach` away: [B, H, T, D] -> [B, H, T, D].

    The sequence is cut into blocks; the queries of a block meet the keys of all blocks within reach in one matrix
    product, and what is too far away is masked. Time and memory are O(T * (reach + size)).

    Args:
        query: [B, H, T, D].
        key: [B, H, T, D].
        value: [B, H, T, D].
        mask: [B, T], 0 where a snippet is padding and must not be seen. Rows of padding give what means nothing.
        reach: half of the window, at least 1.
        size: snippets of a block, a divisor of T.

    Source: ActionFormer ("local self-attention"); the blocks are ours.
    """
    b, heads, _, width = query.shape
    sides = -(-reach // size)
    at = torch.arange(size, device=query.device)
    offset = torch.arange(-sides * size, (sides + 1) * size, device=query.device)[None, :] - at[:, None]
    seen = (_around(mask.reshape(b, 1, -1, 1, size), sides, 4) > 0) & (offset.abs() <= reach)
    keys, values = (_around(x.reshape(b, heads, -1, size, width), sides, 3) for x in (key, value))
    scores = (query.reshape(b, heads, -1, size, width) * width**-0.5) @ keys.transpose(-1, -2)
    weights = scores.masked_fill(~seen, _UNSEEN).softmax(-1)
    return (weights @ values).reshape(query.shape)


def _around(blocks: Tensor, sides: int, axis: int) -> Tensor:
    """Each block, along axis 2, with so many before and after it side by side along an axis; zeros beyond the ends."""
    count = blocks.shape[2]
    more = functional.pad(blocks, (0, 0, 0, 0, sides, sides))
    return torch.cat([more[:, :, i : count + i] for i in range(2 * sides + 1)], axis)


class LocalAttention(nn.Module):
    """Multi-head local self-attention whose queries, keys and values pass a depthwise convolution first.

    The convolution tells positions apart, and with a stride of 2 it halves the resolution (public code).
    """

    def __init__(self, width: int, heads: int, window: int, stride: int, dropout: float, above: int) -> None:
        """above: levels that are coarser than the output's, of which each halves the blocks."""
        super().__init__()
        self.heads, self.reach, self.dropout = heads, window // 2, dropout
        self.size = min(SMALLEST_BLOCK * 2**above, _LARGEST_BLOCK)
        for part in ("query", "key", "value"):
            depthwise = nn.Conv1d(width, width, 3, stride, 1, groups=width, bias=False)
            self.add_module(f"{part}_conv", depthwise)
            self.add_module(f"{part}_norm", ChannelNorm(width))
            self.add_module(part, pointwise(width, width))
        self.mixed = pointwise(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """mask: at the resolution of the output."""
        query, key, value = (self._part(part, x, mask) for part in ("query", "key", "value"))
        out = local_attention(query, key, value, mask[:, 0], self.reach, self.size)
        out = out.transpose(2, 3).reshape(x.shape[0], x.shape[1], mask.shape[-1])
        return functional.dropout(self.mixed(out), self.dropout, self.training) * mask

    def _part(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """Compute queries, keys or values, [B, H, T, D / H]."""
        convolved = self.get_submodule(f"{name}_conv")(x) * mask
        out: Tensor = self.get_submodule(name)(self.get_submodule(f"{name}_norm")(convolved))
        return out.reshape(x.shape[0], self.heads, x.shape[1] // self.heads, mask.shape[-1]).transpose(2, 3)


class Block(nn.Module):
    """Pre-norm transformer block: [B, D, T] -> [B, D, T / stride] (ActionFormer's encoder)."""

    def __init__(self, c: Config, stride: int, above: int) -> None:
        """above: see `LocalAttention`."""
        super().__init__()
        self.stride, self.dropout = stride, c.dropout
        self.before_attention, self.before_mlp = ChannelNorm(c.width), ChannelNorm(c.width)
        self.attention = LocalAttention(c.width, c.heads, c.window, stride, c.dropout, above)
        self.up, self.down = pointwise(c.width, 4 * c.width), pointwise(4 * c.width, c.width)
        self.attention_branch = ScaledBranch(c.width, c.branch_scale, c.drop_path)
        self.mlp_branch = ScaledBranch(c.width, c.branch_scale, c.drop_path)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """mask: at the resolution of the output."""
        attended = self.attention(self.before_attention(x), mask)
        if self.stride > 1:
            # Of a picture of height 1: torch's one-dimensional pooling can only be traced for one length.
            size, step, edge = (1, self.stride + 1), (1, self.stride), (0, (self.stride + 1) // 2)
            x = functional.max_pool2d(x[:, :, None], size, step, edge)[:, :, 0]
        x = x * mask + self.attention_branch(attended)
        hidden = self._drop(functional.gelu(self.up(self.before_mlp(x))))
        out: Tensor = x + self.mlp_branch(self._drop(self.down(hidden)) * mask)
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


class Tower(nn.Module):
    """Convolutions of a head, shared by all levels: each masked, normed, then a ReLU."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(width, width, 3, padding=1, bias=False) for _ in range(layers)])
        self.norms = nn.ModuleList([ChannelNorm(width) for _ in range(layers)])

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x) * mask))
        return x


def pointwise(inputs: int, outputs: int) -> nn.Conv1d:
    """Create a convolution over one snippet whose bias begins at 0."""
    layer = nn.Conv1d(inputs, outputs, 1)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
