"""Similarities of Gaussians to texts by Monte Carlo, without a copy of every sample for the way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Norms below this count as it, as in `functional.normalize`.
_SHORTEST = 1e-12
#: Rows that are worked on at once: few blocks, since threads that have to wait for each other in each cost more than
#: what a smaller one would keep in cache (2 % of a step of PVLR).
_ROWS = 2048


def sampled_cosine(mean: Tensor, deviation: Tensor, text: Tensor, noise: Tensor) -> Tensor:
    """Average over K samples the cosines of z = mean + noise * deviation with texts (PVLR Eq. 8, 10).

    Written out, its derivatives keep K copies of z, of z over its length and more. Here the noise is all that is kept:
    the gradients are sums over the samples of noise times a number a row, which are added up one sample after another.

    Args:
        mean: [..., D].
        deviation: [..., D].
        text: [C, D], of unit length.
        noise: [K, ..., D], standard Gaussian; no gradient reaches it.

    Returns:
        [..., C].

    Example:
        >>> z = torch.tensor([[3.0, 4.0]])
        >>> sampled_cosine(z, torch.zeros(1, 2), torch.eye(2), torch.zeros(5, 1, 2))
        tensor([[0.6000, 0.8000]])
    """
    rows = mean.shape[:-1]
    flat = mean.flatten(0, -2), deviation.flatten(0, -2), text, noise.flatten(1, -2)
    with torch.autocast(mean.device.type, enabled=False):
        kind = torch.promote_types(mean.dtype, torch.float32)
        out: Tensor = _SampledCosine.apply(*(x.to(kind) for x in flat))
    return out.unflatten(0, rows)


class _SampledCosine(torch.autograd.Function):
    """`sampled_cosine` of rows: mean, deviation [N, D], text [C, D], noise [K, N, D] -> [N, C]."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, deviation: Tensor, text: Tensor, noise: Tensor) -> Tensor:
        count, out = len(noise), mean.new_zeros(len(mean), len(text))
        products, norms = mean.new_empty(count, *out.shape), mean.new_empty(count, len(mean))
        for rows in _blocks(len(mean)):
            m, d = mean[rows], deviation[rows]
            for k in range(count):
                z = torch.addcmul(m, noise[k, rows], d)
                norms[k, rows] = torch.linalg.vector_norm(z, dim=-1)
                torch.mm(z, text.T, out=products[k, rows])
        norms.clamp_(min=_SHORTEST)
        for k in range(count):
            out.addcdiv_(products[k], norms[k][:, None])
        ctx.save_for_backward(mean, deviation, text, noise, products, norms)
        return out / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        mean, deviation, text, noise, products, norms = ctx.saved_tensors
        slope = slope / len(noise)
        near = 1 / norms
        # d cos / d z = text / |z| - z * (z . text) / |z|^3; a length that counts as the shortest has no slope.
        back = torch.einsum("knc,nc->kn", products, slope) * near**3 * (norms > _SHORTEST)
        pulled = slope @ text
        to_mean, to_deviation = torch.empty_like(mean), torch.empty_like(mean)
        along = torch.empty_like(mean)
        for rows in _blocks(len(mean)):
            first, second, square = (mean.new_zeros(mean[rows].shape) for _ in range(3))
            for k in range(len(noise)):
                e = noise[k, rows]
                first.addcmul_(e, near[k, rows, None])
                weighed = e * back[k, rows, None]
                second.add_(weighed)
                square.addcmul_(weighed, e)
            m, d, g = mean[rows], deviation[rows], pulled[rows]
            by_near, by_back = near[:, rows].sum(0)[:, None], back[:, rows].sum(0)[:, None]
            to_mean[rows] = g * by_near - m * by_back - d * second
            to_deviation[rows] = g * first - m * second - d * square
            along[rows] = m * by_near + d * first
        return to_mean, to_deviation, slope.T @ along, None


def _blocks(count: int) -> list[slice]:
    return [slice(i, min(i + _ROWS, count)) for i in range(0, count, _ROWS)]
