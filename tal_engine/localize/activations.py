"""Features -> activations: one call of the head."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..errors import FeatureError
from ..manifest import Manifest
from ..records import Activations, Boundaries, Features
from ..timeline import Timeline


def score(features: Features, head: Backend, manifest: Manifest) -> Activations | Boundaries:
    """Run the head on the features of a video.

    Raises:
        FeatureError: a stream is missing or has another width than the head reads.
    """
    feeds = {}
    for name, dim in manifest.streams.items():
        stream = features.streams.get(name)
        if stream is None:
            raise FeatureError(f"the head reads stream {name!r}, the features have {sorted(features.streams)}")
        if stream.shape[1] != dim:
            raise FeatureError(f"stream {name!r} is {stream.shape[1]} wide, the head reads {dim}")
        feeds[name] = np.ascontiguousarray(stream[None], np.float32)
    return activations_of(head.run(feeds), features.timeline, features.duration)


def activations_of(
    out: Mapping[str, NDArray[np.float32]], timeline: Timeline, duration: float
) -> Activations | Boundaries:
    """The first video of a head's outputs, which are one of two kinds.

    Either "cas" and, if the head has them, "attention" and "video"; or "start", "end" and "embedding".
    """
    if "start" in out:
        return Boundaries(out["start"][0], out["end"][0], out["embedding"][0], timeline, duration)
    optional = {name: out[name][0] if name in out else None for name in ("attention", "video")}
    return Activations(out["cas"][0], optional["attention"], timeline, duration, optional["video"])
