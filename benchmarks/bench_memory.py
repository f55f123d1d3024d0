"""Measures what a long-lived process keeps of its longest video, and what giving it back costs.

    python benchmarks/bench_memory.py [--rounds N] [--snippets 6000 20000 60000]

Each row is a fresh process that localizes short videos, then long, short, long, short, and reads its resident size
after each; then it times short and middle ones. All ways are run once a round, so drift hits all alike; figures are
medians over the rounds, with least and most. Lengths that are stored with as many rounds stay.

kept          no arena, nothing else: what glibc frees stays with the process
trim          no arena, `malloc_trim` after a certain amount of work (`tal_engine.backends.memory`): what is shipped
arena         ONNX Runtime's arena
arena+shrink  the same, shrunk after each run (`memory.enable_memory_arena_shrinkage`)
mmap          no arena, glibc maps each block from 128 KiB on for itself
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import store, stored
from memory_worker import WAYS

NAME = "bench_memory"
WORKER = Path(__file__).with_name("memory_worker.py")


def measured(way: str, snippets: int) -> dict[str, Any]:
    """One process."""
    done = subprocess.run(
        [sys.executable, str(WORKER), way, str(snippets)], capture_output=True, text=True, check=True, timeout=900
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, least and most of each number, by name."""
    out: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [r[name] for r in runs]
        out[name] = summed(values) if isinstance(value, dict) else over_rounds(values)
    return out


def over_rounds(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def earlier(rounds: int) -> dict[str, Any]:
    """Lengths that were measured with as many rounds; one by one they fit into a short time."""
    figures = stored(NAME).get("figures", {})
    return dict(figures["snippets"]) if figures.get("rounds") == rounds else {}


def main() -> None:
    """Measure all, print a table, keep the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--snippets", type=int, nargs="+", default=[6000, 20_000, 60_000])
    asked = ask.parse_args()
    figures: dict[str, Any] = earlier(asked.rounds)
    print(f"{'snippets':>8} {'way':<13} {'MiB kept after long, short, long, short':<40} {'peak':>6}  CPU ms a call")
    for snippets in asked.snippets:
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(asked.rounds):
            for way in WAYS:
                runs[way].append(measured(way, snippets))
        figures[str(snippets)] = {way: summed(of) for way, of in runs.items()}
        for way, row in figures[str(snippets)].items():
            kept = "  ".join(f"{v['median']:7.1f}" for v in row["grown"].values())
            times = "  ".join(f"{k} {v['median']:.2f}" for k, v in row["cpu_ms"].items())
            print(f"{snippets:>8} {way:<13} {kept:<40} {row['peak']['median']:6.0f}  {times}", flush=True)
        ordered = dict(sorted(figures.items(), key=lambda item: int(item[0])))
        store(NAME, {"rounds": asked.rounds, "snippets": ordered})


if __name__ == "__main__":
    main()
