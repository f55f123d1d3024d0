"""Part "card" of gpu_day: what the machine is, and whether torch and ONNX Runtime work on its card at all."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gpu_common import Day, finish_work, latency

_PACKAGES = (
    "torch", "numpy", "triton", "onnxruntime-gpu", "onnxruntime", "onnx", "onnxscript", "av",
    "opencv-contrib-python-headless", "pydantic", "cuda-bindings", "nvidia-ml-py", "open_clip_torch", "safetensors",
    "tensorrt", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "tal-engine", "pytest", "psutil",
)  # fmt: skip
_FIELDS = "name,driver_version,compute_cap,memory.total,clocks.max.sm,power.limit"


def card(day: Day) -> None:
    day.keep("versions", _versions())
    day.row("driver", _driver)
    day.row("torch", lambda: _torch(day), ["torch"])
    day.row("ceilings", lambda: _ceilings(day), ["torch"])
    day.row("core", _core, ["tal_engine._core"])
    day.row("onnxruntime", lambda: _runtime(day), ["onnxruntime", "pydantic", "tal_engine._core"])
    day.row("onnxruntime without torch", lambda: _alone(day), ["onnxruntime"])


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _driver() -> dict[str, str]:
    asked = ["nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    return dict(zip(_FIELDS.split(","), (x.strip() for x in done.stdout.splitlines()[0].split(",")), strict=True))


def _torch(day: Day) -> dict[str, Any]:
    import torch

    a = torch.randn(64, 64, device=day.device)
    worst = float((a.cpu() @ a.cpu() - (a @ a).cpu()).abs().max())
    found: dict[str, Any] = {"cuda": torch.version.cuda, "difference_of_a_product": worst}
    if day.device == "cuda":
        p = torch.cuda.get_device_properties(0)
        found |= {"name": p.name, "sm": f"{p.major}{p.minor}", "memory_gib": round(p.total_memory / 2**30, 1)}
        found |= {"multiprocessors": p.multi_processor_count, "cudnn": torch.backends.cudnn.version()}
    return found


def _ceilings(day: Day) -> dict[str, float]:
    """Bytes a second of a copy on the card, and operations a second of a bf16 product, on random values."""
    import torch

    source = torch.randn(day.pick(1 << 30, 1 << 20), device=day.device)
    target = torch.empty_like(source)
    copied = latency(lambda: target.copy_(source), day, 1.0)
    side = day.pick(8192, 128)
    a, b = (torch.randn(side, side, device=day.device, dtype=torch.bfloat16) for _ in range(2))
    product = latency(lambda: a @ b, day, 1.0)
    finish_work(day.device)
    return {
        "copy_gb_a_second": round(2 * source.nbytes / copied["p50_ms"] / 1e6, 1),
        "bf16_tflops": round(2 * side**3 / product["p50_ms"] / 1e9, 2),
    }


def _core() -> str:
    from tal_engine import _core

    return str(_core.__file__)


def _runtime(day: Day) -> dict[str, Any]:
    """The embedded head on the card, after torch has loaded CUDA's libraries."""
    import numpy as np
    import onnxruntime
    import torch  # noqa: F401 - its CUDA libraries are those that ONNX Runtime finds then

    from tal_engine import TALEngine

    engine = TALEngine.load("demo", day.device, strict=True)
    streams = {n: np.ones((50, d), np.float32) for n, d in engine.plan.manifest.streams.items()}
    found = engine.localize(streams, min_score=-np.inf)
    return {"providers": onnxruntime.get_available_providers(), "runs_on": engine.description, "segments": len(found)}


_ALONE = """
from tal_engine.backends import open_backend
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.plan.archive import read_plan
plan = read_plan(EMBEDDED_PLAN)
print(open_backend(plan.files["head.onnx"], "head.onnx", "{device}", strict=True).description)
"""


def _alone(day: Day) -> str:
    """A process that never loads torch, nor is told where CUDA's libraries are: what the product finds by itself."""
    asked = [sys.executable, "-P", "-c", _ALONE.format(device=day.device)]
    alone = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False, env=alone)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split()[-60:]))
    return done.stdout.strip()
