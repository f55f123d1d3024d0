"""An online head on features: some snippets of streams, each with what was remembered of it, or whole videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..errors import FeatureError
from ..plan.graph_rules import MEMORY, NEXT_MEMORY
from ..plan.manifest import Manifest
from ..plan.online_fields import OnlineOptions
from ..records import Features, OnlineActivations
from .online_machine import Decision, OnlineMachine

#: Outputs that are of the snippet `look_ahead` before the newest; the others are of the newest.
DELAYED = ("cas", "actionness", "start", "end")

Rows = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Step:
    """Snippets of one stream, [n, D] by name of the features, and what the head remembers of it, [M]."""

    rows: Rows
    memory: NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """What the head gave at n snippets, [n, ...] by name of the output, and what it remembers now, [M]."""

    outputs: Rows
    memory: NDArray[np.float32]


def no_memory(manifest: Manifest) -> NDArray[np.float32]:
    """Return what is remembered where a stream begins, [M] of zeros."""
    width = next(t.shape[1] for t in manifest.head.inputs if t.name == MEMORY)
    return np.zeros(int(width), np.float32)


def nothing(manifest: Manifest, count: int) -> Rows:
    """Return the snippets that stand for what comes after the end of a stream, [count, D] of zeros by name."""
    return {name: np.zeros((count, dim), np.float32) for name, dim in manifest.streams.items()}


def advance(steps: Sequence[Step], head: Backend, manifest: Manifest) -> list[Reading]:
    """Read on in several streams; those with as many new snippets share a call.

    Raises:
        FeatureError: a stream of features is missing or has another width than the head reads.
    """
    counts = [len(next(iter(s.rows.values()))) for s in steps]
    readings: dict[int, Reading] = {}
    for count in dict.fromkeys(counts):
        same = [i for i, c in enumerate(counts) if c == count]
        outputs = head.run(_feeds([steps[i] for i in same], manifest))
        memory = outputs.pop(NEXT_MEMORY)
        for row, i in enumerate(same):
            readings[i] = Reading({name: values[row] for name, values in outputs.items()}, memory[row])
    return [readings[i] for i in range(len(steps))]


def _feeds(steps: Sequence[Step], manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    feeds = {name: np.stack([_of(s.rows, name, dim) for s in steps]) for name, dim in manifest.streams.items()}
    return {**feeds, MEMORY: np.stack([s.memory for s in steps])}


def _of(rows: Rows, name: str, dim: int) -> NDArray[np.float32]:
    if name not in rows:
        raise FeatureError(f"the head reads stream {name!r}, the features have {sorted(rows)}")
    if rows[name].shape[1:] != (dim,):
        raise FeatureError(f"stream {name!r} is {rows[name].shape[-1]} wide, the head reads {dim}")
    return np.asarray(rows[name], np.float32)


def score_online(videos: Sequence[Features], head: Backend, manifest: Manifest) -> list[OnlineActivations]:
    """Read whole videos from their beginning to their end.

    Raises:
        FeatureError: see `advance`.
    """
    ahead = _online(manifest).look_ahead
    steps = []
    for features in videos:
        after = nothing(manifest, ahead)
        rows = {n: np.concatenate([_of(features.streams, n, d), after[n]]) for n, d in manifest.streams.items()}
        steps.append(Step(rows, no_memory(manifest)))
    readings = advance(steps, head, manifest)
    return [_activations(r.outputs, f, ahead) for r, f in zip(readings, videos, strict=True)]


def _activations(outputs: Rows, features: Features, ahead: int) -> OnlineActivations:
    out = {name: v[ahead:] if name in DELAYED else v[: len(features)] for name, v in outputs.items()}
    return OnlineActivations(
        out["cas"], out["actionness"], features.timeline, features.duration, None,
        now=out["now"], start=out["start"], end=out["end"], hazard=out["hazard"],
    )  # fmt: skip


def decided(activations: OnlineActivations, options: OnlineOptions) -> list[Decision]:
    """Run the event rule over a whole video; all of its finals are told, whatever their score."""
    machine = OnlineMachine(options, np.full(len(options.start), -np.inf))
    told: list[Decision] = []
    ahead, count = options.look_ahead, len(activations)
    for n in range(count + ahead):
        now = activations.now[n] if n < count else None
        told += machine.step(now, activations.cas[max(n - ahead, 0)])
    return told + machine.finish()


def _online(manifest: Manifest) -> OnlineOptions:
    assert manifest.online is not None  # noqa: S101 - callers have an online plan
    return manifest.online
