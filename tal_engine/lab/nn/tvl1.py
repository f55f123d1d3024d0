"""TV-L1 optical flow in torch: the same scheme as OpenCV's DualTVL1, for many pairs at once on any device.

Zach, Pock and Bischof 2007, "A duality based approach for realtime TV-L1 optical flow", in the form of Sanchez,
Meinhardt-Llopis and Facciolo 2013 (IPOL), with the details that make OpenCV's result what it is: the median filter
before each round of iterations, bicubic warps whose outside is 0, and a pair that stops when it moves less than
epsilon. Each pair stops on its own, so that a pair's flow does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...errors import UsageError
from ...flow_options import TVL1, Tvl1Parameters
from ...options import SnippetOptions
from ...records import Snippets

if TYPE_CHECKING:
    from ...video.source import VideoSource

#: OpenCV stops its pyramid before a side gets shorter than this.
SMALLEST_SIDE = 16

#: How often the host asks whether all pairs have stopped: asking costs a wait for the device.
ASK_EVERY = 5


@dataclass(frozen=True)
class TorchTvl1:
    """TV-L1 on a device, `batch` pairs at a time: a `video.flow.FlowSource`, and a `PairFlow` by `pairs`."""

    device: str = "cpu"
    batch: int = 64
    name = "torch"

    def __call__(self, snippets: Iterable[Snippets], options: SnippetOptions, video: VideoSource) -> Iterator[Snippets]:
        """Add flow to snippets.

        Raises:
            UsageError: the options ask for another method than TV-L1.
        """
        if options.flow != "tvl1":
            raise UsageError(f"flow is {options.flow!r}, must be 'tvl1' to be computed by torch")
        from ...video.flow import with_flow  # what reads videos; the scheme itself needs none of it

        return with_flow(snippets, options, self.pairs)

    def pairs(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute flow [P, H, W, 2] between grey images [P, H, W]."""
        out = np.empty((*before.shape, 2), np.float32)
        for i in range(0, len(before), self.batch):
            a, b = (torch.from_numpy(x[i : i + self.batch]).to(self.device).float() for x in (before, after))
            out[i : i + self.batch] = tvl1(a, b).permute(0, 2, 3, 1).cpu().numpy()
        return out


@torch.no_grad()
def tvl1(before: Tensor, after: Tensor, parameters: Tvl1Parameters = TVL1) -> Tensor:
    """Compute flow [B, 2, H, W] (x, y), in pixels, from grey images `before` to `after` [B, H, W], float, 0..255.

    Raises:
        UsageError: the two differ in shape, or are not [B, H, W] of at least 3 x 3 pixels.
    """
    if before.shape != after.shape or before.ndim != 3 or min(before.shape[1:]) < 3:
        shapes = f"{list(before.shape)} and {list(after.shape)}"
        raise UsageError(f"pictures are {shapes}, must be two [B, H, W] of one shape, at least 3 x 3 pixels")
    levels = _pyramid(torch.stack([before, after], 1), parameters)
    flow = torch.zeros_like(levels[-1])
    for level in reversed(levels):
        if flow.shape != level.shape:
            h, w = level.shape[2:]
            ratio = (flow.shape[2] / h, flow.shape[3] / w)
            flow = _resize(flow, (h, w), ratio) / parameters.scale_step
        flow = _one_scale(level[:, :1], level[:, 1:], flow, parameters)
    return flow


def _pyramid(pair: Tensor, parameters: Tvl1Parameters) -> list[Tensor]:
    """Build pairs [B, 2, H, W] from fine to coarse."""
    levels = [pair]
    step = parameters.scale_step
    while len(levels) < parameters.scales:
        h, w = (round(side * step) for side in levels[-1].shape[2:])
        if min(h, w) < SMALLEST_SIDE:
            break
        levels.append(_resize(levels[-1], (h, w), (1 / step, 1 / step)))
    return levels


def _resize(x: Tensor, size: tuple[int, int], ratio: tuple[float, float]) -> Tensor:
    """Resize [B, C, H, W] bilinearly; `ratio` is source per target pixels before sizes were rounded."""
    for dim, n, r in ((2, size[0], ratio[0]), (3, size[1], ratio[1])):
        last = x.shape[dim] - 1
        place = ((torch.arange(n, device=x.device, dtype=torch.float64) + 0.5) * r - 0.5).clamp(0, last)
        low = place.floor().clamp(max=max(last - 1, 0)).long()
        weight = (place - low).to(x.dtype).reshape(-1, *[1] * (3 - dim))
        x = torch.lerp(x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=last)), weight)
    return x


def _one_scale(before: Tensor, after: Tensor, flow: Tensor, parameters: Tvl1Parameters) -> Tensor:
    """Refine flow [B, 2, H, W] between pictures [B, 1, H, W] by warps and rounds of iterations."""
    b, _, h, w = before.shape
    enough = parameters.epsilon**2 * h * w
    picture = torch.cat([after, *_centred_gradient(after)], 1)
    dual = flow.new_zeros(b, 2, 2, h, w)  # by x or y of the derivative, then by component of the flow
    flow = flow.clone()
    for _ in range(parameters.warps):
        warped = _warp(picture, flow)
        gradient = warped[:, 1:]
        constant = warped[:, :1] - (gradient * flow).sum(1, keepdim=True) - before
        going = torch.arange(b, device=flow.device)
        for _ in range(parameters.outer):
            work = _Work(_median5(flow[going]), dual[going], gradient[going], constant[going])
            still = work.iterate(parameters, enough)
            flow[going], dual[going] = work.flow, work.dual
            going = going[still]
            if len(going) == 0:
                break
    return flow


