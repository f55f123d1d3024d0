"""What this machine is: processor, memory, NVIDIA cards, and which of the libraries that matter are installed.

Asks the driver by nvidia-ml-py where it is installed, else by nvidia-smi. Loads no runtime and knows nothing of plans.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .instructions import instructions

#: Packages that speeds and answers depend on; the first that is installed counts.
_PACKAGES = {
    "tal-engine": ("tal-engine",),
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt-rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
    "opencv": ("opencv-python-headless", "opencv-contrib-python-headless", "opencv-python", "opencv-contrib-python"),
    "av": ("av",),
}


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA card. target: compute capability, "sm89". Memory in MiB."""

    index: int
    name: str
    target: str
    memory_mib: int
    free_mib: int


@dataclass(frozen=True)
class Cards:
    """The cards that the driver offers, its version and the CUDA version that it serves; "" if unknown."""

    gpus: list[Gpu] = field(default_factory=list)
    driver: str = ""
    cuda: str = ""


@dataclass(frozen=True)
class Machine:
    """Where something runs or was measured."""

    cpu: str
    cores: int
    memory_mib: int
    #: Operating system and processor as engines are bound to them: "linux-x86_64".
    platform: str
    system: str
    python: str
    cards: Cards
    #: Instruction sets that 8-bit graphs depend on: "x86_64: sse4.1, avx, avx2".
    instructions: str
    #: Versions by library; libraries that are not installed are left out.
    versions: dict[str, str]


def this_machine() -> Machine:
    """Look at this machine."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_mib=_memory_mib(),
        platform=f"{platform.system().lower()}-{_processor()}",
        system=platform.platform(),
        python=platform.python_version(),
        cards=cards(),
        instructions=str(instructions()),
        versions={name: version for name, packages in _PACKAGES.items() if (version := _version(packages))},
    )


def cards() -> Cards:
    """List the NVIDIA GPUs; none where there is no driver or no tool to query it."""
    try:
        return _by_library(importlib.import_module("pynvml"))
    except ModuleNotFoundError:
        return _by_command()
    except Exception:  # NVMLError: no driver, or one that does not answer
        return Cards()


def _by_library(nvml: Any) -> Cards:
    nvml.nvmlInit()
    try:
        gpus = []
        for i in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(i)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            name = _text(nvml.nvmlDeviceGetName(handle))
            gpus.append(Gpu(i, name, f"sm{major}{minor}", memory.total >> 20, memory.free >> 20))
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
        return Cards(gpus, _text(nvml.nvmlSystemGetDriverVersion()), f"{cuda // 1000}.{cuda % 1000 // 10}")
    finally:
        nvml.nvmlShutdown()


def _by_command() -> Cards:
    command = shutil.which("nvidia-smi")
    if command is None:
        return Cards()
    fields = "index,compute_cap,memory.total,memory.free,driver_version,name"
    listing = _output(command, f"--query-gpu={fields}", "--format=csv,noheader,nounits")
    gpus, driver = [], ""
    for line in listing.splitlines():
        parts = [p.strip() for p in line.split(",", 5)]
        if len(parts) == 6 and parts[0].isdigit():
            index, capability, total, free, driver, name = parts
            target = f"sm{capability.replace('.', '')}"
            gpus.append(Gpu(int(index), name, target, _number(total), _number(free)))
    cuda = re.search(r"CUDA Version:\s*([\d.]+)", _output(command))
    return Cards(gpus, driver, cuda[1] if cuda else "")


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0  # "[N/A]" on some boards


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _processor() -> str:
    return {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())


def _memory_mib() -> int:
    if not hasattr(os, "sysconf"):
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _version(packages: tuple[str, ...]) -> str | None:
    for name in packages:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
