"""Easy and hard snippets of a video by its attention (CoLA, PVLR Eq. 13-15)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Mined(NamedTuple):
    """Snippet indices, each [B, k]."""

    easy_action: Tensor
    easy_background: Tensor
    hard_action: Tensor
    hard_background: Tensor


def dilate(b: Tensor, radius: int) -> Tensor:
    """Dilate the binary b [B, T] by a window of `radius` snippets; an even window reaches further after the snippet."""
    left, right = (radius - 1) // 2, radius // 2
    return functional.max_pool1d(functional.pad(b[:, None], (left, right)), radius, 1)[:, 0]


def erode(b: Tensor, radius: int) -> Tensor:
    """Erode the binary b [B, T]; outside of the video counts as background.

    The window is that of dilation, mirrored, as the two are defined and as in the public code's SciPy.
    """
    left, right = radius // 2, (radius - 1) // 2
    return 1 - functional.max_pool1d(functional.pad(1 - b[:, None], (left, right), value=1.0), radius, 1)[:, 0]


def mine(
    attention: Tensor, *, easy: int, hard: int, inner: int, outer: int, dropout: float, mask: Tensor | None = None
) -> Mined:
    """Pick snippets: easy ones by attention, hard ones at the edges of what is above its median.

    Args:
        attention: [B, T].
        easy: how many easy snippets (at most T).
        hard: how many hard snippets (at most T).
        inner: inner radius m of the rings. Hard action = eroded by m but not by M (just inside), hard background =
            dilated by M but not by m (just outside).
        outer: outer radius M > m of the rings. With m > M, as in PVLR's published options, the rings are empty and
            arbitrary snippets come out.
        dropout: share of snippets left out of each easy selection at random.
        mask: [B, T], 0 where a snippet is padding; such a one is taken when there is no other.
    """
    a = attention.detach()
    length = a.shape[1]
    easy, hard = min(easy, length), min(hard, length)
    real = torch.ones_like(a) if mask is None else mask
    middle = a.masked_fill(real == 0, float("nan")).nanmedian(dim=1, keepdim=True).values
    b = (a > middle).float() * real
    keep = (torch.rand_like(a) >= dropout).float() if dropout > 0 else torch.ones_like(a)
    inside = erode(b, inner) - erode(b, outer)
    outside = dilate(b, outer) - dilate(b, inner)
    top = a.max(dim=1, keepdim=True).values

    def pick(value: Tensor, count: int) -> Tensor:
        return value.masked_fill(real == 0, -1.0).topk(count, dim=1).indices

    return Mined(
        easy_action=pick(a * keep, easy),
        easy_background=pick((top - a) * keep, easy),
        hard_action=pick(a * inside, hard),
        hard_background=pick(a * outside, hard),
    )


def gather(x: Tensor, index: Tensor) -> Tensor:
    """Gather rows x[b, index[b, k]] of x [B, T, D] -> [B, k, D]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
