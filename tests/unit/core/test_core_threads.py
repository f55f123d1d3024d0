"""Calls of the core from many Python threads: the GIL is released, shared inputs give the same results."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tal_engine import _core
from tal_engine.ops import native_nms_options, native_proposal_options
from tal_engine.options import NmsOptions, ProposalOptions

RNG = np.random.default_rng(0)
N = 3000
START = RNG.uniform(0, 500, N)
END = START + RNG.uniform(0.1, 20, N)
SCORE = RNG.random(N)
LABEL = RNG.integers(0, 3, N).astype(np.int32)
VIDEO = np.sort(RNG.integers(0, 5, N)).astype(np.int32)
OFFSETS = np.searchsorted(VIDEO, np.arange(6)).astype(np.int64)
CAS = RNG.normal(size=(N, 4)).astype(np.float32)
POINTS = np.arange(50, N, 300)
PROPOSE, NMS = native_proposal_options(ProposalOptions()), native_nms_options(NmsOptions())
AP = _core.ApOptions(
    thresholds=[0.3, 0.5], matching=_core.Matching.best_free, rule=_core.ApRule.interpolated, inclusive=True,
    ties=_core.Ties.ranked,
)  # fmt: skip
TRUTH = {"truth_video": VIDEO[::9], "truth_start": START[::9], "truth_end": END[::9]}
FOUND = {"video": VIDEO, "start": START, "end": END, "score": SCORE}
PAIRS = _core.BoundaryOptions(peak_share=0.5, d_min=1, d_max=60, top_k=500)

CALLS = {
    "propose": lambda: _core.propose(CAS, CAS[:, 0].copy(), OFFSETS, PROPOSE, threads=2),
    "video_scores": lambda: [_core.video_scores(CAS, OFFSETS, PROPOSE, threads=2)],
    "suppress": lambda: _core.suppress(START, END, SCORE, LABEL, OFFSETS, NMS, threads=2),
    "average_precision": lambda: [
        _core.average_precision(**TRUTH, **FOUND, truth_label=LABEL[::9], label=LABEL, classes=3, videos=5, options=AP)
    ],
    "average_recall": lambda: _core.average_recall(**TRUTH, **FOUND, videos=5, thresholds=[0.5], max_average=50.0),
    "boundary_pairs": lambda: _core.boundary_pairs(SCORE, SCORE[::-1], PAIRS),
    "sampling_positions": lambda: [_core.sampling_positions(START, END, points=16, margin=0.1)],
    "constrained_kmedoids": lambda: _core.constrained_kmedoids(CAS, POINTS, max_sweeps=5),
}


@pytest.mark.parametrize("name", CALLS)
def test_concurrent_calls_on_shared_inputs_give_the_same(name):
    wanted = CALLS[name]()
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(lambda _: CALLS[name](), range(18)):
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)


def test_different_calls_at_the_same_time_give_the_same():
    wanted = {name: call() for name, call in CALLS.items()}
    names = [*CALLS] * 4
    with ThreadPoolExecutor(8) as pool:
        for name, found in zip(names, pool.map(lambda n: CALLS[n](), names), strict=True):
            for a, b in zip(found, wanted[name], strict=True):
                np.testing.assert_array_equal(a, b)


def heavy(name):
    """A call that computes for long: soft suppression of one crowded group, and the like."""
    n = 20_000
    start = np.linspace(0, 100, n)
    score = 1 - np.arange(n) / (2 * n)
    zeros, offsets = np.zeros(n, np.int32), np.array([0, n])
    found = {"video": zeros, "start": start, "end": start + 50, "score": score}
    few = start[::8] + 500
    truth = {"truth_video": zeros[::8], "truth_start": few, "truth_end": few + 100}
    features = np.ones((n, 64), np.float32)
    return {
        "suppress": lambda: _core.suppress(start, start + 50, score, zeros, offsets, NMS),
        "average_precision": lambda: _core.average_precision(
            **found, **truth, truth_label=zeros[::8], label=zeros, classes=1, videos=1, options=AP
        ),
        "average_recall": lambda: _core.average_recall(**found, **truth, videos=1, thresholds=[0.5]),
        "constrained_kmedoids": lambda: _core.constrained_kmedoids(features, np.arange(100, n, 2000), max_sweeps=20),
    }[name]


@pytest.mark.parametrize("name", ["suppress", "average_precision", "average_recall", "constrained_kmedoids"])
def test_python_goes_on_while_the_core_computes(name):
    """Held, the GIL would let this thread take no step between the call's begin and its end."""
    call, steps = heavy(name), 0
    begun, ended = threading.Event(), threading.Event()

    def work():
        begun.set()
        call()
        ended.set()

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait()
    while not ended.wait(0.001):
        steps += 1
    worker.join()
    assert steps >= 5
