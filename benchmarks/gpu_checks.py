"""Parts "checks" and "parity" of gpu_day: the tests that need a card, and segments of the card against the CPU's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gpu_common import ROOT, Day, missing

#: What a card does to the process that reads beyond an array: the error that the product has to recognise.
_BEYOND = """
import torch
torch.zeros(4, device="cuda")[torch.tensor([10**6], device="cuda")]
torch.cuda.synchronize()
"""


def checks(day: Day) -> None:
    day.row("pytest -m gpu", lambda: _tests(day), ["pytest", "pydantic", "tal_engine._core"], least=10.0)
    day.row("an access beyond an array", lambda: _beyond(day), ["torch"])
    day.row("more memory than there is", lambda: _too_much(day), ["torch"])


def _tests(day: Day) -> dict[str, Any]:
    """Counts of the tests that are for a card; without one all of them are skipped."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-q",
        "-p",
        "no:cacheprovider",
        "-rfEs",
        "tests/unit/backends/test_card.py",
    ]
    if not missing(["xdist"]):
        command += ["-n", "0"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"} if day.rehearse else None
    left = max(day.left, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tests", "benchmarks", "pyproject.toml"):
            (Path(folder) / name).symlink_to(ROOT / name)
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, timeout=left, check=False, env=environment
        )
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|skipped|errors?|warnings?)", done.stdout)}
    lines = [x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR", "SKIPPED"))]
    if done.returncode not in (0, 5):
        lines += [" ".join((done.stdout + done.stderr).split()[-120:])]
    return {"exit_status": done.returncode, **counts, "lines": lines[:20]}


def _beyond(day: Day) -> dict[str, Any]:
    """What a process says whose card is lost to it, and whether the product takes it for that."""
    from tal_engine.backends.card_tensor import is_lost

    if day.device == "cpu":
        said = "CUDA error: device-side assert triggered"  # as torch 2.11 words it
        return {"said": said, "recognised": is_lost(said), "raised": "not on a card"}
    done = subprocess.run([sys.executable, "-c", _BEYOND], capture_output=True, text=True, timeout=60, check=False)
    said = done.stderr.strip().splitlines()
    text = next((line for line in reversed(said) if "CUDA" in line or "assert" in line), said[-1] if said else "")
    return {"said": text[:300], "recognised": is_lost(done.stderr), "raised": f"exit status {done.returncode}"}


def _too_much(day: Day) -> dict[str, Any]:
    """Whether the card's own words for memory that is short are those that the product retries on."""
    import torch

    if day.device == "cpu":
        return {"said": "not on a card"}
    free, total = torch.cuda.mem_get_info()
    try:
        torch.empty(total * 2, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError as e:
        return {"said": str(e)[:200], "total_gib": round(total / 2**30, 1), "free_gib": round(free / 2**30, 1)}
    return {"said": "nothing: twice the card's memory was given"}


def parity(day: Day) -> None:
    """`tal diff --gate` of what both devices find, on rendered clips, features on random numbers."""
    from gpu_streams import clips

    videos = clips(day)[: day.pick(8, 1)]
    day.row("clips", lambda: _compared(day, videos))
    day.row("clips, features kept on the card", lambda: _compared(day, videos, kept=True))


def _compared(day: Day, videos: list[Path], kept: bool = False) -> dict[str, Any]:
    """Detections by the CPU and by the card, compared by the command itself."""
    from tal_engine import TALEngine
    from tal_engine.outputs.writers.activitynet import write

    with tempfile.TemporaryDirectory() as folder:
        files, on = [Path(folder) / "cpu.json", Path(folder) / "card.json"], {}
        for path, device in zip(files, ("cpu", day.device), strict=True):
            more = {"on_card": True} if kept and path == files[1] else {}
            engine = TALEngine.load("demo", device, strict=True, **more)
            write(path, [engine.localize(v) for v in videos])
            on[path.stem] = engine.runs_on
        command = [sys.executable, "-P", "-c", "from tal_engine.cli.main import run; run()", "diff"]
        command += [*map(str, files), "--gate", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
    shown = {k: found[k] for k in ("segments", "gate", "worst") if k in found} or {"keys": sorted(found)}
    return {"exit_status": done.returncode, **shown, "error": done.stderr.strip()[-300:], "runs_on": on}
