"""STPN in NumPy, and the real video that its published head is run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline

VIDEO = "v_GGSY1Qvo990"
SECONDS = 18.16
#: What is done in it, and from when to when.
ACTION = ("CleanAndJerk", 5.82, 16.20)
#: The stacks that its features are stored for: STACK_STEP_FPS; at the video's own rate 64 frames, one after the other.
SETTINGS = ("24_12_15", "24_24_25", "None_None_None")


def weights(shared: Path, stream: str) -> Path:
    """The published file of a stream."""
    return shared / "heads" / "stpn_thumos14" / f"stpn_thumos14_{stream}.npz"


def stored(shared: Path, setting: str, streams: Sequence[str]) -> Features:
    """Features of the real video; a window ends at each timestamp."""
    found = {}
    for stream in streams:
        with np.load(shared / "features" / VIDEO / f"i3d_{VIDEO}_None_raft_{setting}_{stream}.npz") as data:
            found[stream], ends = data["features"], data["timestamps_ms"] / 1000
    step = float(np.diff(ends).mean())
    width = step if "None" in setting else 24 / float(setting.split("_")[2])
    return Features(found, Timeline(max(float(ends[0]) - width, 0.0), step, width), SECONDS)


def by_hand(shared: Path, streams: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """(weighted activations, attention, video probabilities); of two streams the means, and the surer probability."""
    weighted, attentions, video = [], [], []
    for stream, x in streams.items():
        with np.load(weights(shared, stream)) as archive:
            w = dict(archive)
        hidden = np.maximum(x @ w["Attention.dense.kernel"] + w["Attention.dense.bias"], 0)
        attention = _sigmoid(hidden @ w["Attention.dense_1.kernel"] + w["Attention.dense_1.bias"])
        kernel, bias = w["Classification.class_weight.kernel"], w["Classification.class_weight.bias"]
        attentions.append(attention[:, 0])
        weighted.append(attention * _sigmoid(x @ kernel))
        video.append(_sigmoid((attention * x).mean(0) @ kernel + bias))
    return np.mean(weighted, axis=0), np.mean(attentions, axis=0), np.max(video, axis=0)


def overlap(segment: Segment, start: float = ACTION[1], end: float = ACTION[2]) -> float:
    """The tIoU of a segment with the action."""
    inside = max(0.0, min(segment.end, end) - max(segment.start, start))
    return inside / (max(segment.end, end) - min(segment.start, start))


def _sigmoid(v: Any) -> Any:
    return 1 / (1 + np.exp(-v))
