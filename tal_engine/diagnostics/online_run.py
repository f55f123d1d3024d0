"""What streams of many videos tell, and what the head knew of each snippet: what online evaluation is of.

Runs on features, so that pictures are encoded once; knows nothing of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..annotations.finals import ToldStarts, starts_of
from ..annotations.tables import Table
from ..events import Event
from ..inference.online_scoring import score_online
from ..options import StreamOptions
from ..records import Activations, Features

if TYPE_CHECKING:
    from ..engine import TALEngine


@dataclass
class OnlineRun:
    """All events of the streams of some videos.

    seconds: of all videos. declared_latency_s, worst_latency_s, late_events: as the streams say;
    declared_start_latency_s is None where nothing is promised of starts.
    """

    declared_latency_s: float
    declared_start_latency_s: float | None
    events: list[Event] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    seconds: float = 0.0
    worst_latency_s: float = 0.0
    late_events: int = 0

    def finals(self) -> tuple[Table, NDArray[np.float64]]:
        """Return the finals as detections, and the seconds at which each was decided."""
        told = [e for e in self.events if e.is_final]
        rows = ((e.source, e.label, e.start, e.end or 0.0, e.score) for e in told)
        moments = np.array([e.decided_at for e in told], np.float64)
        return Table.of(rows, source="finals", videos=self.videos), moments

    def starts(self) -> ToldStarts:
        """Return the started events."""
        return replace(starts_of(self.events, "events"), seconds=self.seconds)


def stream_all(
    engine: TALEngine,
    features: Mapping[str, Features],
    options: StreamOptions | None = None,
    *,
    min_score: float | None = None,
    top_k: int | None = None,
) -> OnlineRun:
    """Stream videos from their features, one after the other.

    Args:
        engine: runs the head.
        features: of each video, as `engine.features` returns them.
        options: of streaming; None takes the plan's.
        min_score: lowest score of an event; None takes the plan's thresholds. mAP needs -inf.
        top_k: most segments of a window; None takes the plan's. mAP needs 0, which keeps all.

    Raises:
        FeatureError: features that the head cannot read.
    """
    run: OnlineRun | None = None
    for name, video in features.items():
        stream = engine.open_stream("video", options, provisional=True, min_score=min_score, top_k=top_k)
        run = run or OnlineRun(stream.declared_latency_s, stream.declared_start_latency_s)
        told: list[Event] = []
        for i in range(len(video)):
            told += stream.push_features({n: x[i] for n, x in video.streams.items()})
        told += stream.flush(video.duration)
        run.events += [replace(e, source=name) for e in told]
        run.videos.append(name)
        run.seconds += video.duration
        run.worst_latency_s = max(run.worst_latency_s, stream.state.finalizer.worst_latency_s)
        run.late_events += stream.state.finalizer.late_events
    return run or OnlineRun(0.0, None)


def frame_scores(engine: TALEngine, features: Features) -> dict[str, NDArray[np.float64]]:
    """Return what a head knew of each snippet, [T, C] by what it had seen: nothing, where it gives no activations.

    "now": snippets up to it. "ahead": those of the look-ahead too. "whole": the whole video.
    """
    manifest = engine.plan.manifest
    if manifest.online is not None:
        (a,) = score_online([features], engine.head, manifest)
        return {"now": a.now.astype(np.float64), "ahead": a.cas.astype(np.float64)}
    scored = engine.localize(features).activations
    if not isinstance(scored, Activations):
        return {}
    x = scored.cas.astype(np.float64)
    likely = np.exp(x - x.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    attention = 1.0 if scored.attention is None else scored.attention[:, None]
    return {"whole": likely[:, : len(manifest.vocabulary)] * attention}
