"""Features -> activations: one call of the head, for one video or for several of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    return score_together([features], head, manifest)[0]


def score_together(videos: Sequence[Features], head: Backend, manifest: Manifest) -> list[Activations | Boundaries]:
    """Run the head once on the features of several videos, all with the same number of snippets.

    Videos of other lengths are not filled up to the longest: convolutions and attention over time see what they are
    filled with, so a video's segments would depend on its neighbours.

    Raises:
        FeatureError: a stream is missing or has another width than the head reads.
    """
    feeds = {}
    for name, dim in manifest.streams.items():
        streams = [_stream(features, name, dim) for features in videos]
        feeds[name] = np.ascontiguousarray(np.stack(streams), np.float32)
    out = head.run(feeds)
    return [activations_of(out, f.timeline, f.duration, row) for row, f in enumerate(videos)]


def _stream(features: Features, name: str, dim: int) -> NDArray[np.float32]:
    stream = features.streams.get(name)
    if stream is None:
        raise FeatureError(f"the head reads stream {name!r}, the features have {sorted(features.streams)}")
    if stream.shape[1] != dim:
        raise FeatureError(f"stream {name!r} is {stream.shape[1]} wide, the head reads {dim}")
    return stream


def activations_of(
    out: Mapping[str, NDArray[np.float32]], timeline: Timeline, duration: float, row: int = 0
) -> Activations | Boundaries:
    """One video of a head's outputs, which are one of two kinds.

    Either "cas" and, if the head has them, "attention" and "video"; or "start", "end" and "embedding".
    """
    if "start" in out:
        return Boundaries(out["start"][row], out["end"][row], out["embedding"][row], timeline, duration)
    optional = {name: out[name][row] if name in out else None for name in ("attention", "video")}
    return Activations(out["cas"][row], optional["attention"], timeline, duration, optional["video"])
