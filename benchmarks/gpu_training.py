"""Part "training" of gpu_day: steps a second of PVLR at its published size, one process of NCCL, losses as on the CPU.

Batch 10, 320 snippets, features of 1024 + 1024, 20 classes, 49.9 M parameters.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from gpu_common import Day, latency
from gpu_heads import CLASSES, exact
from torch import nn

#: Steps a second are compared with the figure of two cores in results/bench_accuracy.json.
RECIPE = "thumos14"
#: How far a loss term may be apart on the two devices, relative to 1 + itself.
TOLERANCE = 1e-3


def training(day: Day) -> None:
    exact()
    for precision in ("fp32", "bf16"):
        day.row(precision, lambda p=precision: _speed(day, p), least=5.0)
    day.row("one process of NCCL", lambda: _distributed(day), least=5.0)
    day.row("losses as on the CPU", lambda: _agreement(day, day.pick(3, 1)), least=5.0)


def job(day: Day, device: str, samples: int | None = None) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    """Network, optimizer and a batch of random features, the same on every device."""
    from tal_engine.lab.heads.interface import Batch
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.nn.hashed_text import HashedText
    from tal_engine.vocabulary import Vocabulary

    videos, length, width = day.pick((10, 320, 1024), (4, 24, 64))
    torch.manual_seed(0)
    method = load_method("pvlr")
    small = {} if width == 1024 else {"rgb": width, "flow": width, "joint": width}
    changes = small if samples is None else {**small, "samples": samples}
    config = method.Config(**{**method.RECIPES[RECIPE].config, **changes})
    net: Any = method.build(config, Vocabulary(CLASSES), HashedText(width)).train()
    labels = torch.eye(len(CLASSES))[torch.arange(videos) // 2]
    streams = {s: torch.randn(videos, length, width).relu().to(device) for s in ("rgb", "flow", "clip")}
    net.to(device)
    net.prompt._text.to(device)
    learned = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, 5e-5, weight_decay=1e-3)
    return net, optimizer, Batch(streams, labels.to(device), pairs=min(3, videos // 2))


def step(loss: Any, optimizer: torch.optim.Optimizer, batch: Any, precision: str) -> dict[str, float]:
    """One step as the trainer does it; the terms are read back, so the card is done."""
    with torch.autocast(batch.labels.device.type, torch.bfloat16, enabled=precision == "bf16"):
        terms = loss(batch, 0)
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    return {k: float(v.detach()) for k, v in terms.items()}


def _speed(day: Day, precision: str) -> dict[str, Any]:
    net, optimizer, batch = job(day, day.device)
    if day.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = latency(lambda: step(net.loss, optimizer, batch, precision), day, 6.0)
    found = {"steps_a_second": round(1e3 / taken["p50_ms"], 3), **taken}
    parameters = sum(p.numel() for p in net.parameters() if p.requires_grad)
    found |= {"parameters_m": round(parameters / 1e6, 1), "videos": len(batch.labels)}
    if day.device == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def _distributed(day: Day) -> dict[str, Any]:
    """A step through DistributedDataParallel in a group of one, as torchrun would start it."""
    from torch import distributed

    from tal_engine.lab.training.distributed import _Terms

    backend = day.pick("nccl", "gloo")
    with tempfile.TemporaryDirectory() as folder:
        store = distributed.FileStore(str(Path(folder) / "store"), 1)
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            net, optimizer, batch = job(day, day.device)
            shared = nn.parallel.DistributedDataParallel(_Terms(net), find_unused_parameters=True)
            taken = latency(lambda: step(shared, optimizer, batch, "fp32"), day, 2.0)
            total = torch.ones(1, device=day.device)
            distributed.all_reduce(total)
        finally:
            distributed.destroy_process_group()
    return {"backend": backend, "steps_a_second": round(1e3 / taken["p50_ms"], 3), "reduced": float(total)}


def _agreement(day: Day, steps: int) -> dict[str, Any]:
    """Loss terms of the first steps on both devices, without chance: no dropout, no samples."""
    found = {}
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    for device in ("cpu", day.device):
        net, optimizer, batch = job(day, device, samples=0)
        net.eval()
        found[device] = [step(net.loss, optimizer, batch, "fp32") for _ in range(steps)]
    torch.set_num_threads(before)
    pairs = zip(found["cpu"], found[day.device], strict=True)
    worst = max(abs(a[k] - b[k]) / (1 + abs(a[k])) for a, b in pairs for k in a)
    return {"worst_difference": worst, "tolerance": TOLERANCE, "agree": worst <= TOLERANCE}
