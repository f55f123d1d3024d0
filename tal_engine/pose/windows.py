"""Poses on the regular grid of snippets, whatever the frame rate they come at; then features of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..limits import Limits
from ..options import SnippetOptions, timeline_of
from ..records import Features
from ..video.grid import slots_of
from .features import POSE_SNIPPETS, SEEN, STREAM, pose_record, snippet_features
from .skeleton import Poses

#: Poses up to so many seconds apart are joined by a line; a longer gap is a time without the person.
LONGEST_GAP_S = 0.5
#: Snippets whose features are computed at a time.
_BATCH = 4096


def on_grid(
    poses: Poses, slots: NDArray[np.int64], options: SnippetOptions = POSE_SNIPPETS
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the pose at the centre of each slot, on a line between the poses before and after it.

    A joint that only one of the two shows is where that one shows it. Where the person is not seen for more than
    `LONGEST_GAP_S`, and before the first and after the last pose by more than their distance, nothing is visible.

    Args:
        poses: of one person.
        slots: numbers of the slots; slot n is [n, n + 1) / fps, any shape.
        options: give the slots a second.

    Returns:
        joints [..., 15, 3] and visibility [..., 15].
    """
    at = (slots + 0.5) / options.fps
    if not len(poses):
        return np.zeros((*at.shape, *poses.joints.shape[1:]), np.float32), np.zeros((*at.shape, 15), np.float32)
    hold = float(np.median(np.diff(poses.times))) if len(poses) > 1 else 0.0
    hold = min(max(hold, 1 / options.fps), LONGEST_GAP_S)
    after = np.searchsorted(poses.times, at).clip(0, len(poses) - 1)
    before = np.where(poses.times[after] > at, after - 1, after).clip(0)
    first, last = poses.times[before], poses.times[after]
    gap = last - first
    near = np.where(gap > LONGEST_GAP_S, np.minimum(at - first, last - at) <= hold / 2, True)
    near &= (at >= poses.times[0] - hold) & (at <= poses.times[-1] + hold)
    share = np.where(gap > 0, (at - first) / np.where(gap > 0, gap, 1), 0.0).clip(0, 1)
    share = np.where(gap > LONGEST_GAP_S, np.round(share), share).astype(np.float32)[..., None]
    a, b = poses.visibility[before], poses.visibility[after]
    visible = (a * (1 - share) + b * share) * near[..., None]
    weight_a, weight_b = (1 - share) * (a >= SEEN), share * (b >= SEEN)
    total = np.maximum(weight_a + weight_b, 1e-9)
    joints = (poses.joints[before] * weight_a[..., None] + poses.joints[after] * weight_b[..., None]) / total[..., None]
    return joints.astype(np.float32), visible.astype(np.float32)


def pose_contract(options: SnippetOptions = POSE_SNIPPETS) -> dict[str, Any]:
    """Record what makes pose features of these snippets; whose joints they are is no part of it."""
    return {"snippet": asdict(options), "encoders": {STREAM: pose_record()}}


def features_of(
    poses: Poses,
    options: SnippetOptions = POSE_SNIPPETS,
    duration: float | None = None,
    limits: Limits | None = None,
    name: str = "poses",
) -> Features:
    """Compute the pose features of one person over a whole recording.

    Args:
        poses: of one person.
        options: of the snippets.
        duration: seconds of the recording; default: until one frame after the last pose.
        limits: bounds on the number of snippets.
        name: of the source, in errors.

    Raises:
        FeatureError: there is no pose, or it has no place in time before 0.
        VideoError: there are more snippets than the limits allow.
    """
    if not len(poses) or poses.times[0] < 0:
        raise FeatureError(f"{name}: has {'poses before 0 s' if len(poses) else 'no poses'}")
    if duration is None:
        step = float(np.median(np.diff(poses.times))) if len(poses) > 1 else 1 / options.fps
        duration = float(poses.times[-1]) + step
    (limits or Limits()).check_length(name, 0.0, duration, options)
    count, slots = snippets_of(duration, options), slots_of(duration, options)
    parts = []
    for first in range(0, count, _BATCH):
        index = np.arange(first, min(first + _BATCH, count))
        shown = np.minimum(index[:, None] * options.stride + np.arange(options.window), slots - 1)  # the last is held
        joints, visible = on_grid(poses, shown, options)
        parts.append(snippet_features(joints, visible, options.fps))
    return Features({STREAM: np.concatenate(parts)}, timeline_of(options), duration, pose_contract(options))


def snippets_of(duration: float, options: SnippetOptions = POSE_SNIPPETS) -> int:
    """Count the snippets of so many seconds, as they are cut from a video."""
    slots = slots_of(duration, options)
    whole = (slots - options.window) // options.stride + 1 if slots >= options.window else 0
    rest = slots > max((whole - 1) * options.stride + options.window, whole * options.stride) if whole else True
    return whole + (rest and (options.tail == "pad" or whole == 0))
