"""Per-frame average precision of online action detection, plain and calibrated. Knows scores, not streams.

Protocol "oad-frames", after De Geest et al., "Online Action Detection" (ECCV 2016), which later work (TRN, LSTR,
MiniROAD) follows: all frames of all videos are ranked by their score of a class, and a frame is right if the class goes
on there. AP is the mean precision at the right frames. Calibrated AP (cAP) divides the wrong ones by w, how many wrong
frames there are for each right one, so that classes of other lengths compare. Both are means over the classes that
occur.

What those evaluators leave to numpy's sort is fixed here: frames of equal score come at once, each right one with the
precision after all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..annotations.tables import Table
from ..errors import DataError


@dataclass(frozen=True)
class FrameEvaluation:
    """AP and cAP by class, NaN for classes that never go on; frames: how many were scored."""

    labels: tuple[str, ...]
    ap: NDArray[np.float64]
    calibrated: NDArray[np.float64]
    frames: int

    @property
    def mean_ap(self) -> float:
        """Mean over the classes that occur; NaN if none."""
        return _mean(self.ap)

    @property
    def mean_calibrated(self) -> float:
        """Mean calibrated AP over the classes that occur; NaN if none."""
        return _mean(self.calibrated)


def evaluate_frames(
    truth: Table, scores: Mapping[str, NDArray[np.floating]], moments: Mapping[str, NDArray[np.float64]]
) -> FrameEvaluation:
    """Score what was known of each frame when it was shown.

    Args:
        truth: true instances; its `labels` are the columns of the scores.
        scores: by video, [T, C].
        moments: by video, the seconds of each frame, [T].

    Raises:
        DataError: a video's scores have other sizes, or are NaN.

    >>> import numpy as np
    >>> from tal_engine.annotations.tables import Table
    >>> truth = Table.of([("v", "wave", 1.0, 3.0, 1.0)], source="truth")
    >>> evaluate_frames(truth, {"v": np.array([[0.1], [0.9], [0.8]])}, {"v": np.array([0.5, 1.5, 2.5])}).mean_ap
    1.0
    """
    columns, right = [], []
    for video, values in scores.items():
        at = np.asarray(moments[video], np.float64)
        if values.shape != (len(at), len(truth.labels)) or np.isnan(values).any():
            allowed = f"numbers of shape {[len(at), len(truth.labels)]}"
            raise DataError(f"{video}: scores of frames have shape {list(values.shape)}, must be {allowed}")
        columns.append(np.asarray(values, np.float64))
        right.append(going(truth, video, at))
    empty = np.zeros((0, len(truth.labels)))
    ranked, goes_on = np.concatenate([empty, *columns]), np.concatenate([empty > 0, *right])
    found = [average_precision(ranked[:, c], goes_on[:, c]) for c in range(len(truth.labels))]
    ap, calibrated = (np.array(v) for v in zip(*found, strict=True)) if found else (np.zeros(0), np.zeros(0))
    return FrameEvaluation(truth.labels, ap, calibrated, len(ranked))


def going(truth: Table, video: str, moments: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where each class goes on, [T, C]; an instance holds its start, not its end."""
    out = np.zeros((len(moments), len(truth.labels)), bool)
    number = truth.videos.index(video) if video in truth.videos else -1
    for i in np.flatnonzero(truth.video == number):
        out[:, truth.label[i]] |= (moments >= truth.start[i]) & (moments < truth.end[i])
    return out


def average_precision(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Compute AP and calibrated AP of one class; NaN if nothing is right."""
    positives = int(right.sum())
    if not positives:
        return float("nan"), float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], right[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of frames of equal score
    tp, fp = np.cumsum(hit)[last], np.cumsum(~hit)[last]
    new = np.diff(tp, prepend=0)
    ratio = (len(right) - positives) / positives
    precision = tp / (tp + fp)
    calibrated = tp / (tp + (fp / ratio if ratio else fp))
    return float((new * precision).sum() / positives), float((new * calibrated).sum() / positives)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
