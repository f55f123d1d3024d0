"""Diagonal Gaussians: distances between them, and a mixture as one Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

#: Smallest variance that a distance works with.
FLOOR = 1e-5


def distance(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor, kind: str, per_dimension: bool) -> Tensor:
    """Distance of all pairs of two sets of diagonal Gaussians.

    mean_p, var_p [..., N, D]; mean_q, var_q [..., M, D].

    Args:
        mean_p, var_p, mean_q, var_q: the two sets; variances are floored at `FLOOR`.
        kind: "kl" (both directions averaged, PVLR Eq. 16), "kl_one_way" (KL of p from q),
            "bhattacharyya" or "mahalanobis" (with the mean of the two covariances), PVLR Table 4.
        per_dimension: divide by D, so that the width of the space does not set the scale.

    Returns:
        [..., N, M], 0 for equal distributions.
    """
    mp, mq = mean_p.unsqueeze(-2), mean_q.unsqueeze(-3)
    vp, vq = var_p.clamp(min=FLOOR).unsqueeze(-2), var_q.clamp(min=FLOOR).unsqueeze(-3)
    gap = (mp - mq) ** 2
    if kind == "kl":
        # The two log-determinant terms cancel in the mean of both directions.
        terms = 0.25 * (vp / vq + vq / vp + gap / vq + gap / vp - 2)
    elif kind == "kl_one_way":
        terms = 0.5 * (vp / vq + gap / vq - 1 + torch.log(vq / vp))
    elif kind == "bhattacharyya":
        middle = (vp + vq) / 2
        terms = gap / middle / 8 + 0.5 * torch.log(middle / torch.sqrt(vp * vq))
    elif kind == "mahalanobis":
        terms = gap / ((vp + vq) / 2)
    else:
        raise ValueError(f"unknown distance {kind!r}: must be 'kl', 'kl_one_way', 'bhattacharyya' or 'mahalanobis'")
    return terms.mean(-1) if per_dimension else terms.sum(-1)


def match_probability(d: Tensor) -> Tensor:
    """1 / (1 + d), kept off 0 and 1 so that its logarithms stay finite (PVLR's public code)."""
    return (1 / (1 + d)).clamp(1e-6, 1 - 1e-6)


def mixture(mean: Tensor, var: Tensor, weight: Tensor, normalised: bool) -> tuple[Tensor, Tensor]:
    """The Gaussian with the moments of a weighted mixture over time (PVLR Eq. 18).

    mean, var [B, T, D], weight [B, T] -> two [B, D].

    Args:
        mean, var, weight: components and their weights.
        normalised: make the weights sum to 1. The public code does not, so that its variance can
            become negative; it is floored either way.
    """
    w = weight / weight.sum(1, keepdim=True).clamp(min=1e-6) if normalised else weight
    m = (w[..., None] * mean).sum(1)
    second = (w[..., None] * (mean**2 + var)).sum(1)
    return m, (second - m**2).clamp(min=FLOOR)
