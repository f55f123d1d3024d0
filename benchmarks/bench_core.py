"""Times the C++ core against the peers' figures, and shows how cost and memory grow.

    python benchmarks/bench_core.py [--rounds N] [--parts table curves memory threads] [--peer NAME=PATH ...]

table    the work that peers were measured on: our median of interleaved rounds, one thread, the
         whole call from Python; the best peer's stored figure (other process, same machine type,
         see core_inputs.py for what is equal) and, with --peer, that peer's own code in the same rounds.
curves   time against size up to 10^6, and the exponent: 1 is linear.
memory   peak growth of a fresh process during one call, against the bytes of its input.
threads  one thread against two on batched work.

--peer NAME=PATH runs a peer from a checkout that you have: actionformer, opentad (C++, needs torch
and ninja), mmaction2. Their code is not part of this project.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import core_inputs as inputs
import numpy as np
from common import finish, interleaved
from core_peers import Work, open_peers

from tal_engine import _core
from tal_engine.ops import native_nms_options as native_nms
from tal_engine.ops import native_proposal_options as native_proposals
from tal_engine.options import NmsOptions, ProposalOptions, linspace

WTAL, ANET = linspace(0.1, 0.7, 7), linspace(0.5, 0.95, 10)
SOFT = NmsOptions(kind="gaussian", sigma=0.5)
HARD = NmsOptions(kind="hard", threshold=0.5, inclusive=True)


# -- our side ----------------------------------------------------------------------------------


def nms(x: inputs.Intervals, options: NmsOptions, threads: int = 1) -> Callable[[], Any]:
    native = native_nms(options)
    return lambda: _core.suppress(*x.columns, native, threads=threads)


def proposals(
    a: inputs.Activations, options: ProposalOptions, after: NmsOptions | None, threads: int = 1
) -> Callable[[], Any]:
    """Proposals of all videos; `after`: then suppression in each video and class."""
    native, last = native_proposals(options), native_nms(after) if after else None

    def run() -> Any:
        columns = _core.propose(a.cas, a.attention, a.offsets, native, threads=threads)
        return columns if last is None else _core.suppress(*columns, last, threads=threads)

    return run


def mean_ap(d: inputs.Detections, tious: tuple[float, ...], threads: int = 1) -> Callable[[], Any]:
    options = _core.ApOptions(
        thresholds=list(tious), matching=_core.Matching.best_free, rule=_core.ApRule.interpolated,
        inclusive=True, true_first=False,
    )  # fmt: skip
    return lambda: _core.average_precision(**d.arguments(), options=options, threads=threads)


def recall(d: inputs.Detections, threads: int = 1) -> Callable[[], Any]:
    arguments = {k: v for k, v in d.arguments().items() if k not in ("truth_label", "label", "classes")}
    return lambda: _core.average_recall(**arguments, thresholds=list(ANET), max_average=100.0, threads=threads)


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


# -- the table ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One row: the input, what the peers took for it (seconds) and how many times quicker we must be."""

    name: str
    what: str
    peer: str
    peer_s: float
    times: float
    run: Callable[[], Any]
    #: Name of the work in core_peers and its arguments.
    work: tuple[Any, ...] = ()
    numpy: Callable[[], Any] | None = None
    target_s: float | None = None


def cases() -> list[Case]:
    few, some, many = (inputs.intervals(n) for n in (100, 5000, 20_000))
    by_class = inputs.intervals(40_000, classes=200)
    videos = inputs.intervals(2000, videos=inputs.VIDEOS, classes=20)
    a = inputs.activations()
    sets = {"42.6k": inputs.thumos(200), "426k": inputs.thumos(2000), "2.46M": inputs.anet(500)}
    thumos = f"{inputs.VIDEOS} videos, {inputs.SNIPPETS} snippets, 20 classes"
    pvlr = ProposalOptions()
    proposed = {
        "pvlr": proposals(a, pvlr, NmsOptions(sigma=0.2)),
        "fine": proposals(a, inputs.fine_options(), NmsOptions(kind="hard", threshold=0.6)),
    }
    count = {k: len(f()[0]) for k, f in proposed.items()}
    af, od, mm = "ActionFormer C++", "OpenTAD C++", "mmaction2, float32"
    return [
        Case("gaussian soft-NMS, N = 100", "sigma .5, all kept, call included", od, 54e-6, 1, nms(few, SOFT),
             ("soft", few), numpy_soft(few), 15e-6),
        Case("gaussian soft-NMS, N = 5,000", "sigma .5, all kept", od, 74e-3, 10, nms(some, SOFT),
             ("soft", some), numpy_soft(some)),
        Case("gaussian soft-NMS, N = 20,000", "sigma .5, all kept; aim: 30x", od, 1.19, 10, nms(many, SOFT),
             ("soft", many)),
        Case("the same, lengths log-normal", "13% of pairs overlap", od, 1.19, 10,
             nms(inputs.intervals(20_000, wide=True), SOFT)),
        Case("hard NMS, N = 20,000", "tIoU .5", "PVLR (NumPy)", 11e-3, 5, nms(many, HARD), ("hard", many),
             numpy_hard(many)),
        Case("soft-NMS, 200 classes x 200", "one video, all kept; the peer used two threads", af, 43.25e-3, 10,
             nms(by_class, SOFT), ("soft by class", by_class)),
        Case("soft-NMS, 213 videos x 2,000", "20 classes, all kept; the peer used two threads", af, 0.746, 10,
             nms(videos, SOFT), ("soft by class", videos)),
        Case("PVLR proposals, OIC, soft-NMS", f"{thumos}, 10 + 10 thresholds, {count['pvlr']} proposals", "PVLR", 1.29,
             100, proposed["pvlr"]),
        Case("x24, 43 thresholds, OIC, hard NMS", f"{thumos}, 10 + 33 thresholds, {count['fine']} left", "CoLA", 3.64,
             100, proposed["fine"]),
        *(
            Case(f"mAP, {name} predictions", f"{d.videos} videos, {d.classes} classes, {len(t)} overlaps at once", mm,
                 peer_s, 30, mean_ap(d, t), ("mean_ap", d, t))
            for (name, d), t, peer_s in zip(sets.items(), (WTAL, WTAL, ANET), (0.647, 6.40, 25.92), strict=True)
        ),
        Case("AR@AN, 493k proposals", "4,926 videos x 100, 10 overlaps, 100 steps", mm, 10.45, 100,
             recall(inputs.anet(100)), ("recall", inputs.anet(100), ANET)),
    ]  # fmt: skip


