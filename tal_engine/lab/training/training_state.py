"""What is trained, and everything that changes while it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...vocabulary import Vocabulary
from ..methods import Method
from ..nn.text import TextEncoder
from .distributed import World
from .ema import Ema
from .freed_memory import keep_freed_memory
from .training_options import TrainOptions

#: Between the seeds of two processes; seeds of runs that are compared are closer.
_RANK_STRIDE = 1_000_003


@dataclass(frozen=True)
class Task:
    """What is trained, how, and where its data came from."""

    method: Method
    config: Any
    vocabulary: Vocabulary
    options: TrainOptions
    provenance: dict[str, Any]


@dataclass
class State:
    """A run between two steps: with it and the data the rest of the run is settled.

    history: what each evaluation gave, oldest first. best: weights of the evaluation with the best
    validation score, None before there is one.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    rng: np.random.Generator
    ema: Ema | None = None
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Lend the network with the weights that are evaluated: averaged ones if any are kept."""
        if self.ema is None:
            yield self.net
            return
        with self.ema.applied():
            yield self.net


def begin(task: Task, text: TextEncoder | None, world: World) -> State:
    """Create the state before the first step. Weights are equal in all processes, noise and batches are not."""
    o = task.options
    if world.device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(o.seed)
    net = task.method.build(task.config, task.vocabulary, text).to(world.device).train()
    if text is not None:
        text.to(world.device)  # frozen and shared, so it is not a part of the network
    if world.rank:
        torch.manual_seed(o.seed + world.rank * _RANK_STRIDE)
    trained = [p for p in net.parameters() if p.requires_grad]
    if o.steps and not trained:
        raise UsageError(f"{task.method.name}: nothing to train with this config; steps=0 writes it as it is")
    return State(
        net=net,
        optimizer=_optimizer(net, o, fused=world.device.type == "cpu"),
        scaler=torch.amp.GradScaler("cuda", enabled=o.amp == "fp16"),
        rng=np.random.default_rng([o.seed, world.rank] if world.rank else o.seed),
        ema=Ema(net, o.ema) if o.ema else None,
    )


def _optimizer(net: nn.Module, o: TrainOptions, fused: bool) -> torch.optim.Optimizer:
    """Create Adam over all that learns, or AdamW without decay of norms, biases, scales and what is of no layer."""
    trained = [p for p in net.parameters() if p.requires_grad]
    # Fused: one pass over each tensor instead of a dozen; on the CPU alone, where tests hold it against the plain form.
    if o.optimizer == "adam":
        return torch.optim.Adam([{"params": trained}], lr=o.learning_rate, weight_decay=o.weight_decay, fused=fused)
    layers = (m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d))
    decayed = {id(m.weight) for m in layers}
    groups = [
        {"params": [p for p in trained if (id(p) in decayed) is decays], "weight_decay": o.weight_decay * decays}
        for decays in (True, False)
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=o.learning_rate)


def learning_rate(o: TrainOptions, step: int) -> float:
    """Return the learning rate of a step, counted from 0.

    A line from 0 up during warm-up, then constant, or half a cosine down to 0 after the last step (Loshchilov and
    Hutter, ICLR 2017, Eq. 5, without restarts).

    >>> o = TrainOptions(learning_rate=1.0, steps=10, warmup=2, schedule="cosine")
    >>> [round(learning_rate(o, s), 2) for s in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    if step < o.warmup:
        return o.learning_rate * (step + 1) / o.warmup
    if o.schedule == "constant":
        return o.learning_rate
    share = (step - o.warmup) / max(o.steps - o.warmup, 1)
    return o.learning_rate * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def inference_state(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights for inference, on the CPU: texts are folded, so that no text tower is needed."""
    training = {m: m.training for m in net.modules()}
    net.eval()
    fold = getattr(net, "fold_text", None)
    if callable(fold):
        fold()
    for module, was in training.items():
        module.training = was
    return {k: v.detach().cpu().clone().contiguous() for k, v in net.state_dict().items()}
