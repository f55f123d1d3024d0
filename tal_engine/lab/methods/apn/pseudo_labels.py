"""From points to pseudo-labels: one segment a point, background between them; kept, and made again when old."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .... import ops
from .config import Config

if TYPE_CHECKING:
    pass

Ints = NDArray[np.int64]

#: Length that stands for none.
_TINY = 1e-12


@dataclass(frozen=True)
class Pseudo:
    """Pseudo-labelled instances of a video in the order of time, which do not overlap.

    points [N]: snippets. classes [N, C]: 1 or 0; points of several classes in one snippet are one instance.
    start, end [N]: half open, start <= point < end.
    """

    points: Ints
    classes: NDArray[np.float32]
    start: Ints
    end: Ints

    def background(self, length: int) -> tuple[Ints, Ints]:
        """Start and end of the pseudo-labelled background instances: what lies between the others."""
        low, high = np.append(0, self.end), np.append(self.start, length)
        return low[low < high], high[low < high]


def grow(x: NDArray[np.float32], points: Ints, classes: NDArray[np.float32], c: Config) -> tuple[Ints, Ints]:
    """Start and end of the actions that hold the points: clusters, less the background in them.

    A video of one point is one cluster, of which the mining of background leaves the action.

    Args:
        x: embedded features [T, D].
        points: snippets [N], rising.
        classes: of the points [N, C], 1 or 0.
        c: the config.
    """
    x = comparable(x, c.smoothing, c.centred)
    clusters = ops.constrained_kmedoids(x, points, max_sweeps=c.sweeps)
    if c.profile == "medoid":
        return ops.mine_actions(x, points, clusters, kappa=c.kappa)
    # What the points of a class have in common in the video; each counts alike, however strong its features are.
    unit = x[points] / np.maximum(np.linalg.norm(x[points], axis=1, keepdims=True), _TINY)
    alike = (classes @ classes.T > 0).astype(np.float32)
    return ops.mine_actions(x, points, clusters, anchors=alike @ unit, kappa=c.kappa)


def comparable(x: NDArray[np.float32], window: int, centred: bool) -> NDArray[np.float32]:
    """Smooth features [T, D] over a window and, if centred, subtract the video's mean, so that directions differ.

    One snippet is noisy, and what all snippets of a video have in common does not say where an action is; the paper
    clusters features as they are. The window is odd, and narrower at both ends of the video; a video of one snippet
    stays as it is.
    """
    half, length = window // 2, len(x)
    if length == 1:
        return x
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, 0, np.float64)])
    at = np.arange(length)
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, length)
    off = sums[-1] / length if centred else 0.0
    return np.asarray((sums[high] - sums[low]) / (high - low)[:, None] - off, np.float32)


class Memory:
    """Pseudo-labels of training videos by name: made with the features of a step, good for `Config.refresh` steps.

    A video is looked up by its name, its points and its snippets: where another part of it was sampled, labels are
    made anew. A video without a name is not kept.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        #: [step, check sum, starts, ends] by name.
        self._kept: dict[str, Ints] = {}

    def label(self, name: str, step: int, x: NDArray[np.float32], clicked: NDArray[np.float32], sum_: int) -> Pseudo:
        """Return pseudo-labels of a video, kept or new ones.

        Args:
            name: of the video.
            step: of training.
            x: embedded features [T, D].
            clicked: points [T, C].
            sum_: a check sum of the snippets, `check_sum`.
        """
        points = np.flatnonzero(clicked.any(1))
        kept = self._kept.get(name)
        if kept is None or kept[1] != sum_ or step - kept[0] >= self.config.refresh:
            kept = np.concatenate([[step, sum_], *grow(x, points, clicked[points], self.config)])
            if name:
                self._kept[name] = kept
        start, end = kept[2:].reshape(2, -1)
        return Pseudo(points, clicked[points], start, end)

    def state(self) -> dict[str, Tensor]:
        """Return all of it, to resume from."""
        return {name: torch.from_numpy(kept.copy()) for name, kept in self._kept.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`."""
        self._kept = {name: kept.numpy().copy() for name, kept in state.items()}


def check_sum(snippets: NDArray[np.float32], clicked: NDArray[np.float32]) -> int:
    """Hash a feature of each snippet [T] and the points [T, C]: equal if the same snippets were sampled."""
    return zlib.crc32(snippets.tobytes(), zlib.crc32(clicked.tobytes()))
