"""Features -> activations: one call of the head."""

from __future__ import annotations

import numpy as np

from ..backends import Backend
from ..errors import FeatureError
from ..plan import Manifest
from ..records import Activations, Features


def score(features: Features, head: Backend, manifest: Manifest) -> Activations:
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
    out = head.run(feeds)
    attention = out.get("attention")
    return Activations(
        cas=out["cas"][0],
        attention=None if attention is None else attention[0],
        timeline=features.timeline,
        duration=features.duration,
    )
