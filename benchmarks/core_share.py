"""How much of each batched call of the core two threads share, by processor time, which other load hardly moves.

    python benchmarks/core_share.py [--rounds N] [--extension FILE]

Builds the core so that the caller of two threads waits for them (TAL_CALLER_WAITS): its own processor time is then
what is not shared, the start of threads included. On two idle cores a call takes that and half of the rest, if the two
do not get in each other's way; the ratio to one thread says how far two threads can go. Also the time for each interval
of one group of growing size, one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SIZES = (10_000, 100_000, 1_000_000)


def build(folder: Path) -> Path:
    """Build the extension whose caller waits; its file."""
    import pybind11

    words = ["cmake", "-S", str(ROOT), "-B", str(folder), "-DSKBUILD=ON", "-DCMAKE_BUILD_TYPE=Release"]
    words += ["-DCMAKE_CXX_FLAGS=-DTAL_CALLER_WAITS", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    subprocess.run([*words, f"-DPython_EXECUTABLE={sys.executable}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("_core*"))


def take(extension: Path) -> None:
    """Let this process use that extension; before the package's own is imported."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("tal_engine._core", extension)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{extension}: no extension")
    module = module_from_spec(spec)
    sys.modules["tal_engine._core"] = module
    spec.loader.exec_module(module)


def cpu_ms(run: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of the caller's thread, and of the whole process."""
    own, all_of_it = time.thread_time(), time.process_time()
    run()
    return 1e3 * (time.thread_time() - own), 1e3 * (time.process_time() - all_of_it)


def shares(rounds: int) -> dict[str, Any]:
    from core_growth import batched
    from core_work import say

    rows: dict[str, Any] = {}
    for (name, one), two in zip(batched(1).items(), batched(2).values(), strict=True):
        taken = [(cpu_ms(one)[1], *cpu_ms(two)) for _ in range(rounds)]
        alone, caller, both = (statistics.median(column) for column in zip(*taken, strict=True))
        row = {"one_ms": alone, "caller_ms": caller, "shared_ms": both - caller}
        rows[name] = row | {"at_most": alone / (caller + (both - caller) / 2)}
        say(f"{name}: {rows[name]}")
    return rows


def growth(rounds: int) -> dict[str, Any]:
    import core_inputs as inputs
    from core_work import HARD, SOFT, nms, proposals, say

    from tal_engine.options import ProposalOptions

    works: dict[str, Callable[[int], Callable[[], Any]]] = {
        "gaussian soft-NMS": lambda n: nms(inputs.intervals(n, span=n / 10), SOFT),
        "hard NMS": lambda n: nms(inputs.intervals(n, span=n / 10), HARD),
        "proposals, one video": lambda n: proposals(inputs.activations(n, 1), ProposalOptions(), None),
    }
    rows: dict[str, Any] = {}
    for name, make in works.items():
        calls = {n: make(n) for n in SIZES}
        taken = {n: [cpu_ms(run)[1] for _ in range(rounds)] for n, run in calls.items()}
        rows[name] = {str(n): 1e6 * statistics.median(values) / n for n, values in taken.items()}
        say(f"{name}, ns each: {rows[name]}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--extension", type=Path, help="one that is built so already")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tal-share-") as folder:
        take(args.extension or build(Path(folder)))
        from common import finish

        load = round(os.getloadavg()[0], 1)
        figures = {"rounds": args.rounds, "load": load, "shares": shares(args.rounds), "growth": growth(args.rounds)}
    finish("core_share", figures)


if __name__ == "__main__":
    main()
