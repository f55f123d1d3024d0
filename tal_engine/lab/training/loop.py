"""The one training loop: batch, loss terms, step, evaluation, checkpoint."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import TrainingError, UsageError
from ...vocabulary import Vocabulary
from ..data.batches import BatchSampler
from ..heads.interface import Batch
from ..methods import Method, milestones_of
from ..nn.text import TextEncoder
from . import checkpoint
from .distributed import World, on_device, terms_of, this_world
from .scalars import Scalars, curves, scalars, written
from .training_options import TrainOptions
from .training_report import told
from .training_state import State, Task, begin, inference_state, learning_rate

log = logging.getLogger("tal_engine")

#: Called after each step with (step, steps, loss terms).
Report = Callable[[int, int, dict[str, float]], None]
#: Scores of a network by subset, "test" and "validation", as `validation.scores` gives them.
Evaluate = Callable[[nn.Module], dict[str, dict[str, Any]]]

_PRECISION = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def fit(
    method: Method,
    config: Any,
    vocabulary: Vocabulary,
    text: TextEncoder | None,
    batches: BatchSampler,
    options: TrainOptions,
    folder: Path,
    *,
    provenance: dict[str, Any],
    resume: bool = False,
    report: Report | None = None,
    evaluate: Evaluate | None = None,
) -> State:
    """Train and leave a checkpoint in `folder`.

    The result is the last weights, whatever their score, unless `options.select` says otherwise.
    Interrupting (Ctrl-C) saves first. With `resume` a run that stopped goes on exactly as if it
    had not, on the CPU bit for bit. Under torchrun every process calls this with its own part of
    the batches; the first one writes, reports and evaluates.

    Returns:
        The state after the last step; its network has the resulting weights.

    Raises:
        TrainingError: a loss term or the gradient is NaN or infinite; the last good weights are saved. Or the disk
            is full; the last whole checkpoint is kept.
        CheckpointError: `resume` with a checkpoint of another run.
        UsageError: the device, or what weights are selected by, is not there.
    """
    task, world = Task(method, config, vocabulary, options, provenance), this_world(options)
    if options.select == "validation" and evaluate is None and world.first:
        raise UsageError("select is 'validation', but nothing evaluates the network")
    state = begin(task, text, world)
    if resume:
        checkpoint.resume(folder, state, task, world)
    with _interrupt_later() as interrupted, scalars(folder, options, world, state.step) as write:
        _Run(state, task, world, batches, folder, report, evaluate, write).until_end(interrupted)
    return state


class _NotFiniteError(Exception):
    """A loss term or the gradient of some videos is NaN or infinite."""

    def __init__(self, what: str, names: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what, self.names = what, names


@dataclass
class _Run:
    """A run of the loop: what it changes is in `state`, the rest is given."""

    state: State
    task: Task
    world: World
    batches: BatchSampler
    folder: Path
    report: Report | None
    evaluate: Evaluate | None
    write: Scalars

    def __post_init__(self) -> None:
        self.options = self.task.options
        self.terms = terms_of(self.state.net, self.world)
        self.milestones = milestones_of(self.task.method, self.task.config)

    def until_end(self, interrupted: Callable[[], bool]) -> None:
        """Run steps, evaluations and checkpoints, until all steps are done or Ctrl-C asks to stop."""
        state, steps = self.state, self.options.steps
        while state.step < steps:
            try:
                terms = self.step()
            except _NotFiniteError as e:
                self.save()
                where = f"at step {state.step}, videos {', '.join(e.names)}"
                raise TrainingError(f"{e.what} is not finite {where}; saved the step before it") from None
            self.tell(terms)
            now = self.due(self.options.eval_every) or state.step in self.milestones
            better = now and self.world.any(self.evaluated())
            stop = self.world.any(interrupted())
            if stop or better or self.due(self.options.save_every):
                self.save()
            if stop:
                log.warning("interrupted at step %d of %d; saved to %s", state.step, steps, self.folder)
                raise KeyboardInterrupt
        if not state.history or state.history[-1]["step"] != state.step:
            self.evaluated()
        self.save()
        self.take_result()

    def due(self, every: int) -> bool:
        """Return whether something done every `every` steps is due; at the end it is done anyway."""
        return bool(every) and self.state.step % every == 0 and self.state.step < self.options.steps

    def save(self) -> None:
        """Write the checkpoint."""
        with written(self.folder, f"the checkpoint of step {self.state.step}"):
            checkpoint.save(self.folder, self.state, self.task, self.world)

    def step(self) -> dict[str, float]:
        """Run one step of the optimizer over `accumulate` batches; return the mean of each loss term."""
        state, o = self.state, self.options
        state.optimizer.zero_grad()
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(o, state.step)
        means: dict[str, float] = {}
        names: tuple[str, ...] = ()
        for i in range(o.accumulate):
            batch = on_device(self.batches.draw(state.rng), self.world.device)
            names += batch.names
            for name, value in self.backward(batch, last=i + 1 == o.accumulate).items():
                means[name] = means.get(name, 0.0) + value / o.accumulate
        state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(state.net.parameters(), o.clip_norm or torch.inf)
        # A scaled gradient may overflow: the scaler then leaves the step out and lowers the scale.
        overflow = not torch.isfinite(norm) and not state.scaler.is_enabled()
        self.stop_if(["the gradient"] if overflow else [], names)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.step += 1
        if state.ema is not None:
            state.ema.update()
        return means

    def backward(self, batch: Batch, last: bool) -> dict[str, float]:
        """Add the gradient of a batch's loss; its terms."""
        precision = _PRECISION[self.options.amp]
        # Gradients travel between processes once a step, with the last batch.
        waits = self.world.size > 1 and not last
        with self.terms.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with torch.autocast(self.world.device.type, precision, enabled=self.options.amp != "none"):
                terms: dict[str, Tensor] = self.terms(batch, self.state.step)
            stacked = torch.stack([v.float() for v in terms.values()])
            values = dict(zip(terms, stacked.tolist(), strict=True))  # waits for the device, once a batch
            self.stop_if([f"loss term {k!r}" for k, v in values.items() if not math.isfinite(v)], batch.names)
            self.state.scaler.scale(stacked.sum() / self.options.accumulate).backward()
        return values

    def stop_if(self, bad: list[str], names: tuple[str, ...]) -> None:
        """Stop all processes if one of them has something bad."""
        if self.world.any(bool(bad)):
            raise _NotFiniteError(*next((b[0], n) for b, n in self.world.gathered((bad, names)) if b))

    def tell(self, terms: dict[str, float]) -> None:
        """Write curves and report progress."""
        if not self.world.first:
            return
        self.write({f"loss/{k}": v for k, v in terms.items()} | {"loss": sum(terms.values())}, self.state.step)
        if self.report is not None:
            self.report(self.state.step, self.options.steps, terms)

    def evaluated(self) -> bool:
        """Evaluate and remember it; whether these are the best weights by validation so far."""
        if self.evaluate is None or not self.world.first:
            return False
        state, select = self.state, self.options.select
        with state.averaged() as net:
            scores = self.evaluate(net)
            if select == "validation" and "validation" not in scores:
                raise UsageError("select is 'validation', but there are no validation videos to select by")
            over = self.milestones.get(state.step)
            state.history.append({"step": state.step, **({"after": over} if over else {}), **scores})
            for subset, score in scores.items():
                self.write(curves(subset, score), state.step)
                if over:
                    log.info("after %s, step %d, %s: %s", over, state.step, subset, told(score))
            if select != "validation":
                return False
            *before, now = (h["validation"]["average"] for h in state.history if "validation" in h)
            if before and now <= max(before) and state.best is not None:
                return False
            state.best = inference_state(net)
            return True

    def take_result(self) -> None:
        """Give the network the weights that the run was for."""
        state = self.state
        if self.options.select == "validation" and state.best is not None:
            state.net.load_state_dict(state.best)
        elif state.ema is not None:
            state.ema.put()
        state.net.eval()


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
