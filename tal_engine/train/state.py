"""What is trained, and everything that changes while it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..methods import Method
from ..nn.text import TextEncoder
from ..vocabulary import Vocabulary
from .distributed import World
from .ema import Ema
from .options import TrainOptions

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
        """The network with the weights that are evaluated: averaged ones if any are kept."""
        if self.ema is None:
            yield self.net
            return
        with self.ema.applied():
            yield self.net


def begin(task: Task, text: TextEncoder | None, world: World) -> State:
    """The state before the first step. Weights are equal in all processes, noise and batches are not."""
    o = task.options
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
        optimizer=torch.optim.Adam([{"params": trained}], lr=o.learning_rate, weight_decay=o.weight_decay),
        scaler=torch.amp.GradScaler("cuda", enabled=o.amp == "fp16"),
        rng=np.random.default_rng([o.seed, world.rank] if world.rank else o.seed),
        ema=Ema(net, o.ema) if o.ema else None,
    )


def inference_state(net: nn.Module) -> dict[str, Tensor]:
    """The weights as inference needs them, on the CPU: with texts folded, so that no text tower is needed."""
    training = {m: m.training for m in net.modules()}
    net.eval()
    fold = getattr(net, "fold_text", None)
    if callable(fold):
        fold()
    for module, was in training.items():
        module.training = was
    return {k: v.detach().cpu().clone().contiguous() for k, v in net.state_dict().items()}