class _Work:
    """Pairs that still move, through one round of iterations."""

    def __init__(self, flow: Tensor, dual: Tensor, gradient: Tensor, constant: Tensor) -> None:
        self.flow, self.dual = flow, dual
        self._gradient, self._constant = gradient, constant
        square = (gradient**2).sum(1, keepdim=True)
        self._towards = -1 / square.clamp(min=torch.finfo(square.dtype).eps)
        self._slope = torch.zeros_like(dual)  # its last column or row stays 0

    def iterate(self, parameters: Tvl1Parameters, enough: float) -> Tensor:
        """Run up to `inner` iterations; returns which pairs [B] still move by more than `enough`.

        A pair that has stopped gets steps of size 0: nothing of it changes, and nothing need be copied.
        """
        still = self.flow.new_ones(self.flow.shape[0], dtype=torch.bool)
        for i in range(parameters.inner):
            moved = self._step(still.to(self.flow.dtype).reshape(-1, 1, 1, 1), parameters)
            still = still & (moved > enough)
            if i % ASK_EVERY == ASK_EVERY - 1 and not still.any():
                break
        return still

    def _step(self, on: Tensor, parameters: Tvl1Parameters) -> Tensor:
        """Run one iteration of flow and dual; return the squared change of the flow by pair [B]."""
        limit, tau = parameters.attachment * parameters.theta, parameters.tau / parameters.theta
        u, gradient, dual = self.flow, self._gradient, self.dual
        residual = torch.addcmul(self._constant, gradient[:, :1], u[:, :1]).addcmul_(gradient[:, 1:], u[:, 1:])
        # The three cases of the thresholding step (IPOL eq. 15) are one clamp.
        change = gradient * residual.mul_(self._towards).clamp_(-limit, limit)
        change.add_(_divergence(dual), alpha=parameters.theta)
        u.addcmul_(change, on)
        moved = (change * change).sum((1, 2, 3))
        slope = self._slope
        torch.sub(u[..., 1:], u[..., :-1], out=slope[:, 0, :, :, :-1])
        torch.sub(u[:, :, 1:], u[:, :, :-1], out=slope[:, 1, :, :-1])
        size = torch.hypot(slope[:, 0], slope[:, 1])
        step = on * tau
        dual.addcmul_(slope, step[:, None]).div_(size.mul_(step).add_(1)[:, None])
        return moved


def _divergence(dual: Tensor) -> Tensor:
    """Compute the divergence of [B, 2, 2, H, W] by backward differences, outside 0, as [B, 2, H, W]."""
    out = dual[:, 0] + dual[:, 1]
    out[..., 1:] -= dual[:, 0, :, :, :-1]
    out[:, :, 1:] -= dual[:, 1, :, :-1]
    return out


def _centred_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute central differences along x and y; the border is repeated outside."""
    wide, tall = (functional.pad(x, side, mode="replicate") for side in ((1, 1, 0, 0), (0, 0, 1, 1)))
    return (wide[..., 2:] - wide[..., :-2]) / 2, (tall[:, :, 2:] - tall[:, :, :-2]) / 2


def _warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample the channels of [B, C, H, W] where the flow points; bicubic, 0 outside.

    In double precision: `grid_sample` takes positions scaled to -1..1, and what single precision loses by that (1e-5
    pixels) would move flat regions of frames that do not move at all.
    """
    h, w = x.shape[2:]
    across = flow[:, 0] + torch.arange(w, device=x.device, dtype=x.dtype)
    down = flow[:, 1] + torch.arange(h, device=x.device, dtype=x.dtype)[:, None]
    grid = torch.stack([across.double() * (2 / (w - 1)) - 1, down.double() * (2 / (h - 1)) - 1], -1)
    return functional.grid_sample(x.double(), grid, mode="bicubic", padding_mode="zeros", align_corners=True).float()


def _median5(x: Tensor) -> Tensor:
    """Take the median of the 5 x 5 pixels around each of [B, C, H, W]; the border is repeated.

    Of any 14 among 25 values neither the smallest nor the largest is the median: drop both, take in
    the next value, and so on. Minima and maxima of whole pictures suit every device; a sort by pixel does not.
    """
    h, w = x.shape[2:]
    padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
    near = [padded[:, :, i : i + h, j : j + w] for i in range(5) for j in range(5)]
    held, rest = near[:14], near[14:]
    while rest:
        held = [*_without_extremes(held), rest.pop()]
    return _without_extremes(held)[0]


def _without_extremes(values: list[Tensor]) -> list[Tensor]:
    """Drop the smallest and the largest value, pixel by pixel."""
    smaller = [torch.minimum(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
    larger = [torch.maximum(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
    odd = values[len(smaller) * 2 :]
    kept = _without(smaller + odd, torch.minimum, torch.maximum)
    if odd:  # what is left of the odd one may be the largest too
        larger.append(kept.pop())
    return kept + _without(larger, torch.maximum, torch.minimum)


def _without(
    values: list[Tensor], pick: Callable[[Tensor, Tensor], Tensor], leave: Callable[[Tensor, Tensor], Tensor]
) -> list[Tensor]:
    """Drop the extreme that `pick` picks; what is left after the last input comes last."""
    extreme, kept = values[0], []
    for value in values[1:]:
        kept.append(leave(extreme, value))
        extreme = pick(extreme, value)
    return kept
