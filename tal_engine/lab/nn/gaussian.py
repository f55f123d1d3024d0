"""Diagonal Gaussians: distances between them, probabilities that they match, and a mixture as one Gaussian."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Added to every variance that a distance works with, as PVLR's public code does.
FLOOR = 1e-5
#: Distances below this are taken for it where the logarithm of a mismatch is wanted: equal Gaussians give no infinity.
_NEAREST = 1e-6


class LogMatch(NamedTuple):
    """Logarithms of the probability that two distributions match, and that they do not; exact next to 0 and 1."""

    same: Tensor
    apart: Tensor


def distance(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor, kind: str, per_dimension: bool) -> Tensor:
    """Compute the distance of all pairs of two sets of diagonal Gaussians.

    Args:
        mean_p: means [..., N, D] of the first set.
        var_p: variances [..., N, D] of the first set; `FLOOR` is added to every variance.
        mean_q: means [..., M, D] of the second set.
        var_q: variances [..., M, D] of the second set.
        kind: "jsd" (Jensen-Shannon divergence in nats, PVLR Eq. 17 and 19), "kl" (of p from q, Eq. 16),
            "bhattacharyya" or "mahalanobis" (with the mean of the two covariances), Table 4. The mixture of two
            Gaussians has no entropy in closed form; "jsd" replaces it by the Gaussian with the mixture's moments,
            which has the largest entropy of all with these moments. So it is never less than the exact divergence,
            and equal to it to second order where the two are close.
        per_dimension: divide by D, so that the width of the space does not set the scale.

    Returns:
        [..., N, M], 0 for equal distributions.
    """
    mp, mq = mean_p.unsqueeze(-2), mean_q.unsqueeze(-3)
    vp, vq = (var_p + FLOOR).unsqueeze(-2), (var_q + FLOOR).unsqueeze(-3)
    gap, middle = (mp - mq) ** 2, (vp + vq) / 2
    if kind == "jsd":
        # Means of KL to the middle one; their quadratic terms and traces add up to the width, which leaves entropies.
        terms = 0.5 * torch.log(middle + gap / 4) - 0.25 * (torch.log(vp) + torch.log(vq))
    elif kind == "kl":
        terms = 0.5 * (vp / vq + gap / vq - 1 + torch.log(vq) - torch.log(vp))
    elif kind == "bhattacharyya":
        terms = gap / middle / 8 + 0.5 * torch.log(middle) - 0.25 * (torch.log(vp) + torch.log(vq))
    elif kind == "mahalanobis":
        terms = gap / middle
    else:
        raise ValueError(f"unknown distance {kind!r}: must be 'jsd', 'kl', 'bhattacharyya' or 'mahalanobis'")
    return (terms.mean(-1) if per_dimension else terms.sum(-1)).clamp(min=0)


def log_match(d: Tensor, kind: str) -> LogMatch:
    """Log probabilities of a match and of none, of distances of that kind.

    A match has probability exp(-d) for "jsd" and 1 / (1 + d) for the others (PVLR's public code). The closed form of
    a Jensen-Shannon divergence is not bounded by log 2 as the exact one is; 1 - exp(-d) is in [0, 1), equals d where
    it is small, and never exceeds the exact divergence in bits.

    Example:
        >>> log_match(torch.tensor(1.0), "kl").same.exp()
        tensor(0.5000)
    """
    far = d.clamp(min=_NEAREST)
    if kind == "jsd":
        return LogMatch(-d, torch.log(-torch.expm1(-far)))
    return LogMatch(-torch.log1p(d), torch.log(far) - torch.log1p(far))


def mean_match(a: LogMatch, b: LogMatch) -> LogMatch:
    """Return the logarithms of the mean of two probabilities."""
    half = torch.log(torch.tensor(0.5, dtype=a.same.dtype, device=a.same.device))
    return LogMatch(*(torch.logaddexp(x, y) + half for x, y in zip(a, b, strict=True)))


def mixture(mean: Tensor, var: Tensor, weight: Tensor, normalised: bool) -> tuple[Tensor, Tensor]:
    """Return the Gaussian with the moments of a weighted mixture over time (PVLR Eq. 18), two [B, D].

    Args:
        mean: means of the components, [B, T, D].
        var: variances of the components, [B, T, D].
        weight: weights of the components, [B, T] in [0, 1].
        normalised: the weights of a video sum to 1, as those of a density do. Otherwise moments are means over time
            of weight times moment (public code): they shrink with the mean weight, but since that is at most 1 no
            variance is negative except by rounding.
    """
    w = weight / weight.sum(1, keepdim=True).clamp(min=1e-6) if normalised else weight / weight.shape[1]
    m = (w[..., None] * mean).sum(1)
    second = (w[..., None] * (mean**2 + var)).sum(1)
    return m, (second - m**2).clamp(min=0)
