"""Pseudo-labels of videos as a trained network gives them, to be scored against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ....errors import UsageError

if TYPE_CHECKING:
    from .network import APN
from .pseudo_labels import grow


@torch.no_grad()
def pseudo_segments(
    net: APN, streams: Sequence[Mapping[str, Tensor]], points: Sequence[Tensor]
) -> list[list[tuple[int, int, int]]]:
    """Compute pseudo-labels of videos from a network's features, to be scored against the truth (paper Table 4).

    Args:
        net: the network.
        streams: of each video, name -> [T, D].
        points: of each video, [T, C].

    Returns:
        For each video (start, end, label id) in snippets, half open; one of each class of a point.

    Raises:
        UsageError: there are not as many points as videos, a video has none, or they are not as long as its features.
    """
    if len(streams) != len(points):
        raise UsageError(f"there are {len(streams)} videos and points of {len(points)}")
    out = []
    for v, (of, clicked) in enumerate(zip(streams, points, strict=True)):
        x = net.embed({s: t[None] for s, t in of.items()})[0].T.float().cpu().numpy()
        hot = clicked.cpu().numpy()
        if len(hot) != len(x) or not hot.any():
            raise UsageError(f"video {v} has {int(hot.sum())} points on {len(hot)} snippets, features of {len(x)}")
        at = np.flatnonzero(hot.any(1))
        segments = zip(at, *grow(x, at, hot[at], net.config), strict=True)
        out.append([(int(s), int(e), int(c)) for p, s, e in segments for c in np.flatnonzero(hot[p])])
    return out
