"""What heads find in all videos: segments, and how each class and any action at all run through each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ...annotations.tables import Table
from ...annotations.truth import AnnotatedVideo
from ...metrics import protocol
from ...records import Features
from ...vocabulary import Vocabulary
from ..methods import Method
from ..training.validation import Found, Videos, activations, detections

#: Most suggestions of a video, and of them so many of each class at least.
MOST, LEAST_OF_CLASS = 60, 3
#: Curves run from this share of their values to that one.
_LOW, _HIGH = 0.02, 0.98


@dataclass(frozen=True)
class Heard:
    """What a head finds: detections of all videos, and curves in [0, 1] by video, [snippets, classes + 1].

    The last column is of any action at all.
    """

    found: Table
    curves: dict[str, NDArray[np.float32]]


def heard(
    method: Method, config: Any, vocabulary: Vocabulary, net: nn.Module, features: Mapping[str, Features]
) -> Heard:
    """Run a head on videos."""
    shown = [AnnotatedVideo(i, "test", f.duration, ()) for i, f in features.items()]
    data = Videos(shown, features, protocol("activitynet"), threads=0)
    out = activations(method, net, config, data)
    found = detections(out, method, config, vocabulary, data)
    count = len(vocabulary)
    if out.cas.size:
        curves = _of_activations(out, count)
    else:
        curves = {i: _of_detections(found, v, f, count) for v, (i, f) in enumerate(features.items())}
    return Heard(found, curves)


def _of_activations(out: Found, count: int) -> dict[str, NDArray[np.float32]]:
    """Scale activations of classes, and what is no background, over all videos."""
    cas = out.cas[:, :count].astype(np.float64)
    action = out.attention if out.attention is not None else cas.max(axis=1)
    x = np.column_stack([cas, np.asarray(action, np.float64).reshape(len(cas), -1)[:, 0]])
    low, high = np.quantile(x, _LOW, axis=0), np.quantile(x, _HIGH, axis=0)
    scaled = np.clip((x - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0).astype(np.float32)
    return {n: scaled[out.offsets[v] : out.offsets[v + 1]] for v, n in enumerate(out.names)}


def _of_detections(found: Table, video: int, features: Features, count: int) -> NDArray[np.float32]:
    """Take the best score of the detections that cover a snippet, for heads without activations."""
    centers = features.timeline.centers(len(features))
    out = np.zeros((len(features), count + 1), np.float32)
    for i in np.flatnonzero(found.video == video):
        inside = (centers >= found.start[i]) & (centers < found.end[i])
        for c in (int(found.label[i]), count):
            out[inside, c] = np.maximum(out[inside, c], np.float32(min(max(found.score[i], 0.0), 1.0)))
    return out


def documents(
    first: Heard, second: Heard | None, probability: NDArray[np.float64], features: Mapping[str, Features]
) -> dict[str, Any]:
    """Make plain data of what heads find, by video.

    Args:
        first: of the head that is measured and exported.
        second: of another one.
        probability: of each detection of the first.
        features: of each video.
    """
    out: dict[str, Any] = {}
    other = {} if second is None else _by_video(second.found, np.clip(second.found.score, 0.0, 1.0))
    mine = _by_video(first.found, probability)
    for i, f in features.items():
        time = f.timeline
        out[i] = {
            "segments": _best(mine.get(i, [])), "other": None if second is None else _best(other.get(i, [])),
            "start": time.start + time.width / 2, "step": time.step,
            "curves": np.round(first.curves[i].T.astype(np.float64), 3).tolist(),
        }  # fmt: skip
    return out


def _by_video(found: Table, score: NDArray[np.float64]) -> dict[str, list[list[Any]]]:
    """List start, end, class and score of each detection, by video."""
    out: dict[str, list[list[Any]]] = {}
    columns = (found.video, found.label, found.start, found.end, score)
    for v, c, start, end, s in zip(*(np.asarray(x).tolist() for x in columns), strict=True):
        out.setdefault(found.videos[v], []).append([round(start, 3), round(end, 3), found.labels[c], round(s, 4)])
    return out


def _best(rows: Sequence[list[Any]]) -> list[list[Any]]:
    """Keep the best detections, some of each class."""
    ranked = sorted(rows, key=lambda r: (-r[3], r[0], r[1]))
    seen: dict[str, int] = {}
    kept = []
    for k, row in enumerate(ranked):
        seen[row[2]] = seen.get(row[2], 0) + 1
        if k < MOST or seen[row[2]] <= LEAST_OF_CLASS:
            kept.append(row)
    return kept
