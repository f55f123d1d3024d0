"""Soft-NMS through the public call beside ActionFormer's and OpenTAD's own C++, compiled here, in the same rounds.

    python benchmarks/core_same_run.py FOLDER [--rounds N]

FOLDER holds checkouts named as `git clone` names them: actionformer_release, OpenTAD. Their extensions are compiled
by torch (needs ninja) in its own cache; nothing of them is part of this project. One thread each; processor time, so
that other work on the machine counts little; the median of rounds in turn. Both keep every interval.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import core_inputs as inputs
from common import finish
from core_peers import peers_in
from core_work import SOFT, nms, say

#: What is suppressed, calls a round, how many times quicker we aim to be.
ROWS: tuple[tuple[str, Callable[[], inputs.Intervals], str, int, float], ...] = (
    ("N = 100", partial(inputs.intervals, 100), "soft", 200, 4),
    ("N = 1,000", partial(inputs.intervals, 1000), "soft", 10, 10),
    ("N = 5,000", partial(inputs.intervals, 5000), "soft", 1, 10),
    ("200 classes x 200", partial(inputs.intervals, 40_000, classes=200), "soft by class", 1, 10),
)


def cpu_seconds(run: Callable[[], Any], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - began) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    peers = {name: work for name, work in peers_in(args.folder).items() if "soft" in work}
    if not peers:
        raise SystemExit(f"{args.folder}: no checkout named actionformer_release or OpenTAD")
    rows: dict[str, Any] = {}
    for name, make, kind, calls, aim in ROWS:
        x = make()
        work = {"ours": nms(x, SOFT)} | {peer: does[kind](x) for peer, does in peers.items()}
        taken: dict[str, list[float]] = {who: [] for who in work}
        for _ in range(args.rounds):
            for who, run in work.items():
                taken[who].append(cpu_seconds(run, calls))
        ms = {who: 1e3 * statistics.median(values) for who, values in taken.items()}
        rows[name] = {"ms": ms, "times": {p: ms[p] / ms["ours"] for p in peers}, "aim": aim}
        say(f"{name}: " + ", ".join(f"{p} {v:.3g} ms" for p, v in ms.items()) + f", times {rows[name]['times']}")
    finish("core_same_run", {"rows": rows, "rounds": args.rounds, "load": round(os.getloadavg()[0], 1)})


if __name__ == "__main__":
    main()
