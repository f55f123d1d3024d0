"""Features -> activations: one call of the head, for one video or for several of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..errors import FeatureError
from ..plan.manifest import Manifest
from ..records import Activations, Boundaries, Features, Pyramid, Scored
from ..timeline import Timeline
from .online_scoring import score_online

if TYPE_CHECKING:
    from ..backends.card_tensor import CardBackend, CardTensor


def score(features: Features, head: Backend, manifest: Manifest) -> Scored:
    """Run the head on the features of a video.

    Raises:
        FeatureError: a stream is missing or has another width than the head reads.
    """
    return score_batch([features], head, manifest)[0]


def score_batch(videos: Sequence[Features], head: Backend, manifest: Manifest) -> list[Scored]:
    """Run the head once on the features of several videos, all with the same number of snippets.

    Videos of other lengths are not filled up to the longest: convolutions and attention over time see what they are
    filled with, so a video's segments would depend on its neighbours.

    Raises:
        FeatureError: a stream is missing or has another width than the head reads.
    """
    if manifest.online is not None:
        return list(score_online(videos, head, manifest))
    feeds = {}
    for name, dim in manifest.streams.items():
        streams = [_stream(features, name, dim) for features in videos]
        feeds[name] = np.ascontiguousarray(np.stack(streams), np.float32)
    out = head.run(feeds)
    return [activations_of(out, f.timeline, f.duration, row) for row, f in enumerate(videos)]


def score_on_card(features: Features, there: Mapping[str, CardTensor], head: CardBackend, manifest: Manifest) -> Scored:
    """Run the head on features of a video that lie on its card, [T, D] by stream; only its outputs leave the card.

    Raises:
        FeatureError: a stream is missing or has another width than the head reads.
    """
    feeds = {}
    for name, dim in manifest.streams.items():
        _stream(features, name, dim)
        feeds[name] = there[name].reshaped(1, *there[name].shape)
    out = {n: head.receive(t) for n, t in head.run_on_card(feeds).items()}
    return activations_of(out, features.timeline, features.duration)


def score_windows_on_card(
    windows: Sequence[Features], there: Mapping[str, CardTensor], head: CardBackend, manifest: Manifest
) -> list[Scored]:
    """Run the head once on windows of live streams, all of one length, that lie on its card: [B, T, D] by stream.

    Raises:
        FeatureError: a stream is missing or has another width than the head reads.
    """
    for window in windows:
        for name, dim in manifest.streams.items():
            _stream(window, name, dim)
    out = {n: head.receive(t) for n, t in head.run_on_card({n: there[n] for n in manifest.streams}).items()}
    return [activations_of(out, w.timeline, w.duration, row) for row, w in enumerate(windows)]


def _stream(features: Features, name: str, dim: int) -> NDArray[np.float32]:
    stream = features.streams.get(name)
    if stream is None:
        raise FeatureError(f"the head reads stream {name!r}, the features have {sorted(features.streams)}")
    if stream.shape[1] != dim:
        raise FeatureError(f"stream {name!r} is {stream.shape[1]} wide, the head reads {dim}")
    return stream


def activations_of(out: Mapping[str, NDArray[np.float32]], timeline: Timeline, duration: float, row: int = 0) -> Scored:
    """Select one video from a head's outputs, which are of one of three kinds.

    "cas" and, if the head has them, "attention" and "video"; "start", "end" and "embedding"; "score" and "distance".
    """
    if "distance" in out:
        return Pyramid(out["score"][row], out["distance"][row], timeline, duration)
    if "start" in out:
        return Boundaries(out["start"][row], out["end"][row], out["embedding"][row], timeline, duration)
    optional = {name: out[name][row] if name in out else None for name in ("attention", "video")}
    return Activations(out["cas"][row], optional["attention"], timeline, duration, optional["video"])
