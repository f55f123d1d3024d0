"""The one training loop: batch, loss terms, step, evaluation, checkpoint."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batches import BatchSampler
from ..errors import TrainingError, UsageError
from ..methods import Method
from ..nn.text import TextEncoder
from ..vocabulary import Vocabulary
from . import checkpoint
from .distributed import World, on_device, terms_of, this_world
from .options import TrainOptions
from .scalars import Scalars, scalars
from .state import State, Task, begin, inference_state

log = logging.getLogger("tal_engine")

#: Called after each step with (step, steps, loss terms).
Report = Callable[[int, int, dict[str, float]], None]
#: Scores of a network by subset, "test" and "validation", as `evaluation.scores` gives them.
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
        TrainingError: a loss term is NaN or infinite; the last good weights are saved.
        CheckpointError: `resume` with a checkpoint of another run.
    """
    task, world = Task(method, config, vocabulary, options, provenance), this_world(options)
    state = begin(task, text, world)
    if resume:
        checkpoint.resume(folder, state, task, world)
    terms_module = terms_of(state.net, world)
    with _interrupt_later() as interrupted, scalars(folder, options, world, state.step) as write:
        while state.step < options.steps:
            try:
                terms = _step(state, terms_module, batches, options, world)
            except _NotFiniteError as e:
                checkpoint.save(folder, state, task, world)
                where = f"at step {state.step}, videos {', '.join(e.names)}"
                raise TrainingError(f"{e.what} is not finite {where}; saved the step before it") from None
            _tell(state, options, terms, world, write, report)
            due = options.eval_every and state.step % options.eval_every == 0 and state.step < options.steps
            better = bool(due) and world.any(_evaluated(state, options, world, evaluate, write))
            stop = world.any(interrupted())
            if stop or better or (state.step % options.save_every == 0 and state.step < options.steps):
                checkpoint.save(folder, state, task, world)
            if stop:
                log.warning("interrupted at step %d of %d; saved to %s", state.step, options.steps, folder)
                raise KeyboardInterrupt
        if not state.history or state.history[-1]["step"] != state.step:
            _evaluated(state, options, world, evaluate, write)
    checkpoint.save(folder, state, task, world)
    _take_result(state, options)
    return state


class _NotFiniteError(Exception):
    """A loss term or the gradient of some videos is NaN or infinite."""

    def __init__(self, what: str, names: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what, self.names = what, names


def _step(
    state: State, terms_module: nn.Module, batches: BatchSampler, options: TrainOptions, world: World
) -> dict[str, float]:
    """One step of the optimizer over `accumulate` batches; the mean of each loss term."""
    state.optimizer.zero_grad()
    sums: dict[str, float] = {}
    names: tuple[str, ...] = ()
    for i in range(options.accumulate):
        batch = on_device(batches.draw(state.rng), world.device)
        names += batch.names
        # Gradients travel between processes once a step, with the last batch.
        waits = world.size > 1 and i + 1 < options.accumulate
        with terms_module.no_sync() if waits else nullcontext():  # type: ignore[operator]
            precision = _PRECISION[options.amp]
            with torch.autocast(world.device.type, precision, enabled=options.amp != "none"):
                terms: dict[str, Tensor] = terms_module(batch, state.step)
            _stop_if([f"loss term {k!r}" for k, v in terms.items() if not torch.isfinite(v)], batch.names, world)
            total = torch.stack([v.float() for v in terms.values()]).sum()
            state.scaler.scale(total / options.accumulate).backward()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item() / options.accumulate
    state.scaler.unscale_(state.optimizer)
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), options.clip_norm or torch.inf)
    # A scaled gradient may overflow: the scaler then leaves the step out and lowers the scale.
    overflow = not torch.isfinite(norm) and not state.scaler.is_enabled()
    _stop_if(["the gradient"] if overflow else [], names, world)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.step += 1
    if state.ema is not None:
        state.ema.update()
    return sums


def _stop_if(bad: list[str], names: tuple[str, ...], world: World) -> None:
    """Stop all processes if one of them has something bad."""
    if world.any(bool(bad)):
        raise _NotFiniteError(*next((b[0], n) for b, n in world.gathered((bad, names)) if b))


def _tell(
    state: State, options: TrainOptions, terms: dict[str, float], world: World, write: Scalars, report: Report | None
) -> None:
    if not world.first:
        return
    write({f"loss/{k}": v for k, v in terms.items()} | {"loss": sum(terms.values())}, state.step)
    if report is not None:
        report(state.step, options.steps, terms)


def _evaluated(state: State, options: TrainOptions, world: World, evaluate: Evaluate | None, write: Scalars) -> bool:
    """Evaluate and remember it; whether these are the best weights by validation so far."""
    if evaluate is None or not world.first:
        return False
    with state.averaged() as net:
        scores = evaluate(net)
        if options.select == "validation" and "validation" not in scores:
            raise UsageError("select is 'validation', but there are no validation videos to select by")
        state.history.append({"step": state.step, **scores})
        for subset, score in scores.items():
            write({f"{subset}/map_{t}": v for t, v in score["map"].items()} | {f"{subset}/map": score["average"]},
                  state.step)  # fmt: skip
        if options.select != "validation":
            return False
        *before, now = (h["validation"]["average"] for h in state.history if "validation" in h)
        if before and now <= max(before) and state.best is not None:
            return False
        state.best = inference_state(net)
        return True


def _take_result(state: State, options: TrainOptions) -> None:
    """Give the network the weights that the run was for."""
    if options.select == "validation" and state.best is not None:
        state.net.load_state_dict(state.best)
    elif state.ema is not None:
        with torch.no_grad():
            for name, p in state.net.named_parameters():
                if name in state.ema.average:
                    p.copy_(state.ema.average[name])
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
