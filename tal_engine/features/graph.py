"""Encoder graphs on a backend, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..errors import FeatureError
from ..plan.fields import Encoder, PoseEncoder
from ..records import Features, Snippets


class SnippetEncoder(Protocol):
    """Computes the features of one stream: a graph, or `pose.encoder.PoseFeatures`."""

    @property
    def spec(self) -> Encoder | PoseEncoder:
        """What a plan says of it."""

    def __call__(self, snippets: Snippets) -> NDArray[np.float32]:
        """Compute features [N, dim] of a batch of snippets."""


@dataclass(frozen=True)
class EncoderGraph:
    """An encoder of a plan, loaded."""

    spec: Encoder
    backend: Backend

    def __call__(self, snippets: Snippets) -> NDArray[np.float32]:
        """Compute features [N, dim] of a batch of snippets."""
        value = snippets.frames if self.spec.reads == "frames" else snippets.flow
        if value is None:
            raise FeatureError(f"encoder {self.spec.name} reads flow, the snippets have none")
        (out,) = self.backend.run({self.spec.graph.inputs[0].name: value}).values()
        return out


def encode(
    snippets: Iterable[Snippets],
    encoders: Sequence[SnippetEncoder],
    contract: dict[str, Any],
    duration: Callable[[], float],
    progress: Callable[[float], None] | None = None,
) -> Features:
    """Compute the features of a whole video; only one batch of frames is in memory at a time.

    Args:
        snippets: batches, in order.
        encoders: one for each stream.
        contract: what to record as the features' origin.
        duration: asked for the video's length in seconds after the last snippet.
        progress: called with the seconds of video done.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {e.spec.stream: [] for e in encoders}
    timeline = None
    for batch in snippets:
        for e in encoders:
            rows[e.spec.stream].append(e(batch))
        timeline = batch.timeline
        if progress is not None:
            progress(batch.end)
    if timeline is None:
        raise FeatureError("no snippets to encode")
    return Features({name: np.concatenate(parts) for name, parts in rows.items()}, timeline, duration(), contract)