def repeat(run: Callable[[], Any], calls: int) -> None:
    for _ in range(calls):
        run()


def table(rounds: int, peers: dict[str, Work]) -> dict[str, Any]:
    rows = {}
    for case in cases():
        work: dict[str, Callable[[], Any]] = {"ours": case.run}
        if case.numpy:
            work["numpy"] = case.numpy
        for name, does in peers.items():
            if case.work and case.work[0] in does:
                work[name] = does[case.work[0]](*case.work[1:])
        slow = len(work) > 1 and case.peer_s > 1
        # A call of microseconds is timed a hundred at once.
        calls = 100 if case.peer_s < 1e-3 else 1
        taken = interleaved({k: partial(repeat, f, calls) for k, f in work.items()}, 3 if slow else rounds)
        taken = {k: v / calls for k, v in taken.items()}
        ours, target = taken.pop("ours"), case.target_s or case.peer_s / case.times
        rows[case.name] = row = {
            "what": case.what,
            "ours_ms": 1e3 * ours,
            "target_ms": 1e3 * target,
            "peer": case.peer,
            "peer_stored_ms": 1e3 * case.peer_s,
            "times_stored": case.peer_s / ours,
            "same_run": {k: {"ms": 1e3 * v, "times": v / ours} for k, v in taken.items()},
            "pass": ours <= target,
        }
        beside = "".join(f", {k} {v['ms']:.3g} ms = {v['times']:.0f}x" for k, v in row["same_run"].items())
        say(
            f"{case.name:36} {row['ours_ms']:9.3f} ms | target {row['target_ms']:8.3f} ms | {case.peer} "
            f"{row['peer_stored_ms']:.4g} ms = {row['times_stored']:.0f}x{beside} | "
            f"{'PASS' if row['pass'] else 'short'}"
        )
    return rows


# -- growth, memory, threads -------------------------------------------------------------------


