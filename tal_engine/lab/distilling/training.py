"""Training of a student: runs of neighbouring snippets, the teacher's features and activations as targets."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..._util.files import whole_file
from ...errors import ExportError, TrainingError
from ...plan.archive import Plan
from .head_in_torch import TorchHead, Values
from .lessons import Lesson, batches, steps_of, varied
from .options import DistillOptions, Reads
from .student import Shares, Student, order_of

log = logging.getLogger("tal_engine")

#: Snippets of a step that learns from features alone: from anywhere, as neighbours say much the same.
_ALONE = 32
#: Snippets that follow each other in a run, so that the head sees a piece of a video; and runs of a step.
_RUN, _RUNS = 16, 4
#: Learning rate at its highest.
_RATE = 2e-3
#: Share of the epochs that learn from features alone: the head makes nothing of features that are far off.
_FEATURES_FIRST = 0.6
#: Snippets at a time where nothing is learned.
_PART = 64
#: Error of a scaled feature from where on it counts by its size, not its square.
_LARGE = 1.0


class HeadError:
    """How far the head's outputs of a student's features are from those of its teacher's, relative to their spread.

    Args:
        plan: the teacher.
        shares: the order of the columns, see `student.shares_of`.

    Raises:
        ExportError: the head has an operator that torch has no counterpart of here.
    """

    def __init__(self, plan: Plan, shares: Shares) -> None:
        head = plan.manifest.head
        self._head = TorchHead(plan.files[head.member], head.member)
        self._widths = order_of(plan.manifest.streams, shares)

    def __call__(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Compare features [B, T, D]."""
        with torch.no_grad():
            right = self._outputs(wanted)
        return torch.stack(
            [
                functional.mse_loss(value, right[name]) / right[name].var().clamp_min(1e-6)
                for name, value in self._outputs(found).items()
            ]
        ).mean()

    def _outputs(self, features: Tensor) -> Values:
        parts = torch.split(features, list(self._widths.values()), dim=-1)
        return self._head(dict(zip(self._widths, parts, strict=True)))


def head_error(plan: Plan, shares: Shares, options: DistillOptions) -> tuple[HeadError | None, str]:
    """Return the error of the head's outputs, or None and why it is left out."""
    if options.activations == 0:
        return None, ""
    try:
        return HeadError(plan, shares), ""
    except ExportError as e:
        return None, f"the student learned from features alone: {e}"


def train(
    lessons: Sequence[Lesson],
    shares: Shares,
    options: DistillOptions,
    head: HeadError | None,
    progress: Callable[[int, int, str], None],
    folder: Path | None = None,
) -> Student:
    """Train a student; the same lessons, options and threads give the same weights.

    Args:
        lessons: of the training videos.
        shares: what each part of the student stands for.
        options: architecture and training.
        head: error of the head's outputs, if it counts too.
        progress: called with (epochs done, epochs, note).
        folder: where the state after each epoch is kept: a training that was stopped goes on there.

    Returns:
        The student; its `spent` are the processor seconds of all epochs, also of those before a stop.

    Raises:
        TrainingError: the loss is not finite.
    """
    with _threads(options.threads):
        torch.manual_seed(options.seed)
        every = torch.from_numpy(np.concatenate([x.features for x in lessons]))
        widths = {reads: sum(streams.values()) for reads, streams in shares.items()}
        net = Student(options, widths).train().to(memory_format=torch.channels_last)
        net.scale_to(every)
        course = _Course(net, head, options, sum(map(len, lessons)))
        state = None if folder is None else folder / f"training-{_key(lessons, options, head is not None)}.pt"
        done = course.restored(state)
        for epoch in range(done, options.epochs):
            loss = course.epoch(lessons, epoch)
            log.info("student epoch %d: loss %.3f", epoch + 1, loss)
            if state is not None:
                course.keep(state, epoch + 1)
            progress(epoch + 1, options.epochs, f"loss {loss:.3f}")
        net.spent = course.spent
    return net.eval().requires_grad_(False)


