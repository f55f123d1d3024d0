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
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import core_inputs as inputs
from common import finish, interleaved
from core_growth import curves, memory, threads
from core_peers import Work, open_peers
from core_work import ANET, HARD, SOFT, WTAL, mean_ap, nms, numpy_hard, numpy_soft, proposals, recall, say

from tal_engine.options import NmsOptions, ProposalOptions


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
        *(
            Case(f"soft-NMS, {name}, {threads}", "all kept; the peer used two threads", af, peer_s, 10,
                 nms(x, SOFT, number), ("soft by class", x) if number == 2 else ())
            for name, x, peer_s in (
                ("200 classes x 200", by_class, 43.25e-3), ("213 videos x 2,000, 20 classes", videos, 0.746))
            for number, threads in ((1, "one thread"), (2, "two threads"))
        ),
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
            f"{case.name:50} {row['ours_ms']:9.3f} ms | target {row['target_ms']:8.3f} ms | {case.peer} "
            f"{row['peer_stored_ms']:.4g} ms = {row['times_stored']:.0f}x{beside} | "
            f"{'PASS' if row['pass'] else 'short'}"
        )
    return rows


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
