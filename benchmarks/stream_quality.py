"""Parts of bench_stream: are finals in time, do chunks matter, and what does waiting buy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from first_light import motion_videos
from procedural import rendered

from tal_engine import Segment, TALEngine
from tal_engine.annotations import read_annotations
from tal_engine.events import Event
from tal_engine.features import load_features
from tal_engine.features.stored import save_features
from tal_engine.localize import suppress
from tal_engine.metrics import WTAL_TIOUS, evaluate, protocol
from tal_engine.metrics.online import OnlineEvaluation, evaluate_online, lateness
from tal_engine.options import StreamOptions
from tal_engine.records import Features
from tal_engine.stream import Ready, StreamState
from tal_engine.tables import Table
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
    annotations = read_annotations(rendered(work / "videos") / "annotations.json")
    return {v.name: list(v.instances) for v in annotations.subset("test").values()}


# -- lateness ------------------------------------------------------------------------------------


def late(work: Path, limit: int) -> dict[str, Any]:
    """Every final of both sets, with the plan's options and at its operating point, against the declared latency."""
    engine = TALEngine.load(None, "cpu")
    sets = {
        "procedural": (procedural_truth(work), work / "videos" / "videos"),
        "real motion": (motion_videos(work), work / "motion"),
    }
    return {name: _late(engine, truth, folder, limit) for name, (truth, folder) in sets.items()}


def _late(engine: TALEngine, truth: Truth, folder: Path, limit: int) -> dict[str, Any]:
    truth = dict(islice(truth.items(), limit or None))
    told: dict[str, list[Event]] = {}
    late_events, seconds, began = 0, 0.0, time.perf_counter()
    for name in truth:
        stream = engine.stream(name)
        told[name] = []
        with open_video(folder / f"{name}.mp4") as video:
            end = 0.0
            for frame in video.frames:
                told[name] += stream.push(frame.image, frame.pts_seconds)
                end = frame.pts_seconds + video.frame_seconds
            told[name] += stream.flush(end)
        late_events += stream.state.late_events
        seconds += end
    waited = np.array([max(e.decided_at, e.pts) - (e.end_time or 0.0) for es in told.values() for e in es])
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
    motion_videos(work)
    engine = TALEngine.load(None, "cpu")
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
    return [e for e in told + _catch_up(engine, state, list(state.flush(end))) if e.is_final]


def _catch_up(engine: TALEngine, state: StreamState, waiting: Sequence[Ready]) -> list[Event]:
    if waiting:
        one = waiting[0].snippets
        made = engine.encode_snippets(replace(one, frames=np.concatenate([r.snippets.frames for r in waiting])))
        for i in range(len(waiting)):
            state.add({name: values[i] for name, values in made.items()})
    told: list[Event] = []
    for window in list(state.windows()):
        told += state.settle(window, suppress(engine.propose(window.features), engine.plan.manifest.nms))
    return told


# -- what waiting buys ---------------------------------------------------------------------------


@dataclass
class Finals:
    """Of one pair of window and latency, by video; the longest declared latency, as windows that cover differ."""

    declared_s: float
    events: dict[str, list[Event]]


def curve(work: Path, limit: int) -> dict[str, Any]:
    """mAP and AEDT of all finals by window and latency; features are made once and kept."""
    engine = TALEngine.load(None, "cpu")
    truth = dict(islice(procedural_truth(work).items(), limit or None))
    features = {name: _features(engine, work, name) for name in truth}
    offline = evaluate(
        truth, {v: list(engine.localize(f, min_score=ALL, top_k=0)) for v, f in features.items()}, protocol=RULES
    )
    rows = []
    for window in WINDOWS:
        for latency, found in _streamed(engine, features, window).items():
            e = _score(truth, found.events)
            rows.append(_row(window, latency, found, e))
    return {
        "videos": len(truth), "instances": sum(map(len, truth.values())), "protocol": RULES.name,
        "offline": {"map_50": _points(offline.at(0.5)), "map_10_70": _points(offline.average)}, "rows": rows,
    }  # fmt: skip


def _row(window: float, latency: float, found: Finals, e: OnlineEvaluation) -> dict[str, Any]:
    half = list(RULES.tious).index(0.5)
    return {
        "window_s": "covering" if math.isinf(window) else window,
        "latency_s": "window" if math.isinf(latency) else latency,
        "declared_s": round(found.declared_s, 2),
        "map_50": _points(e.quality.at(0.5)),
        "map_10_70": _points(e.quality.average),
        "aedt_50_s": round(float(e.aedt[half]), 2),
        "lateness_s": {k: round(v, 2) for k, v in e.lateness.items()},
        "finals": sum(map(len, found.events.values())),
    }


def _points(share: float) -> float:
    return round(100 * share, 2)


def _features(engine: TALEngine, work: Path, name: str) -> Features:
    path = work / "stream_features" / engine.plan.sha256[:8] / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_features(path, engine.features(work / "videos" / "videos" / f"{name}.mp4"))
    return load_features(path)


def _streamed(engine: TALEngine, features: dict[str, Features], window: float) -> dict[float, Finals]:
    """Finals by latency. The windows are the same for all latencies, so the head runs once for all of them."""
    out: dict[float, Finals] = {}
    manifest = engine.plan.manifest.with_segment(ALL, 0)
    for name, f in features.items():
        length = f.duration + manifest.snippet.window / manifest.snippet.fps if math.isinf(window) else window
        states = {
            latency: StreamState(
                manifest, engine.plan.sha256, name, StreamOptions(window=length, look_ahead=min(latency, length))
            )
            for latency in LATENCIES
            if latency <= length or math.isinf(latency)
        }
        for i in range(len(f)):
            row = {stream: values[i] for stream, values in f.streams.items()}
            for state in states.values():
                state.push_row(row)
            _settle(engine, name, states, out)
        for state in states.values():
            for _ in state.flush(f.duration):
                raise AssertionError("a stream of features gives no snippets")
        _settle(engine, name, states, out)
    return out


def _settle(engine: TALEngine, name: str, states: dict[float, StreamState], out: dict[float, Finals]) -> None:
    due = {latency: list(state.windows()) for latency, state in states.items()}
    for window in zip(*due.values(), strict=True):
        proposals = suppress(engine.propose(window[0].features), engine.plan.manifest.nms)
        for (latency, state), own in zip(states.items(), window, strict=True):
            finals = out.setdefault(latency, Finals(0.0, {}))
            finals.declared_s = max(finals.declared_s, state.declared_latency_s)
            told = finals.events.setdefault(name, [])
            told += [e for e in state.settle(own, proposals) if e.is_final]


def _score(truth: Truth, found: dict[str, list[Event]]) -> OnlineEvaluation:
    labels = tuple(sorted({s.label for v in truth.values() for s in v}))
    rows = [(v, e) for v, events in found.items() for e in events]
    finals = Table.of(
        ((v, e.label, e.start_time, e.end_time or 0.0, e.score) for v, e in rows), source="finals", videos=tuple(truth)
    )
    decided = np.array([e.decided_at for _, e in rows], np.float64)
    return evaluate_online(Table.of_segments(truth, "truth", labels), finals, decided, RULES)