class _Course:
    """A student's optimizer and schedule; what an epoch does follows from the seed and its number."""

    def __init__(self, net: Student, head: HeadError | None, options: DistillOptions, snippets: int) -> None:
        self.net, self.head, self.options, self.spent = net, head, options, 0.0
        #: Epochs that learn from features alone.
        self.alone = options.epochs if head is None else math.ceil(_FEATURES_FIRST * options.epochs)
        total = sum(steps_of(snippets, *self._runs(number)) for number in range(options.epochs))
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.02)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, _RATE, total_steps=total, pct_start=0.15)

    def _runs(self, number: int) -> tuple[int, int]:
        """Return the length of a run and the runs of a step, in an epoch."""
        return (1, _ALONE) if number < self.alone else (_RUN, _RUNS)

    def epoch(self, lessons: Sequence[Lesson], number: int) -> float:
        """Run an epoch and return its mean loss."""
        rng, losses, began = np.random.default_rng([self.options.seed, number]), list[float](), time.process_time()
        torch.manual_seed(self.options.seed + 1_000_003 * number)  # of dropout, whatever ran before
        head = None if number < self.alone else self.head
        for kept, features in batches(lessons, rng, *self._runs(number)):
            loss = _loss(self.net, varied(kept, rng), features, head, self.options.activations)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise TrainingError(f"the student's loss is {losses[-1]} in step {len(losses)} of epoch {number + 1}")
        self.spent += time.process_time() - began
        return float(np.mean(losses))

    def keep(self, path: Path, done: int) -> None:
        """Write the state after so many epochs."""
        state = {"done": done, "spent": self.spent, **{name: part.state_dict() for name, part in self._parts().items()}}
        with whole_file(path) as temporary:
            torch.save(state, temporary)

    def restored(self, path: Path | None) -> int:
        """Take up a state that was kept; return its epochs, 0 if there is none or it is damaged."""
        if path is None or not path.exists():
            return 0
        try:
            state = torch.load(path, weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
            log.warning("%s: is damaged, the training begins anew", path)
            return 0
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.spent = float(state["spent"])
        return int(state["done"])

    def _parts(self) -> dict[str, Any]:
        return {"net": self.net, "optimizer": self.optimizer, "schedule": self.schedule}


def _key(lessons: Sequence[Lesson], options: DistillOptions, head: bool) -> str:
    """Name what a training follows from."""
    digest = hashlib.sha256(json.dumps([options.course(), head]).encode())
    for lesson in lessons:
        digest.update(lesson.features.tobytes())
    return digest.hexdigest()[:12]


def _loss(
    net: Student, kept: Mapping[Reads, Tensor], features: Tensor, head: HeadError | None, weight: float
) -> Tensor:
    """Return the error of a step: what is kept [B, T, ...] by what is read, features [B, T, D]."""
    found = net.embed({reads: x.flatten(0, 1) for reads, x in kept.items()}).unflatten(0, features.shape[:2])
    loss = functional.smooth_l1_loss(found, net.scaled(features), beta=_LARGE)
    if head is not None:
        loss = loss + weight * head(torch.cat([net.unscaled(found), features[..., net.width :]], -1), features)
    return loss


def error_of(net: Student, lesson: Lesson) -> float:
    """Return the share of the features' variance that the student does not explain, in the mean over all columns."""
    with torch.no_grad():
        return float(functional.mse_loss(_embedded(net, lesson), net.scaled(torch.from_numpy(lesson.features))))


def features_of(net: Student, lesson: Lesson) -> Tensor:
    """Return the student's features [T, D] of a video, on the scale of the teacher's."""
    with torch.no_grad():
        return net.unscaled(_embedded(net, lesson))


def _embedded(net: Student, lesson: Lesson) -> Tensor:
    return torch.cat([net.embed(lesson.tensors(i, i + _PART)) for i in range(0, len(lesson), _PART)])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
