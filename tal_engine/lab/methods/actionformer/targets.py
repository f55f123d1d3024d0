"""Which moments of the pyramid learn which segments, and how far away their borders are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

#: Segments whose lengths differ by no more than this, in snippets, count as equally long (published).
_SAME = 1e-3


class Moments(NamedTuple):
    """Moments of all levels, one level after the other.

    at [P]: snippets. stride [P]: snippets to the next moment of the level. low, high [P]: the level's range.
    """

    at: Tensor
    stride: Tensor
    low: Tensor
    high: Tensor


def moments(
    length: int, strides: Sequence[int], ranges: Sequence[tuple[float, float]], like: Tensor | None = None
) -> Moments:
    """List the moments of a sequence of `length` snippets, a multiple of every stride.

    >>> moments(4, (1, 2), ((0, 4), (4, 9))).at.tolist()
    [0.0, 1.0, 2.0, 3.0, 0.0, 2.0]
    """
    device = None if like is None else like.device
    parts = []
    for stride, (low, high) in zip(strides, ranges, strict=True):
        at = torch.arange(0, length, stride, dtype=torch.float32, device=device)
        parts.append([at, *(torch.full_like(at, v) for v in (stride, low, high))])
    return Moments(*(torch.cat(column) for column in zip(*parts, strict=True)))


def assigned(segments: Tensor, classes: int, of: Moments, radius: float) -> tuple[Tensor, Tensor]:
    """Assign to each moment what it learns of a video.

    A moment learns a segment if it lies inside it, at most `radius` time steps of its level from the middle, and the
    farther border is within the level's range. Of several segments the shortest counts; where lengths are equal, the
    classes of all and the borders of the first.

    Args:
        segments: [N, 3]: start and end in snippets, label id; N may be 0.
        classes: how many there are.
        of: the moments.
        radius: of centre sampling, 0 for none.

    Returns:
        Class labels [P, C], all 0 where a moment learns none; distances to start and end [P, 2], in time steps of the
        level, 0 there.

    Source: ActionFormer ("center sampling") and its public code; FCOS (Tian et al., ICCV 2019), section 3.
    """
    points = len(of.at)
    labels = torch.zeros(points, classes, device=of.at.device)
    if not len(segments):
        return labels, torch.zeros(points, 2, device=of.at.device)
    start, end, label = (segments.to(of.at)[None, :, i] for i in range(3))
    at = of.at[:, None]
    left, right = at - start, end - at  # [P, N]
    low, high = start, end
    if radius > 0:
        middle, reach = (start + end) / 2, radius * of.stride[:, None]
        low, high = torch.maximum(middle - reach, start), torch.minimum(middle + reach, end)
    inside = (at > low) & (at < high)
    farther = torch.maximum(left, right)
    learned = inside & (farther >= of.low[:, None]) & (farther <= of.high[:, None])
    lengths = (end - start).expand(points, -1).masked_fill(~learned, torch.inf)
    shortest, which = lengths.min(1)
    equal = learned & (lengths <= shortest[:, None] + _SAME)
    labels = (equal.float() @ functional.one_hot(label[0].long(), classes).float()).clamp(max=1)
    row = torch.arange(points, device=of.at.device)
    distances = torch.stack([left[row, which], right[row, which]], -1) / of.stride[:, None]
    return labels, distances * learned.any(1, keepdim=True)
