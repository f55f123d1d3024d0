"""Bags of segments around seeds, segments of no class, and the features of a segment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def bags(seeds: Tensor, scales: Sequence[float], shift: float) -> Tensor:
    """Each seed at several lengths, where it is and moved to either side; [N, 2] to [N, 3 * scales, 2].

    >>> bags(torch.tensor([[10.0, 20.0]]), (1.0, 0.5), 0.1)[0].tolist()
    [[10.0, 20.0], [9.0, 19.0], [11.0, 21.0], [12.5, 17.5], [12.0, 17.0], [13.0, 18.0]]
    """
    middle, length = seeds.mean(1), seeds[:, 1] - seeds[:, 0]
    lengths = length[:, None] * length.new_tensor(list(scales))  # [N, S]
    moved = middle[:, None, None] + lengths[..., None] * length.new_tensor([0.0, -shift, shift])
    half = lengths[..., None] / 2
    return torch.stack([moved - half, moved + half], -1).flatten(1, 2)


def tiou(a: Tensor, b: Tensor) -> Tensor:
    """Compute temporal IoU of each of a [N, 2] with each of b [M, 2]: [N, M].

    >>> tiou(torch.tensor([[0.0, 4.0]]), torch.tensor([[2.0, 6.0], [4.0, 5.0]])).tolist()
    [[0.3333333432674408, 0.0]]
    """
    inner = torch.minimum(a[:, None, 1], b[None, :, 1]) - torch.maximum(a[:, None, 0], b[None, :, 0])
    inner = inner.clamp(min=0)
    return inner / ((a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None] - inner)


def negatives(length: int, positives: Tensor, count: int, most: float) -> Tensor:
    """Draw segments that may reach a fifth of the video over its ends; [K, 2], K up to `count`.

    Those that overlap one of `positives` [P, 2] by a tIoU of `most` or more are left out.
    """
    start = -0.2 * length + torch.rand(count) * 1.2 * length
    end = start + torch.rand(count) * (1.2 * length - start)
    drawn = torch.stack([start, end], 1).to(positives)
    return drawn[(tiou(drawn, positives) < most).all(1)]


def pooled(x: Tensor, segments: Tensor, bins: int) -> Tensor:
    """Features of segments: means over equal parts of each, of features interpolated between snippets.

    Args:
        x: features [T, D].
        segments: [P, 2] in snippets; shorter ones than one snippet count as one long. More than a snippet outside of
            the video there is nothing (0).
        bins: parts of a segment.

    Returns:
        [P, bins * D].

    Source: RoIAlign (He et al., Mask R-CNN, ICCV 2017) over time, as the public code does it.
    """
    if not len(segments):
        return x.new_zeros(0, bins * x.shape[1])
    length, parts = len(x), (segments[:, 1] - segments[:, 0]).clamp(min=1.0) / bins
    samples = parts.ceil().clamp(min=1)  # of each part
    index = torch.arange(int(samples.max()), device=x.device)
    at = segments[:, 0, None, None] + parts[:, None, None] * (
        torch.arange(bins, device=x.device)[None, :, None] + (index + 0.5) / samples[:, None, None]
    )
    weight = ((index < samples[:, None, None]) & (at >= -1) & (at <= length)) / samples[:, None, None]
    at = at.clamp(0, length - 1)
    low = at.floor().long()
    share = at - low
    # One product of matrices: where the samples lie differs between segments, features are wide.
    rows = x.new_zeros(len(segments) * bins, length)
    flat = (len(segments) * bins, -1)
    rows.scatter_add_(1, low.reshape(flat), (weight * (1 - share)).reshape(flat))
    rows.scatter_add_(1, (low + 1).clamp(max=length - 1).reshape(flat), (weight * share).reshape(flat))
    return (rows @ x).reshape(len(segments), -1)
