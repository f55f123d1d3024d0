"""The one training loop: batch, loss terms, step, checkpoint."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ..data.batches import BatchSampler
from ..errors import CheckpointError, TrainingError
from ..methods import Method
from ..methods.protocol import Net
from ..nn.text import TextEncoder
from ..vocabulary import Vocabulary
from . import checkpoint
from .options import TrainOptions

log = logging.getLogger("tal_engine")

#: Called after each step with (step, steps, loss terms).
Report = Callable[[int, int, dict[str, float]], None]


def fit(
    method: Method,
    config: Any,
    vocabulary: Vocabulary,
    text: TextEncoder,
    batches: BatchSampler,
    options: TrainOptions,
    folder: Path,
    *,
    provenance: dict[str, Any],
    resume: bool = False,
    report: Report | None = None,
) -> nn.Module:
    """Train and leave a checkpoint in `folder`; the last one is the result, whatever its score.

    Interrupting (Ctrl-C) saves first. With `resume` a run that stopped goes on exactly as if it
    had not, on the CPU bit for bit.

    Raises:
        TrainingError: a loss term is NaN or infinite; the last good weights are saved.
        CheckpointError: `resume` with a checkpoint of another method, config or vocabulary.
    """
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    net = method.build(config, vocabulary, text).train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
    first = 0
    if resume:
        first, rng = _continue(folder, net, optimizer, method, config, vocabulary, options)

    def save(step: int) -> None:
        net.eval()
        checkpoint.save(
            folder, net, method=method, config=config, vocabulary=vocabulary, step=step, train=options,
            provenance=provenance, optimizer=optimizer, rng=rng,
        )  # fmt: skip
        net.train()

    with _interrupt_later() as interrupted:
        for step in range(first, options.steps):
            terms = cast("Net", net).loss(batches.draw(rng), step)
            bad = [k for k, v in terms.items() if not torch.isfinite(v)]
            if bad:
                save(step)
                raise TrainingError(f"loss term {bad[0]!r} is not finite at step {step}; saved the step before it")
            total = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            if report is not None:
                report(step + 1, options.steps, {k: v.item() for k, v in terms.items()})
            if interrupted():
                save(step + 1)
                log.warning("interrupted at step %d of %d; saved to %s", step + 1, options.steps, folder)
                raise KeyboardInterrupt
            if (step + 1) % options.save_every == 0 and step + 1 < options.steps:
                save(step + 1)
    save(options.steps)
    return net.eval()


@contextmanager
def _interrupt_later() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C into a question that is asked between steps, so that no step is half done.

    Only the main thread can; elsewhere Ctrl-C stays what it is. A second one stops at once.
    """
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _continue(
    folder: Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    method: Method,
    config: Any,
    vocabulary: Vocabulary,
    options: TrainOptions,
) -> tuple[int, np.random.Generator]:
    found = checkpoint.load(folder)
    for what, a, b in (
        ("method", found.method.name, method.name),
        ("config", found.config, config),
        ("vocabulary", found.vocabulary, vocabulary),
        ("seed", found.train.seed, options.seed),
    ):
        if a != b:
            raise CheckpointError(f"{folder}: cannot resume, its {what} is {a}, this run has {b}")
    state = checkpoint._read(folder / "weights.safetensors")
    net.load_state_dict(state)
    return found.step, checkpoint.restore(found, optimizer)
