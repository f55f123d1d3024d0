"""The terms that PVLR adds to its base head, of tensors alone. Equation numbers are the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ..nn import gaussian
from ..nn.gaussian import LogMatch
from ..nn.mining import gather, mine
from .pvlr_config import Config

#: Mean and variance, each [B, N, D].
Gaussians = tuple[Tensor, Tensor]


def distillation(mean: Tensor, image: Tensor, config: Config) -> Tensor:
    """Compute L_kd (Eq. 12): the mean embedding [B, T, D] matches the image tower's of the middle frame [B, T, D]."""
    match = (functional.cosine_similarity(mean, image, dim=-1) + 1) / 2
    if config.distillation == "log_mean":
        return -torch.log(match.mean().clamp(min=1e-6))
    return -torch.log(match.clamp(min=1e-6)).mean()


def orthogonality(text: Tensor, config: Config) -> Tensor:
    """Compute L_ortho (Eq. 11): texts [C, D] are apart in the joint space."""
    e = functional.normalize(text, dim=-1)
    other = e.detach() if config.ortho_detached else e
    gap = ((e @ other.T - torch.eye(len(e), device=e.device, dtype=e.dtype)) ** 2).sum()
    return gap if config.ortho_squared else torch.sqrt(gap + 1e-12)


def snippets(mean: Tensor, variance: Tensor, attention: Tensor, config: Config) -> dict[str, Gaussians]:
    """Select the easy and hard snippets of each kind (Eq. 13-15) of mean, variance [B, T, D] by attention [B, T]."""
    c = config
    found = mine(
        attention, easy=c.easy, hard=c.hard, inner=c.inner_radius, outer=c.outer_radius, dropout=c.mining_dropout
    )
    return {k: (gather(mean, i), gather(variance, i)) for k, i in found._asdict().items()}


def intra(sets: Mapping[str, Gaussians], config: Config) -> tuple[Tensor, Tensor]:
    """Pull hard snippets to the easy ones of their kind and away from those of the other kind (Eq. 17).

    sets: those of `snippets`. Returns the term of actions and that of background.
    """
    c = config

    def near_and_far(hard: str, same: str, other: str) -> Tensor:
        near, far = (_match(*sets[hard], *sets[easy], c) for easy in (same, other))
        return -(_over_pairs(near.same, c) + _over_pairs(far.apart, c)).mean()

    return (
        near_and_far("hard_action", "easy_action", "easy_background"),
        near_and_far("hard_background", "easy_background", "easy_action"),
    )


def inter(mean: Tensor, variance: Tensor, attention: Tensor, labels: Tensor, config: Config) -> Tensor:
    """Match videos that share a class, and separate others (Eq. 18, 19); mean, variance [B, T, D], labels [B, C].

    Eq. 19 compares with 1 for the same class, where the p(N) of Eq. 17 is 0 for a match: what it compares is 1 - p(N).
    """
    c = config
    m, v = gaussian.mixture(mean, variance, attention, c.mixture_normalised)
    # Both orders of a pair are in the sum, so no distance is made symmetric here.
    found = gaussian.log_match(gaussian.distance(m, v, m, v, c.distance, c.per_dimension), c.distance)
    same = labels @ labels.T > 0
    if c.inter_mean == "pairs":
        return -torch.where(same, found.same, found.apart).mean()
    kinds = (found.same[same], found.apart[~same])
    return -torch.stack([x.mean() for x in kinds if x.numel()]).sum()


def _match(mean_p: Tensor, var_p: Tensor, mean_q: Tensor, var_q: Tensor, config: Config) -> LogMatch:
    """Compare all pairs of two sets [B, N, D] and [B, M, D]: [B, N, M]."""
    c = config
    found = gaussian.log_match(gaussian.distance(mean_p, var_p, mean_q, var_q, c.distance, c.per_dimension), c.distance)
    if c.distance != "kl" or not c.symmetric:
        return found
    back = gaussian.log_match(gaussian.distance(mean_q, var_q, mean_p, var_p, "kl", c.per_dimension), "kl")
    return gaussian.mean_match(found, LogMatch(*(x.transpose(-1, -2) for x in back)))


def _over_pairs(log_probability: Tensor, config: Config) -> Tensor:
    """Reduce [B, N, M] to [B]: mean of the logarithms, or logarithm of the mean."""
    if config.intra_mean == "mean_log":
        return log_probability.mean((1, 2))
    pairs = log_probability.shape[1] * log_probability.shape[2]
    return torch.logsumexp(log_probability, dim=(1, 2)) - math.log(pairs)
