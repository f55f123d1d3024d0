"""Overlap of snippet-wise probabilities with the truth: how good pseudo-labels are, before anything is suppressed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError


class MaskIou(NamedTuple):
    """IoU in [0, 1] of foreground and of background of one video; NaN where neither mask nor truth has any."""

    foreground: float
    background: float


def mask_iou(prob: NDArray[np.floating], truth: NDArray[np.bool_], threshold: float = 0.5) -> MaskIou:
    """mIoU of one video's snippets, as in Table 3 of CBP + VLP (the definition is ours: methods.md 5.3).

    Foreground: IoU of `prob > threshold` and truth of each class that the video has, averaged over these classes.
    Background: IoU of the snippets where none of these classes is. Other classes are not looked at, since
    pseudo-labels never name them. Average over videos with `numpy.nanmean`.

    Args:
        prob: [T, C] in [0, 1].
        truth: [T, C], whether the class is there.
        threshold: of prob; .5, or delta_h.

    Raises:
        UsageError: shapes differ.
    """
    if prob.shape != truth.shape or prob.ndim != 2:
        raise UsageError(f"prob is {list(prob.shape)}, truth {list(truth.shape)}, must both be [T, C]")
    present = truth.any(axis=0)
    true: NDArray[np.bool_] = truth[:, present]
    found: NDArray[np.bool_] = np.asarray(prob[:, present] > threshold)
    each = [_iou(found[:, c], true[:, c]) for c in range(true.shape[1])]
    foreground = float(np.mean(each)) if each else float("nan")
    return MaskIou(foreground, _iou(found.sum(axis=1) == 0, true.sum(axis=1) == 0))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else float("nan")
