"""Convolutions over time, three snippets wide, with half of the multiplications.

Winograd's minimal filtering F(4, 3) gives four outputs of a filter of three taps by six products instead of twelve
(Lavin and Gray, CVPR 2016, section 4), in both directions: the gradients of the input and of the filter are made of
products of the same six. Sums are of the same length as those of a plain convolution; their rounding errors are about
five times as large, 1e-6 of the result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: Outputs of a tile, and the inputs that they are made of.
_OUT, _IN = 4, 6
#: Six numbers of six inputs, of three taps; four outputs of the six products (points 0, 1, -1, 2, -2, infinity).
_INPUT = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
          (0, 4, 0, -5, 0, 1))  # fmt: skip
_FILTER = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6),
           (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))  # fmt: skip
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
#: Fewer channels or snippets cost more in tiles than they save in products.
_CHANNELS, _SNIPPETS = 256, 32


def pays(x: Tensor, weight: Tensor) -> bool:
    """Return whether x [B, C, T] and a filter [O, C, 3] are large enough for `winograd` to be faster.

    For CPUs only; GPU libraries choose by themselves.
    """
    large = min(*weight.shape[:2]) >= _CHANNELS and x.shape[-1] >= _SNIPPETS and weight.shape[-1] == 3
    return large and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32


def winograd(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve x [B, C, T] with weight [O, C, 3], padded with a zero at either end, and add bias [O]: [B, O, T].

    Example:
        >>> x, weight = torch.arange(6.0).reshape(1, 1, 6), torch.tensor([[[1.0, 0.0, -1.0]]])
        >>> winograd(x, weight, torch.zeros(1))
        tensor([[[-1., -2., -2., -2., -2.,  4.]]])
    """
    out: Tensor = _Winograd.apply(x, weight, bias)
    return out


class _Winograd(torch.autograd.Function):
    """Each of the six products is a matrix product of all channels over all tiles of all videos."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        (videos, channels, length), outputs = x.shape, len(weight)
        tiles = -(-length // _OUT)
        padded = functional.pad(x, (1, tiles * _OUT + 1 - length))
        pieces = padded.unfold(-1, _IN, _OUT).permute(3, 1, 0, 2).reshape(_IN, -1)
        seen = (_table(_INPUT, x) @ pieces).reshape(_IN, channels, videos * tiles)
        taps = (_table(_FILTER, x) @ weight.reshape(-1, 3).T).reshape(_IN, outputs, channels)
        ctx.save_for_backward(seen, taps)
        ctx.shape = x.shape
        made = _table(_OUTPUT, x) @ torch.bmm(taps, seen).reshape(_IN, -1)
        out = made.reshape(_OUT, outputs, videos, tiles).permute(2, 1, 3, 0).reshape(videos, outputs, -1)
        return out[..., :length].add_(bias[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        seen, taps = ctx.saved_tensors
        (videos, channels, length), outputs = ctx.shape, taps.shape[1]
        tiles = -(-length // _OUT)
        whole = functional.pad(slope, (0, tiles * _OUT - length))
        pieces = whole.reshape(videos, outputs, tiles, _OUT).permute(3, 1, 0, 2).reshape(_OUT, -1)
        products = (_table(_OUTPUT, seen).T @ pieces).reshape(_IN, outputs, videos * tiles)
        to_taps = torch.bmm(products, seen.transpose(1, 2)).reshape(_IN, -1)
        to_weight = (to_taps.T @ _table(_FILTER, seen)).reshape(outputs, channels, 3)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_seen = torch.bmm(taps.transpose(1, 2), products).reshape(_IN, -1)
            to_pieces = (_table(_INPUT, seen).T @ to_seen).reshape(_IN, channels, videos, tiles).permute(2, 1, 3, 0)
            # The last two inputs of a tile are the first two of the next.
            to_padded = seen.new_zeros(videos, channels, tiles + 1, _OUT)
            to_padded[:, :, :tiles] = to_pieces[..., :_OUT]
            to_padded[:, :, 1:, : _IN - _OUT] += to_pieces[..., _OUT:]
            to_x = to_padded.flatten(2)[..., 1 : length + 1]
        return to_x, to_weight, slope.sum((0, 2))


def _table(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=like.dtype, device=like.device)
