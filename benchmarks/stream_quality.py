"""Parts of bench_stream: are finals in time, do chunks matter, and what does waiting buy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from motion_cameras import rendered_views
from procedural import rendered

from tal_engine import Segment, TALEngine
from tal_engine.annotations import read_annotations
from tal_engine.annotations.tables import Table
from tal_engine.diagnostics.latency_curve import CurvePoint, latency_curve
from tal_engine.events import Event
from tal_engine.features import load_features
from tal_engine.features.store import save_features
from tal_engine.inference import suppress
from tal_engine.metrics import WTAL_TIOUS, evaluate, protocol
from tal_engine.metrics.online import OnlineEvaluation, evaluate_online, lateness
from tal_engine.options import StreamOptions
from tal_engine.records import Features
from tal_engine.streaming import PendingSnippet, StreamState
from tal_engine.video import open_video

#: Evaluation takes all segments, not those above the operating point.
ALL = float("-inf")
RULES = protocol("activitynet").with_tious(WTAL_TIOUS)
WINDOWS = (30.0, 60.0, 120.0, math.inf)
LATENCIES = (2.0, 4.0, 8.0, 16.0, 32.0, math.inf)
#: Many windows in a short clip.
SHORT = StreamOptions(window=10.0, step=2.0, look_ahead=4.0)
LONGEST_CHUNK = 64

Truth = dict[str, list[Segment]]


def procedural_truth(work: Path) -> Truth:
    """Instances of the held-out procedural videos, which are rendered if they are not there."""
    annotations = read_annotations(rendered(work / "videos", ["test"]) / "annotations.json")
    return {v.name: list(v.instances) for v in annotations.subset("test").values()}


# -- lateness ------------------------------------------------------------------------------------


def late(work: Path, limit: int) -> dict[str, Any]:
    """Every final of both sets, with the plan's options and at its operating point, against the declared latency."""
    engine = TALEngine.load("demo", "cpu")
    sets = {
        "procedural": (procedural_truth(work), work / "videos" / "videos"),
        "real motion": (rendered_views(work / "motion", 0), work / "motion"),
    }
    return {name: _late(engine, truth, folder, limit) for name, (truth, folder) in sets.items()}


def _late(engine: TALEngine, truth: Truth, folder: Path, limit: int) -> dict[str, Any]:
    truth = dict(islice(truth.items(), limit or None))
    told: dict[str, list[Event]] = {}
    late_events, seconds, began = 0, 0.0, time.perf_counter()
    for name in truth:
        stream = engine.open_stream(name)
        told[name] = []
        with open_video(folder / f"{name}.mp4") as video:
            end = 0.0
            for frame in video.frames:
                told[name] += stream.push(frame.image, frame.pts_seconds)
                end = frame.pts_seconds + video.frame_seconds
            told[name] += stream.flush(end)
        late_events += stream.state.finalizer.late_events
        seconds += end
    waited = np.array([max(e.decided_at, e.pts) - (e.end or 0.0) for es in told.values() for e in es])
    return {
        "videos": len(truth),
        "hours": round(seconds / 3600, 3),
        "finals": len(waited),
        "declared_s": round(stream.declared_latency_s, 3),
        "lateness_s": {k: round(v, 3) for k, v in lateness(waited).items()},
        "later_than_declared": int((waited > stream.declared_latency_s).sum()) + late_events,
        "times_real_time": round(seconds / (time.perf_counter() - began), 1),
    }


# -- chunks --------------------------------------------------------------------------------------


