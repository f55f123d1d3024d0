"""Segments of somebody who was hardly seen are no segments: a rule of plans that read poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..plan.manifest import Manifest
from ..pose.features import DIM, STREAM
from ..records import Features, Proposals

Floats = NDArray[np.float64]

#: A person must be seen in this share of a segment, and for so many seconds of it and of as much before and after it.
LEAST_SHARE, LEAST_S = 0.5, 1.0


def pose_stream(manifest: Manifest) -> bool:
    """Return whether a plan's head reads features of poses."""
    return manifest.streams.get(STREAM) == DIM


def of_seen(proposals: Proposals, features: Features) -> Proposals:
    """Leave out proposals of a person who is not seen in most of them, or only for a moment.

    What flashes up for a few pictures (a dog, a poster, a shadow) may look like any action.

    Args:
        proposals: of one person.
        features: what they came from; the last value of pose features is how much of a snippet the person was seen.
    """
    pose = features.streams[STREAM]
    if not len(proposals):
        return proposals
    time = features.timeline
    edges = np.concatenate([time.left(np.arange(len(pose), dtype=np.float64)), [float(time.right(len(pose)))]])
    seen = np.concatenate([[0.0], np.cumsum(pose[:, -1].astype(np.float64) * np.diff(edges))])
    start, end = (proposals.data[name].astype(np.float64) for name in ("start", "end"))

    def within(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.interp(b, edges, seen) - np.interp(a, edges, seen))

    enough = within(start, end) >= LEAST_SHARE * (end - start)
    enough &= within(start - LEAST_S, end + LEAST_S) >= LEAST_S
    return Proposals(proposals.data[enough], proposals.duration)
