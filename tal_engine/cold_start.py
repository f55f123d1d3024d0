"""How long a fresh process waits for its first segments, and how much memory it takes.

`main` runs in that process and imports everything inside, so that it can time it; `cold_start` starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_CODE = "import time; t = time.perf_counter(); from tal_engine.cold_start import main; main(t)"


def main(began: float) -> None:
    """Load the plan, localize the source twice, print seconds and memory as one JSON line.

    The command line's only argument is JSON: plan, device, source (a path, or null for random features of `snippets`
    snippets), threads.

    Args:
        began: `time.perf_counter` before the first import.
    """
    from .engine import TALEngine

    asked = json.loads(sys.argv[1])
    imported = time.perf_counter()
    engine = TALEngine.load(asked["plan"], asked["device"], threads=asked["threads"])
    loaded = time.perf_counter()
    source: Any = asked["source"]
    if source is None:
        source = random_features(engine.plan.manifest.streams, asked["snippets"], 0)
    prepared = time.perf_counter()
    engine.localize(source)
    first = time.perf_counter()
    engine.localize(source)
    second = time.perf_counter()
    document = {
        "import_s": imported - began,
        "load_s": loaded - imported,
        "first_call_s": first - prepared,
        "second_call_s": second - first,
        "peak_mib": _peak_mib(),
        "gpu_free_mib": gpu_free_mib(),
    }
    sys.stdout.write(json.dumps(document) + "\n")


def random_features(streams: dict[str, int], snippets: int, seed: int) -> dict[str, Any]:
    """Standard normal features [snippets, width] by stream."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((snippets, dim), np.float32) for name, dim in streams.items()}


def gpu_free_mib() -> int | None:
    """Free memory of all cards together; None without a card."""
    from .hardware import cards

    gpus = cards().gpus
    return sum(g.free_mib for g in gpus) if gpus else None


def _peak_mib() -> float | None:
    """Most memory that this process had at a time; None where the system does not tell (Windows)."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def cold_start(asked: dict[str, Any], *, cached: bool, repeats: int = 3) -> dict[str, dict[str, Any]]:
    """Start fresh processes one after the other.

    Args:
        asked: see `main`.
        cached: the device keeps what it compiles: measured without its cache, then with it. Else the one way there is.
        repeats: processes that are measured with the cache, or without where there is none.

    Returns:
        By "cold" or, with a cache, "without_cache" and "with_cache": the process with the median of `total_s`, which
        is import, load and first call. `process_s` is all that the process took, its end included.

    Raises:
        RuntimeError: a process failed; the message is its last line.
    """
    if not cached:
        return {"cold": _median([_one(asked, {}) for _ in range(repeats)])}
    with tempfile.TemporaryDirectory(prefix="tal-cold-") as folder:
        place = {"TAL_CACHE": folder}
        without = _one(asked, place)
        return {"without_cache": without, "with_cache": _median([_one(asked, place) for _ in range(repeats)])}


def _one(asked: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    before = gpu_free_mib()
    began = time.perf_counter()
    # From the folder above the package: an installed one is found anyhow, one that lies there too.
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps(asked)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    taken = time.perf_counter() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"a fresh process did not start: {lines[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    free = found.pop("gpu_free_mib")
    found["gpu_mib"] = None if before is None or free is None else max(before - free, 0)
    found["total_s"] = found["import_s"] + found["load_s"] + found["first_call_s"]
    return found | {"process_s": taken}


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return sorted(runs, key=lambda r: float(r["total_s"]))[len(runs) // 2]
