"""How time and memory of the core grow with the input, and what a second thread brings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import core_inputs as inputs
import numpy as np
from common import interleaved
from core_work import ANET, HARD, SOFT, WTAL, mean_ap, nms, proposals, recall, say

from tal_engine.options import NmsOptions, ProposalOptions


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
            code = f"import core_growth; core_growth.grown({name!r}, {n})"
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