def chunks(work: Path, count: int) -> dict[str, Any]:
    """The finals of a clip whose frames come in random chunks, encoded a chunk at a time, against one by one."""
    rendered_views(work / "motion", 0)
    engine = TALEngine.load("demo", "cpu")
    path = work / "motion" / "13_30_0.mp4"
    with open_video(path) as video:
        frames = [(f.image(), f.pts_seconds) for f in video.frames]
        end = frames[-1][1] + video.frame_seconds
    single = _in_chunks(engine, frames, end, iter(lambda: 1, 0))
    rng = np.random.default_rng(0)
    equal = same_times = 0
    largest = 0.0
    for _ in range(count):
        other = _in_chunks(engine, frames, end, iter(lambda: int(rng.integers(1, LONGEST_CHUNK + 1)), 0))
        equal += other == single
        same_times += [replace(e, score=0.0) for e in other] == [replace(e, score=0.0) for e in single]
        if len(other) == len(single):
            largest = max(largest, *(abs(a.score - b.score) for a, b in zip(other, single, strict=True)))
    return {
        "clip": path.name, "seconds": round(end, 2), "window_s": SHORT.window, "chunkings": count,
        "longest_chunk": LONGEST_CHUNK, "finals": len(single), "equal_bit_for_bit": equal,
        "equal_but_for_scores": same_times, "largest_score_difference": largest,
    }  # fmt: skip


def _in_chunks(engine: TALEngine, frames: Sequence[tuple[Any, float]], end: float, sizes: Iterable[int]) -> list[Event]:
    state = StreamState(engine.plan.manifest.with_segment(ALL, 0), engine.plan.sha256, "clip", SHORT)
    told: list[Event] = []
    left = iter(frames)
    for size in sizes:
        chunk = list(islice(left, size))
        if not chunk:
            break
        told += _catch_up(engine, state, [r for image, pts in chunk for r in state.push(lambda i=image: i, pts)])
    return [e for e in told + _catch_up(engine, state, state.flush(end)) if e.is_final]


def _catch_up(engine: TALEngine, state: StreamState, waiting: Sequence[PendingSnippet]) -> list[Event]:
    if waiting:
        one = waiting[0].snippets
        made = engine.encode_snippets(replace(one, frames=np.concatenate([r.snippets.frames for r in waiting])))
        for i in range(len(waiting)):
            state.add({name: values[i] for name, values in made.items()})
    told: list[Event] = []
    for window in state.windows():
        told += state.finalize(window, suppress(engine.propose(window.features), engine.plan.manifest.nms))
    return told


# -- what waiting buys ---------------------------------------------------------------------------


def curve(work: Path, limit: int) -> dict[str, Any]:
    """mAP and AEDT of all finals by window and latency; features are made once and kept."""
    engine = TALEngine.load("demo", "cpu")
    truth = dict(islice(procedural_truth(work).items(), limit or None))
    features = {name: _features(engine, work, name) for name in truth}
    offline = evaluate(
        truth, {v: list(engine.localize(f, min_score=ALL, top_k=0)) for v, f in features.items()}, protocol=RULES
    )
    points = latency_curve(engine, features, WINDOWS, LATENCIES, min_score=ALL, top_k=0)
    rows = [_row(p, _score(truth, p)) for p in points]
    return {
        "videos": len(truth), "instances": sum(map(len, truth.values())), "protocol": RULES.name,
        "offline": {"map_50": _points(offline.at(0.5)), "map_10_70": _points(offline.average)}, "rows": rows,
    }  # fmt: skip


def _row(point: CurvePoint, e: OnlineEvaluation) -> dict[str, Any]:
    half = list(RULES.tious).index(0.5)
    return {
        "window_s": "covering" if math.isinf(point.window_s) else point.window_s,
        "latency_s": "window" if math.isinf(point.look_ahead_s) else point.look_ahead_s,
        "declared_s": round(point.declared_latency_s, 2),
        "map_50": _points(e.quality.at(0.5)),
        "map_10_70": _points(e.quality.average),
        "aedt_50_s": round(float(e.aedt[half]), 2),
        "lateness_s": {k: round(v, 2) for k, v in e.lateness.items()},
        "finals": len(point.finals),
    }


def _points(share: float) -> float:
    return round(100 * share, 2)


def _features(engine: TALEngine, work: Path, name: str) -> Features:
    path = work / "stream_features" / engine.plan.sha256[:8] / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_features(path, engine.features(work / "videos" / "videos" / f"{name}.mp4"))
    return load_features(path)


def _score(truth: Truth, point: CurvePoint) -> OnlineEvaluation:
    labels = tuple(sorted({s.label for v in truth.values() for s in v}))
    finals, decided = point.table(tuple(truth), labels)
    return evaluate_online(Table.of_segments(truth, "truth", labels), finals, decided, RULES)
