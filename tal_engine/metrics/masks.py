"""Overlap of masks over snippets: how well a class is found in time before anything is cut or suppressed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..records import Segment

Mask = NDArray[np.bool_]


class MaskOverlap(NamedTuple):
    """Mean IoU of foreground and of background, in [0, 1]; NaN where no video has any."""

    foreground: float
    background: float


def truth_mask(instances: Sequence[Segment], classes: Sequence[str], centers: NDArray[np.float64]) -> Mask:
    """Mark [T, C] whether the centre of each snippet [T] (seconds) lies in an instance of each class."""
    out = np.zeros((len(centers), len(classes)), bool)
    column = {name: i for i, name in enumerate(classes)}
    for s in instances:
        out[:, column[s.label]] |= (s.start <= centers) & (centers < s.end)
    return out


def mask_overlap(pairs: Iterable[tuple[Mask, Mask]]) -> MaskOverlap:
    """Compute the mean IoU of (found, true) masks [T, C] of videos.

    Foreground: of each class that a video has, averaged over videos and classes. Background: of the
    snippets without any of these classes, averaged over videos. Classes that a video does not have
    are not looked at, as in CBP+VLP's Table 3 (the definition is ours).
    """
    foreground: list[float] = []
    background: list[float] = []
    for predicted, true in pairs:
        present = true.any(axis=0)
        foreground += [_iou(predicted[:, c], true[:, c]) for c in np.flatnonzero(present)]
        no_found, no_true = (np.asarray(~m[:, present].any(axis=1)) for m in (predicted, true))
        if no_found.any() or no_true.any():
            background.append(_iou(no_found, no_true))
    return MaskOverlap(*(float(np.mean(v)) if v else float("nan") for v in (foreground, background)))


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(int((a | b).sum()), 1))
