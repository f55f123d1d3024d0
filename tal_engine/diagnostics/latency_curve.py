"""What a stream gives for each window and each look-ahead: the curve that says what waiting buys.

Runs on features, so that pictures are encoded once however many points the curve has; knows nothing of the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..annotations.tables import Table
from ..errors import require
from ..events import Event
from ..inference import suppress
from ..options import StreamOptions
from ..records import Features
from ..streaming.stream_state import StreamState

if TYPE_CHECKING:
    from ..engine import TALEngine

    #: From an engine, jobs and a progress to what `streamed` gives of each, in order.
    Spread = Callable[[TALEngine, Sequence["Job"], Callable[[int, int], None]], list[list["CurvePoint"]]]


@dataclass(frozen=True)
class Job:
    """One video at one window: `options` with that window, and one stream for each look-ahead that fits it.

    min_score, top_k: see `latency_curve`.
    """

    name: str
    features: Features
    options: StreamOptions
    window: float
    look_aheads: tuple[float, ...]
    min_score: float | None = None
    top_k: int | None = None


@dataclass
class CurvePoint:
    """The finals of all videos for one window and one look-ahead.

    window_s, look_ahead_s: as asked for; infinite ones cover the video, and the window. declared_latency_s: the longest
    of any video, as windows that cover differ. worst_latency_s: how long a final really took. late_events: finals that
    broke the promise; 0. finals: (video, event), a video's in order of decision.
    """

    window_s: float
    look_ahead_s: float
    declared_latency_s: float = 0.0
    worst_latency_s: float = 0.0
    late_events: int = 0
    finals: list[tuple[str, Event]] = field(default_factory=list)

    def table(self, videos: Sequence[str], labels: Sequence[str] = ()) -> tuple[Table, NDArray[np.float64]]:
        """Return the finals as detections, and the seconds of the stream at which each was decided, [n].

        Args:
            videos: all that were streamed; those without finals count too.
            labels: names to begin with.
        """
        rows = ((v, e.label, e.start, e.end or 0.0, e.score) for v, e in self.finals)
        detections = Table.of(rows, source="finals", videos=videos, labels=labels)
        return detections, np.array([e.decided_at for _, e in self.finals], np.float64)


def latency_curve(
    engine: TALEngine,
    features: Mapping[str, Features],
    windows: Sequence[float],
    look_aheads: Sequence[float],
    *,
    options: StreamOptions | None = None,
    min_score: float | None = None,
    top_k: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    spread: Spread | None = None,
) -> list[CurvePoint]:
    """Stream each video once per window; all look-aheads share the runs of the head.

    Args:
        engine: runs the head.
        features: of each video, as `engine.features` returns them.
        windows: seconds; `inf` covers the video.
        look_aheads: seconds; those longer than a window are skipped there, `inf` is as long as the window.
        options: all other options; None takes the plan's.
        min_score: lowest score of an event; None takes the plan's operating point. Evaluation needs -inf.
        top_k: most segments of a window; None takes the plan's. Evaluation needs 0, which keeps all.
        progress: called with (streams done, streams in all).
        spread: streams all of them, such as on a cluster, in place of this process one after the other.

    Returns:
        A point for each window and each look-ahead that fits, in this order.

    Raises:
        UsageError: a window or a look-ahead does not fit `options`.
        FeatureError: features that the head cannot read.
    """
    require(engine.plan.manifest.online is None, "plan", engine.plan.manifest.name, "one whose head sees windows")
    require(bool(windows) and all(w > 0 for w in windows), "windows", list(windows), "positive seconds")
    require(bool(look_aheads) and all(x >= 0 for x in look_aheads), "look_aheads", list(look_aheads), "0 s or more")
    shortest = min(look_aheads)
    require(max(windows) >= shortest or math.isinf(shortest), "windows", list(windows), f"{shortest:g} s or more")
    base = engine.plan.manifest.stream if options is None else options
    fits = {w: tuple(x for x in look_aheads if x <= w or math.isinf(x)) for w in windows}
    jobs = [Job(n, video, base, w, fits[w], min_score, top_k) for w in windows for n, video in features.items()]
    found = (spread or _one_by_one)(engine, jobs, progress or _silent)
    points: list[CurvePoint] = []
    for i, window in enumerate(windows):
        points += _joined(window, fits[window], found[i * len(features) : (i + 1) * len(features)])
    return points


def _silent(done: int, total: int) -> None:
    """No progress."""


def _one_by_one(engine: TALEngine, jobs: Sequence[Job], progress: Callable[[int, int], None]) -> list[list[CurvePoint]]:
    found = []
    for done, job in enumerate(jobs, 1):
        found.append(streamed(engine, job))
        progress(done, len(jobs))
    return found


def _joined(window: float, look_aheads: Sequence[float], videos: Sequence[Sequence[CurvePoint]]) -> list[CurvePoint]:
    """Join the points of one window over its videos, in their order."""
    points = [CurvePoint(window, x) for x in look_aheads]
    for of_video in videos:
        for point, one in zip(points, of_video, strict=True):
            point.declared_latency_s = max(point.declared_latency_s, one.declared_latency_s)
            point.worst_latency_s = max(point.worst_latency_s, one.worst_latency_s)
            point.late_events += one.late_events
            point.finals += one.finals
    return points


def streamed(engine: TALEngine, job: Job) -> list[CurvePoint]:
    """Run one video through streams that differ in their look-ahead only: a point for each."""
    length = _covering(engine, job.features, job.options) if math.isinf(job.window) else job.window
    points = [CurvePoint(job.window, x) for x in job.look_aheads]
    variants = [replace(job.options, window=length, look_ahead=min(p.look_ahead_s, length)) for p in points]
    _stream(engine, job.name, job.features, points, variants, (job.min_score, job.top_k))
    return points


def _covering(engine: TALEngine, features: Features, options: StreamOptions) -> float:
    """Return the seconds of a window that holds every snippet."""
    snippet = engine.plan.manifest.snippet
    return max(features.duration + snippet.window / snippet.fps, options.step, 2 * options.gap)


def _stream(
    engine: TALEngine,
    name: str,
    features: Features,
    points: Sequence[CurvePoint],
    options: Sequence[StreamOptions],
    wanted: tuple[float | None, int | None],
) -> None:
    """Run one video through streams that differ in their look-ahead only."""
    manifest, plan = engine.plan.manifest.with_segment(*wanted), engine.plan.sha256
    states = [StreamState(manifest, plan, name, variant) for variant in options]
    for i in range(len(features)):
        row = {stream: values[i] for stream, values in features.streams.items()}
        for state in states:
            state.push_row(row)
        _finalize(engine, name, states, points)
    for state in states:
        state.flush(features.duration)  # gives no snippets: their features are here
    _finalize(engine, name, states, points)
    for state, point in zip(states, points, strict=True):
        point.declared_latency_s = max(point.declared_latency_s, state.declared_latency_s)
        point.worst_latency_s = max(point.worst_latency_s, state.finalizer.worst_latency_s)
        point.late_events += state.finalizer.late_events


def _finalize(engine: TALEngine, name: str, states: Sequence[StreamState], points: Sequence[CurvePoint]) -> None:
    for windows in zip(*(state.windows() for state in states), strict=True):
        proposals = suppress(engine.propose(windows[0].features), engine.plan.manifest.nms)
        for state, point, window in zip(states, points, windows, strict=True):
            point.finals += [(name, e) for e in state.finalize(window, proposals) if e.is_final]
