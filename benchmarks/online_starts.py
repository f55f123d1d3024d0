"""Starts of online students beyond what `tal eval --online` tells: by threshold, by what is wrong, and by points.

An alarm that lies in an instance of another class is right in time and wrong in class; the rule on the largest
activation of all classes says "an action has begun", whatever it is. Where the truth is a moment of each action
(MSRC-12's action points), nothing is known of starts: what is told is held against that moment, as Nowozin and Shotton
("Action Points", Microsoft Research TR-2012-68) do: right within a third of a second of it, F1 over all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from online_worlds import World

from tal_engine import Segment, TALEngine
from tal_engine.annotations.labels import VideoLabels
from tal_engine.annotations.tables import Table
from tal_engine.diagnostics.online_run import stream_all
from tal_engine.inference.online_scoring import decided
from tal_engine.lab.fitting.held_out import HeldOut
from tal_engine.lab.fitting.outcomes import mean_ap
from tal_engine.lab.online.starts import starts_table
from tal_engine.metrics.online import lateness
from tal_engine.metrics.starts import EARLY_S, evaluate_starts, point_map
from tal_engine.records import OnlineActivations
from tal_engine.vocabulary import Vocabulary

THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
#: Seconds from an action point within which a start is right: Nowozin and Shotton's, and ours, for false alarms.
NEAR_S, MINE_S = 1 / 3, 1.0


def by_threshold(world: World, engine: TALEngine) -> list[dict[str, Any]]:
    """What each threshold of starts would give: shown, and nothing is chosen by it."""
    online = engine.plan.manifest.online
    assert online is not None
    words = engine.plan.vocabulary
    read = {
        n: a for n, f in world.measured.items() if isinstance(a := engine.localize(f).activations, OnlineActivations)
    }
    one = {n: _largest(a) for n, a in read.items()}
    rows = []
    for threshold in THRESHOLDS:
        options = replace(online, guesses=()).starting_at(threshold)
        told = starts_table(read, {n: decided(a, options) for n, a in read.items()}, words)
        alone = replace(options, start=options.start[:1])
        anything = starts_table(one, {n: decided(a, alone) for n, a in one.items()}, Vocabulary(["action"]))
        rows.append({"threshold": threshold, **worth(world, told), "any": worth(_one_class(world), anything)})
    return rows


def worth(world: World, told: Table) -> dict[str, Any]:
    """Recall, false alarms and delay of starts; of what is wrong, how many lie in an instance of another class."""
    if world.points:
        return by_points(world, told)
    truth = Table.of_segments(world.truth, "truth", told.labels)
    found = evaluate_starts(truth, told, world.seconds)
    return {
        "recall": found.recall, "false_alarms": found.false_alarms,
        "false_alarms_per_hour": found.false_alarms_per_hour, "delay_s": found.delay,
        "other_class": _in_another(truth, told),
    }  # fmt: skip


def _in_another(truth: Table, told: Table) -> int:
    """Count starts that lie in an instance of another class, and in none of their own."""
    mine, _ = told.renamed(truth.videos, truth.labels)
    count = 0
    for video, label, moment in zip(mine.video, mine.label, mine.end, strict=True):
        inside = (truth.video == video) & (truth.start - EARLY_S <= moment) & (moment < truth.end)
        count += bool(inside.any() and not (inside & (truth.label == label)).any())
    return count


def _largest(a: OnlineActivations) -> OnlineActivations:
    """The largest activation of all classes, as if there were one."""
    return replace(a, cas=a.cas.max(axis=1, keepdims=True), now=a.now.max(axis=1, keepdims=True))


def _one_class(world: World) -> World:
    """The same truth, of one class: what overlaps is one action."""
    truth = {n: united(of) for n, of in world.truth.items()}
    points = {n: [replace(p, label="action") for p in of] for n, of in world.points.items()}
    return replace(world, truth=truth, points=points)


def united(segments: Sequence[Segment]) -> list[Segment]:
    """Segments of any class as those of one, joined where they overlap."""
    out: list[Segment] = []
    for s in sorted(segments, key=lambda s: s.start):
        if out and s.start < out[-1].end:
            out[-1] = replace(out[-1], end=max(out[-1].end, s.end))
        else:
            out.append(replace(s, label="action"))
    return out


def by_points(world: World, told: Table) -> dict[str, Any]:
    """Starts beside action points: delay is the moment of telling less the point, and may be negative."""
    near, delays = matched(world, told, NEAR_S), matched(world, told, MINE_S)
    count, hours = sum(map(len, world.points.values())), world.seconds / 3600
    false = len(told) - len(delays)
    truth = Table.of(
        ((v, p.label, p.seconds, p.seconds, 1.0) for v, of in world.points.items() for p in of),
        source="points", videos=tuple(world.points),
    )  # fmt: skip
    mine, _ = told.renamed(truth.videos, truth.labels)
    return {
        "recall": len(delays) / count, "false_alarms": false, "false_alarms_per_hour": false / hours,
        "delay_s": lateness(np.array(delays, np.float64)), "f1_near": 2 * len(near) / max(len(told) + count, 1),
        "recall_near": len(near) / count, "p_map": {"1": point_map(truth, mine, 1.0)},
    }  # fmt: skip


def matched(world: World, told: Table, within: float) -> list[float]:
    """Delays of the starts that are within some seconds of a free action point of their class, in order of telling."""
    free = {n: list(of) for n, of in world.points.items()}
    out = []
    for i in np.lexsort((np.arange(len(told)), told.end)):
        label, moment = told.labels[told.label[i]], float(told.end[i])
        of = free[told.videos[told.video[i]]]
        near = [p for p in of if p.label == label and abs(p.seconds - moment) <= within]
        if near:
            first = min(near, key=lambda p: abs(p.seconds - moment))
            of.remove(first)
            out.append(moment - first.seconds)
    return out


def measured_by_points(world: World, engine: TALEngine, look_ahead: float | None) -> dict[str, Any]:
    """What streams are worth where the truth is points: `live_measures.measure` as far as points can say it."""
    stream = engine.plan.manifest.stream
    how = None if look_ahead is None else replace(stream, look_ahead=look_ahead)
    every = stream_all(engine, world.measured, how, min_score=float("-inf"), top_k=0)
    used = stream_all(engine, world.measured, how)
    told, point = used.starts(), by_points(world, every.starts().told)
    return {
        "declared_latency_s": every.declared_latency_s,
        "declared_start_latency_s": every.declared_start_latency_s,
        "late_events": every.late_events + used.late_events,
        "point_map": point_ap(world, every.finals()[0], tuple(engine.plan.vocabulary)),
        "starts": {**by_points(world, told.told), "p_map": point["p_map"], "withdrawn": told.withdrawn},
    }  # fmt: skip


def point_ap(world: World, found: Table, names: tuple[str, ...]) -> float:
    """Point mAP of segments: right is one that holds a free point of its class."""
    truth = tuple(VideoLabels(n, points=tuple(of)) for n, of in world.points.items())
    seconds: Mapping[str, float] = {n: f.duration for n, f in world.measured.items()}
    fold: NDArray[np.int64] = np.zeros(len(truth), np.int64)
    return mean_ap(HeldOut(found, truth, fold, names, "point", seconds).outcomes(), len(names))
