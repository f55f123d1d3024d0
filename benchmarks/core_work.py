"""The timed calls of bench_core.py: ours, and NumPy yardsticks that run anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import core_inputs as inputs
import numpy as np

from tal_engine import ops
from tal_engine.options import NmsOptions, ProposalOptions, linspace

WTAL, ANET = linspace(0.1, 0.7, 7), linspace(0.5, 0.95, 10)
SOFT = NmsOptions(kind="gaussian", sigma=0.5)
HARD = NmsOptions(kind="hard", threshold=0.5, inclusive=True)


def nms(x: inputs.Intervals, options: NmsOptions, threads: int = 1) -> Callable[[], Any]:
    segments = np.stack([x.start, x.end], axis=1)
    return lambda: ops.suppress(segments, x.score, x.label, options, offsets=x.offsets, threads=threads)


def proposals(
    a: inputs.Activations, options: ProposalOptions, after: NmsOptions | None, threads: int = 1
) -> Callable[[], Any]:
    """Proposals of all videos; `after`: then suppression in each video and class."""

    def run() -> Any:
        found = ops.propose(a.cas, a.attention, options, offsets=a.offsets, threads=threads)
        if after is None:
            return found
        columns = found.start, found.end, found.score, found.label
        return ops.suppress_columns(*columns, after, offsets=found.offsets, threads=threads)

    return run


def mean_ap(d: inputs.Detections, tious: tuple[float, ...], threads: int = 1) -> Callable[[], Any]:
    truth = tuple(d.truth[k] for k in ("video", "label", "start", "end"))
    found = tuple(d.found[k] for k in ("video", "label", "start", "end", "score"))
    return lambda: ops.average_precision(
        truth, found, tious=tious, classes=d.classes, videos=d.videos, threads=threads
    )  # fmt: skip


def recall(d: inputs.Detections, threads: int = 1) -> Callable[[], Any]:
    truth = tuple(d.truth[k] for k in ("video", "start", "end"))
    found = tuple(d.found[k] for k in ("video", "start", "end", "score"))
    return lambda: ops.average_recall(
        truth, found, tious=ANET, videos=d.videos, max_average=100.0, threads=threads
    )  # fmt: skip


def numpy_soft(x: inputs.Intervals) -> Callable[[], Any]:
    """Soft-NMS as published NumPy code does it, for a yardstick that runs anywhere."""

    def run() -> Any:
        start, end, score = x.start.copy(), x.end.copy(), x.score.copy()
        taken = []
        while len(score):
            i = int(score.argmax())
            taken.append(score[i])
            inter = np.clip(np.minimum(end[i], end) - np.maximum(start[i], start), 0, None)
            overlap = inter / ((end[i] - start[i]) + (end - start) - inter)
            score = score * np.exp(-(overlap**2) / 0.5)
            start, end, score = (np.delete(c, i) for c in (start, end, score))
        return taken

    return run


def numpy_hard(x: inputs.Intervals) -> Callable[[], Any]:
    def run() -> Any:
        order, kept = x.score.argsort()[::-1], []
        while len(order):
            i, rest = order[0], order[1:]
            kept.append(i)
            inter = np.clip(np.minimum(x.end[i], x.end[rest]) - np.maximum(x.start[i], x.start[rest]), 0, None)
            overlap = inter / ((x.end[i] - x.start[i]) + (x.end[rest] - x.start[rest]) - inter)
            order = rest[overlap < 0.5]
        return kept

    return run


def say(text: str) -> None:
    print(text, flush=True)
