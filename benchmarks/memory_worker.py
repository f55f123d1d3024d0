"""One process of `bench_memory`: localizes long and short videos, one way of giving memory back; prints JSON.

    python benchmarks/memory_worker.py WAY SNIPPETS

The plan `demo` on one thread, features in memory. Resident size is read after each step; the time of a call is the
CPU time of the process, which does not depend on what else runs on the machine.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tal_engine import TALEngine
from tal_engine.backends import memory, ort

#: What the ways are; "kept" is what freed memory did before it was given back.
WAYS = ("kept", "trim", "arena", "arena+shrink", "mmap")
SHORT, MIDDLE = 40, 2000
#: `mallopt`'s parameter for the size from which blocks are mapped each for itself; setting it stops its growth.
_M_MMAP_THRESHOLD = -3


def choose(way: str) -> None:
    """Make this process give memory back in one way."""
    if way != "trim":
        memory._malloc_trim = lambda: None
    if way == "mmap":
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 128 << 10)
    if way.startswith("arena"):
        plain = ort.session_options

        def with_arena(options: Any) -> Any:
            made = plain(options)
            made.enable_cpu_mem_arena = True
            return made

        ort.session_options = with_arena
    if way == "arena+shrink":
        run = ort.ort.RunOptions()
        run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

        def shrinking(self: Any, feeds: Any) -> Any:
            return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds), run), strict=True))

        ort.OrtBackend.run = shrinking


def resident_mib() -> float:
    """Resident size of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_ms(call: Callable[[], Any], times: int) -> float:
    """Median CPU time of a call."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken) * 1e3


def main(way: str, snippets: int) -> None:
    """Measure and print."""
    choose(way)
    engine = TALEngine.load("demo", "cpu", threads=1)
    rng = np.random.default_rng(0)

    def features(count: int) -> dict[str, Any]:
        return {n: rng.standard_normal((count, d), np.float32) for n, d in engine.plan.manifest.streams.items()}

    def localize(count: int) -> None:
        engine.localize(features(count))

    def shorts() -> None:
        for _ in range(3):
            localize(SHORT)

    for _ in range(20):
        localize(SHORT)
    start, steps = resident_mib(), {}
    for name, run in (("long", lambda: localize(snippets)), ("short", shorts)) * 2:
        run()
        steps[f"{name} {1 + (name in steps)}" if name in steps else name] = round(resident_mib() - start, 1)
    short, middle = features(SHORT), features(MIDDLE)
    times = {
        f"T={SHORT}": cpu_ms(lambda: engine.localize(short), 300),
        f"T={MIDDLE}": cpu_ms(lambda: engine.localize(middle), 15),
    }
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"start": start, "grown": steps, "peak": int(peak.split()[1]) / 1024, "cpu_ms": times}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
