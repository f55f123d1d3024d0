"""Training speed of PVLR at its published size, and what a step's terms are on CPU and GPU."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn.hashed_text import HashedText
from tal_engine.vocabulary import Vocabulary

VOCABULARY = Vocabulary([f"action {i}" for i in range(20)])
#: Steps that are timed, after two that are not.
STEPS = {"cpu": 3, "cuda": 100}
#: How far a loss term may be apart on the two devices, relative to 1 + itself.
TOLERANCE = 1e-3


def speed() -> dict[str, Any]:
    """Iterations a second: batch 10, 320 snippets, 1024 + 1024 features, K = 20, 49.9 M parameters."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows: dict[str, Any] = {}
    for recipe in ("thumos14", "thumos14-code"):
        rows[recipe] = {d: iterations(recipe, d) for d in devices}
    name = torch.cuda.get_device_name() if "cuda" in devices else None
    agree = {"loss_terms": agreement()} if "cuda" in devices else {}
    return {"threads": torch.get_num_threads(), "gpu": name, "rows": rows, **agree}


def prepared(recipe: str, device: str, samples: int = 20) -> tuple[nn.Module, torch.optim.Optimizer, Batch]:
    """Network, optimizer and a batch of random features, the same on every device."""
    torch.manual_seed(0)
    method = load_method("pvlr")
    config = method.Config(**{**method.RECIPES[recipe].config, "samples": samples})
    net = method.build(config, VOCABULARY, HashedText(1024)).train()
    labels = torch.eye(20)[torch.arange(10) // 2]
    streams = {s: torch.randn(10, 320, 1024).relu() for s in ("rgb", "flow", "clip")}
    batch = Batch({k: v.to(device) for k, v in streams.items()}, labels.to(device), pairs=3)
    net.to(device)
    net.prompt._text.to(device)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 5e-5, weight_decay=1e-3)
    return net, optimizer, batch


def step(net: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> dict[str, float]:
    terms = net.loss(batch, 0)
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    return {k: v.item() for k, v in terms.items()}


def iterations(recipe: str, device: str) -> float:
    """Median iterations a second."""
    job = prepared(recipe, device)
    taken = []
    for i in range(STEPS[device] + 2):
        began = time.perf_counter()
        step(*job)  # reads the terms back, so the device is done
        if i >= 2:
            taken.append(time.perf_counter() - began)
    return round(1 / sorted(taken)[len(taken) // 2], 3)


def agreement(steps: int = 3) -> dict[str, Any]:
    """Loss terms of the first steps on both devices, without chance: no dropout, no samples.

    Raises:
        AssertionError: they are further apart than `TOLERANCE`.
    """
    found = {}
    for device in ("cpu", "cuda"):
        job = prepared("thumos14", device, samples=0)
        job[0].eval()
        found[device] = [step(*job) for _ in range(steps)]
    worst = max(abs(a[k] - b[k]) / (1 + abs(a[k])) for a, b in zip(found["cpu"], found["cuda"], strict=True) for k in a)
    assert worst <= TOLERANCE, f"loss terms on CPU and GPU differ by {worst}"
    return {"worst_difference": worst, "tolerance": TOLERANCE, "first_steps": found}
