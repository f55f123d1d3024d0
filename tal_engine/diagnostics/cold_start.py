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

_CODE = "import time; t = time.perf_counter(); from tal_engine.diagnostics.cold_start import main; main(t)"


def main(began: float) -> None:
    """Load the plan, localize the source twice, print seconds and memory as one JSON line.

    The command line's only argument is JSON: plan, device, source (a path, or null for random features of `snippets`
    snippets), threads, timeout, key.

    Args:
        began: `time.perf_counter` before the first import.
    """
    from ..engine import TALEngine

    asked = json.loads(sys.argv[1])
    imported = time.perf_counter()
    options = {name: asked[name] for name in ("threads", "timeout", "key") if name in asked}
    engine = TALEngine.load(asked["plan"], asked["device"], **options)
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
    """Draw standard normal features [snippets, width] by stream."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((snippets, dim), np.float32) for name, dim in streams.items()}


def gpu_free_mib() -> int | None:
    """Free memory of all cards together; None without a card."""
    from .._util.hardware import cards

    gpus = cards().gpus
    return sum(g.free_mib for g in gpus) if gpus else None


def _peak_mib() -> float | None:
    """Return this process's peak memory in MiB; None where the system does not report it (Windows)."""
    status = Path("/proc/self/status")  # Linux; what getrusage says there is never less than the parent had at the fork
    if status.exists():
        lines = (line.split() for line in status.read_text().splitlines())
        return next((int(words[1]) / 1024 for words in lines if words and words[0] == "VmHWM:"), None)
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
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    taken = time.perf_counter() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"a fresh process did not start: {lines[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    free = figures.pop("gpu_free_mib")
    figures["gpu_mib"] = None if before is None or free is None else max(before - free, 0)
    figures["total_s"] = figures["import_s"] + figures["load_s"] + figures["first_call_s"]
    return figures | {"process_s": taken}


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return sorted(runs, key=lambda r: float(r["total_s"]))[len(runs) // 2]