def curves(rounds: int) -> dict[str, Any]:
    sizes = (1000, 10_000, 100_000, 1_000_000)
    fixed = (1000, 3000, 10_000, 30_000)
    density = {n: inputs.intervals(n, span=n / 10) for n in sizes}
    crowded = {n: inputs.intervals(n) for n in fixed}
    far = {n: inputs.intervals(n) for n in sizes}
    long = {n: inputs.activations(n, max(1, n // 300)) for n in sizes}
    tall = {n: inputs.activations(n, 1) for n in sizes}
    found = {n: inputs.detections(max(1, n // 2000), min(n, 2000), 20, 15.8) for n in sizes}
    series = {
        "gaussian soft-NMS, N; 10 starts a second": {n: nms(x, SOFT) for n, x in density.items()},
        "gaussian soft-NMS, N; all in 100 s (8% of N^2 / 2 pairs overlap and each counts)": {
            n: nms(x, SOFT) for n, x in crowded.items()
        },
        "hard NMS, N; 10 starts a second": {n: nms(x, HARD) for n, x in density.items()},
        "hard NMS, N; all in 100 s": {n: nms(x, HARD) for n, x in far.items()},
        "proposals, T; videos of 300 snippets": {n: proposals(a, ProposalOptions(), None) for n, a in long.items()},
        "proposals, T; one video": {n: proposals(a, ProposalOptions(), None) for n, a in tall.items()},
        "mAP, predictions; 2,000 a video": {n: mean_ap(d, WTAL) for n, d in found.items()},
    }
    rows = {}
    for name, work in series.items():
        taken = interleaved({str(n): f for n, f in work.items()}, max(3, rounds // 4))
        n, t = np.log(list(work)), np.log(list(taken.values()))
        exponent = float(np.polyfit(n, t, 1)[0])
        last = float((t[-1] - t[-2]) / (n[-1] - n[-2]))
        rows[name] = {"ms": {k: 1e3 * v for k, v in taken.items()}, "exponent": exponent, "last_step": last}
        times = ", ".join(f"{int(k):,}: {1e3 * v:.4g} ms" for k, v in taken.items())
        say(f"{name}: {times}; exponent {exponent:.2f}, of the last step {last:.2f}")
    return rows


def batched(threads: int) -> dict[str, Callable[[], Any]]:
    """Work of many pieces, each large enough for two threads to matter."""
    a, t = inputs.activations(), inputs.thumos(2000)
    videos = inputs.intervals(2000, videos=inputs.VIDEOS, classes=20)
    return {
        "soft-NMS, 213 videos x 2,000": nms(videos, SOFT, threads),
        "soft-NMS, 200 classes x 200": nms(inputs.intervals(40_000, classes=200), SOFT, threads),
        "hard NMS, 213 videos x 2,000": nms(videos, HARD, threads),
        "PVLR proposals": proposals(a, ProposalOptions(), None, threads),
        "PVLR proposals, OIC, soft-NMS": proposals(a, ProposalOptions(), NmsOptions(sigma=0.2), threads),
        "mAP, 426k predictions": mean_ap(t, WTAL, threads),
        "mAP, 2.46M predictions": mean_ap(inputs.anet(500), ANET, threads),
        "AR@AN, 493k proposals": recall(inputs.anet(100), threads),
    }


def threads(rounds: int) -> dict[str, Any]:
    rows = {}
    for (name, one), two in zip(batched(1).items(), batched(2).values(), strict=True):
        taken = interleaved({"one": one, "two": two}, rounds)
        rows[name] = {"one_ms": 1e3 * taken["one"], "two_ms": 1e3 * taken["two"], "times": taken["one"] / taken["two"]}
        say(f"{name:36} {rows[name]['one_ms']:9.3f} ms, two threads {rows[name]['two_ms']:9.3f} ms = "
            f"{rows[name]['times']:.2f}x")  # fmt: skip
    return rows


MEMORY: dict[str, Callable[[int], Callable[[], Any]]] = {
    "gaussian soft-NMS, videos of 2,000": lambda n: nms(inputs.intervals(2000, videos=n // 2000, classes=20), SOFT),
    "gaussian soft-NMS, one group": lambda n: nms(inputs.intervals(n, span=n / 10), SOFT),
    "hard NMS, one group": lambda n: nms(inputs.intervals(n, span=n / 10), HARD),
    "proposals": lambda n: proposals(inputs.activations(n, n // 300), ProposalOptions(), None),
    "mAP": lambda n: mean_ap(inputs.detections(n // 2000, 2000, 20, 15.8), WTAL),
}


def status(field: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def grown(name: str, n: int) -> None:
    """Print the peak growth of this process during one call; run in a fresh process."""
    run = MEMORY[name](n)
    MEMORY[name](2000)()  # code and pools
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    out = run()
    arrays = out if isinstance(out, tuple) else (out,)
    print(status("VmHWM") - before, sum(x.nbytes for x in arrays))


def memory(_: int) -> dict[str, Any]:
    row_bytes = {"proposals": 4 * 22, "mAP": 4 + 4 + 3 * 8}
    rows = {}
    for name in MEMORY:
        rows[name] = {}
        for n in (250_000, 1_000_000):
            code = f"import bench_core; bench_core.grown({name!r}, {n})"
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
                env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "0"},
            )  # fmt: skip
            peak, out = map(int, done.stdout.split())
            size = n * row_bytes.get(name, 3 * 8 + 4)
            rows[name][str(n)] = {"input_bytes": size, "output_bytes": out, "peak_growth_bytes": peak,
                                  "growth_less_output_over_input": (peak - out) / size}  # fmt: skip
        told = ", ".join(
            f"{int(k):,} rows: input {v['input_bytes'] / 2**20:.1f} MiB, result {v['output_bytes'] / 2**20:.1f}, "
            f"peak growth {v['peak_growth_bytes'] / 2**20:.1f}, less the result "
            f"{v['growth_less_output_over_input']:.2f}x input"
            for k, v in rows[name].items()
        )
        say(f"{name}: {told}")
    return rows


def say(text: str) -> None:
    print(text, flush=True)


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {"curves": curves, "memory": memory, "threads": threads}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parts", nargs="+", choices=["table", *PARTS], default=["table", *PARTS])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH")
    args = parser.parse_args()
    peers = open_peers(args.peer)
    made = {k: " ".join((getattr(inputs, k).__doc__ or "").split()) for k in ("intervals", "activations", "detections")}
    figures: dict[str, Any] = {"inputs": made, "rounds": args.rounds, "peers_run": args.peer}
    for part in args.parts:
        say(f"\n-- {part}")
        figures[part] = table(args.rounds, peers) if part == "table" else PARTS[part](args.rounds)
    finish("bench_core", figures)


if __name__ == "__main__":
    main()
