"""The fine-grained contrast: starts of a class are alike, its ends are, and background is neither (Eq. 1, 2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .pseudo_labels import Ints, Pseudo

#: Width of a border's region on each side, in durations (paper 3.5).
_SHARE = 0.1
#: Length of a region that stands for none.
_TINY = 1e-12


def contrast(x: Tensor, pseudo: Pseudo, temperature: float, similarity: Literal["dot", "cosine"] = "dot") -> Tensor:
    """Compute L_c of every start and end of a video whose class has at least two instances in it.

    Regions are averaged by how much of each snippet lies in them: most are narrower than one.

    Args:
        x: embedded features [T, D].
        pseudo: the video's pseudo-labels.
        temperature: tau.
        similarity: "dot" (paper), or "cosine": averages scaled to unit length, since products of ReLU features have no
            bound (ours).

    Returns:
        One loss an anchor, [A]; none where no class has two instances or there is no background.
    """
    length = len(x)
    lows, highs = pseudo.background(length)
    alike = torch.from_numpy((pseudo.classes @ pseudo.classes.T > 0) & ~np.eye(len(pseudo.start), dtype=bool))
    anchors = alike.any(1).nonzero()[:, 0]
    if not len(anchors) or not len(lows):
        return x.new_zeros(0)
    alike = alike[anchors].to(x.device)
    reach = _SHARE * (pseudo.end - pseudo.start)
    unit = similarity == "cosine"
    ground = regions(x, lows, highs, unit)
    losses = []
    for border in (pseudo.start, pseudo.end):
        around = regions(x, border - reach, border + reach, unit)
        own = around[anchors.to(x.device)]
        near = (own @ around.T / temperature).masked_fill(~alike, float("-inf")).logsumexp(1)
        far = (own @ ground.T / temperature).logsumexp(1)
        losses.append(functional.softplus(far - near))
    return torch.cat(losses)


def regions(x: Tensor, low: NDArray[np.floating] | Ints, high: NDArray[np.floating] | Ints, unit: bool) -> Tensor:
    """Average x [T, D] over each [low, high), cut at the video's ends: [N, D]; of length 1 if `unit`."""
    place = np.arange(len(x))[None]
    share = (np.minimum(high[:, None], place + 1) - np.maximum(low[:, None], place)).clip(0, 1)
    inside = torch.from_numpy(share).to(x)
    if unit:
        return functional.normalize(inside @ x, dim=-1)
    return inside @ x / inside.sum(1, keepdim=True).clamp(min=_TINY)
