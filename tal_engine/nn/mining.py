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
    """Binary dilation of b [B, T] by a window of `radius` snippets."""
    left, right = (radius - 1) // 2, radius // 2
    return functional.max_pool1d(functional.pad(b[:, None], (left, right)), radius, 1)[:, 0]


def erode(b: Tensor, radius: int) -> Tensor:
    """Binary erosion of b [B, T]; outside of the video counts as background."""
    left, right = (radius - 1) // 2, radius // 2
    return 1 - functional.max_pool1d(functional.pad(1 - b[:, None], (left, right), value=1.0), radius, 1)[:, 0]


def mine(attention: Tensor, *, easy: int, hard: int, inner: int, outer: int, dropout: float) -> Mined:
    """Pick snippets: easy ones by attention, hard ones at the edges of what is above its median.

    Args:
        attention: [B, T].
        easy, hard: how many of each (at most T).
        inner, outer: radii m < M of the rings. Hard action = eroded by m but not by M (just
            inside), hard background = dilated by M but not by m (just outside). With m > M, as in
            PVLR's published options, the rings are empty and arbitrary snippets come out.
        dropout: share of snippets left out of each easy selection at random.
    """
    a = attention.detach()
    length = a.shape[1]
    easy, hard = min(easy, length), min(hard, length)
    b = (a > a.median(dim=1, keepdim=True).values).float()
    keep = (torch.rand_like(a) >= dropout).float() if dropout > 0 else torch.ones_like(a)
    inside = erode(b, inner) - erode(b, outer)
    outside = dilate(b, outer) - dilate(b, inner)
    top = a.max(dim=1, keepdim=True).values
    return Mined(
        easy_action=(a * keep).topk(easy, dim=1).indices,
        easy_background=((top - a) * keep).topk(easy, dim=1).indices,
        hard_action=(a * inside).topk(hard, dim=1).indices,
        hard_background=(a * outside).topk(hard, dim=1).indices,
    )


def gather(x: Tensor, index: Tensor) -> Tensor:
    """Rows x[b, index[b, k]] of x [B, T, D] -> [B, k, D]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
