"""What every benchmark shares: who ran it, how long things take, where results are kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rooms import code_record

from tal_engine._util.files import write_text
from tal_engine._util.instructions import instructions

RESULTS = Path(__file__).parent / "results"
SHARED = Path(os.environ.get("TAL_SHARED", Path(__file__).parents[2] / "shared")) / "data"

#: Variables that choose among kernels, or among the ways in which threads share a sum: training follows another path.
SETTINGS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """CPU, cores, memory, system, versions, and what moves the last bits of sums: instruction sets and settings."""
    cpu = platform.processor() or "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")), cpu)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("tal-engine", "numpy", "onnxruntime", "opencv-contrib-python-headless", "av", "torch")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {p: _version(p) for p in packages},
        "instructions": str(instructions()),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def interleaved(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each piece of work; all are run once a round, so drift hits all alike."""
    for run in work.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            began = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


def spread(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.mean(values), "sd": deviation, "values": values}


def store(name: str, figures: dict[str, Any], part: str | None = None) -> dict[str, Any]:
    """Keep the figures with machine and command; also what a run has so far.

    With `part` the figures are those of one part of a benchmark. The other parts stay as they are
    stored, each with the machine and the command that it was measured by.
    """
    run = this_run(name, part)
    document: dict[str, Any] = {"benchmark": name, **run, "figures": figures}
    if part is not None:
        before = stored(name)
        document["figures"] = {**before.get("figures", {}), part: figures}
        earlier = {k: before[k] for k in ("date", "command", "machine") if k in before}
        document.pop("code", None)  # each part has its own
        known = dict.fromkeys(before.get("figures", {}), earlier) | before.get("parts", {})
        document["parts"] = {**known, part: run}
    write_text(RESULTS / f"{name}.json", json.dumps(document, indent=1) + "\n")
    return document


def every_stored() -> dict[str, dict[str, Any]]:
    """All stored results by benchmark."""
    return {path.stem: stored(path.stem) for path in sorted(RESULTS.glob("*.json"))}


def stored(name: str) -> dict[str, Any]:
    """What is stored of a benchmark; {} if nothing is."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def this_run(name: str | None = None, part: str | None = None) -> dict[str, Any]:
    """Date, command and machine of what is running; of a named benchmark also what code it measures."""
    run = {"date": time.strftime("%Y-%m-%d"), "command": " ".join(["python", *sys.argv]), "machine": machine()}
    code = code_record(name, part) if name is not None else None
    return run | ({"code": code} if code else {})


def finish(name: str, figures: dict[str, Any], part: str | None = None) -> None:
    """Store the figures and print them as the last line."""
    print(json.dumps(store(name, figures, part)))
