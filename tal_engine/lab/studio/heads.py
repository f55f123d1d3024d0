"""Heads of a studio: trained with a seed each, from the weights of the last time where there are some.

Weights that were fitted to a few labels keep a head from learning what more of them would teach, however long it is
trained; so they are shrunk towards new ones (Ash and Adams, On warm-starting neural network training, NeurIPS 2020).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..._util.files import write_text
from ...errors import FitError, TALError
from ...studio.order import HEADS, Order
from ...vocabulary import Vocabulary
from ..fitting.known import classes_known
from ..fitting.rules import Rule, kind_for, rule_for
from ..fitting.training import Course, taught, trained
from ..training import checkpoint
from .lessons import Lessons
from .telling import Telling

#: Share of the steps that a head takes which begins with the weights of the last time, and the least of them.
_WARM, _LEAST_WARM = 0.4, 20
#: Share of the last weights in those that a head begins with; the rest is new. Of 0, 0.3, 0.5 and 1 the best on the
#: held-out videos of a procedural project, with two seeds.
_KEPT = 0.3
_LEARNED = "learned.json"
#: Segments of each class from which on a head reads where they begin and end. With all labels of the procedural set a
#: head of points does as well (docs/fit.md: 72.4 and 73.0 mAP@0.5) in a quarter of the time.
_LEAST_SEGMENTS = 10


def course_of(order: Order, lessons: Lessons, contract: Mapping[str, Any]) -> Course:
    """Choose the head for the labels that there are, as `tal fit` does; segments count as points while they are few.

    Raises:
        FitError: there is nothing to learn from.
    """
    used = {c for v in lessons.videos for c in v.labels}
    classes = [c for c in order.classes if c in used]
    if not classes:
        raise FitError("there are no labels to learn from: mark some moments in videos that are not held out")
    known = {k: classes_known(lessons.videos, lessons.groups, k) for k in ("video", "point", "segment")}
    count = sum(len(v.points) + len(v.segments) for v in lessons.videos)
    kind = kind_for(known)  # type: ignore[arg-type]
    segments = Counter(s.label for v in lessons.videos for s in v.segments)
    if kind == "segment" and min(segments[c] for c in classes) < _LEAST_SEGMENTS:
        kind = "point"
    rule = rule_for(kind, count, None, order.steps)
    return Course(rule, Vocabulary(classes), lessons.features, contract, order.seed)


def train_heads(folder: Path, order: Order, course: Course, lessons: Lessons, telling: Telling) -> list[nn.Module]:
    """Train the heads; those of the last time stay until all new ones are there.

    Args:
        folder: of the project.
        order: how many.
        course: the head, at its first seed.
        lessons: what is learned from.
        telling: gets the progress.

    Raises:
        FitError: there is nothing that the head learns from.
        TrainingError: see `lab.training.loop.fit`.
    """
    if not taught(course.method, lessons.videos):
        raise FitError(f"head {course.rule.head!r} can learn nothing from these labels: mark more moments")
    heads, new = folder / HEADS, folder / HEADS.with_name("heads.next")
    shutil.rmtree(new, ignore_errors=True)
    before = [_weights(heads / str(k), course.rule.head) for k in range(order.heads)]
    if learned_from(folder) & {v.id for v in order.videos if v.held_out}:
        before = [None] * order.heads  # what is measured on must never have been learned from
    rules = [course.rule if w is None else _warm(course.rule) for w in before]
    total, done = sum(_steps(r) for r in rules), 0
    nets = []
    for k, (rule, initial) in enumerate(zip(rules, before, strict=True)):
        first = done

        def tell(step: int, steps: int, loss: float, first: int = first, k: int = k) -> None:
            telling.say(first + step, total, head=k + 1, heads=order.heads, loss=round(loss, 4))

        own = replace(course, rule=rule, seed=course.seed + k)
        begin = None if initial is None else _shrunk(own, initial)
        nets.append(trained(own, lessons.videos, new / str(k), tell, begin))
        done += _steps(rule)
    write_text(new / _LEARNED, json.dumps(sorted(set(lessons.groups) | (learned_from(folder) if before[0] else set()))))
    _replace(heads, new)
    return nets


def _shrunk(course: Course, last: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mix the weights of the last time with new ones; those of another shape, as of other classes, are new."""
    torch.manual_seed(course.seed)
    fresh = course.method.build(course.config, course.vocabulary, None).state_dict()
    return {
        k: _KEPT * last[k] + (1 - _KEPT) * v
        for k, v in fresh.items()
        if k in last and last[k].shape == v.shape and v.is_floating_point()
    }


def _replace(heads: Path, new: Path) -> None:
    """Put new heads in the place of the old ones; who is killed meanwhile begins from nothing the next time."""
    old = heads.with_name("heads.old")
    shutil.rmtree(old, ignore_errors=True)
    if heads.exists():
        heads.rename(old)
    new.rename(heads)
    shutil.rmtree(old, ignore_errors=True)


def learned_from(folder: Path) -> set[str]:
    """Return the videos that heads have learned from, also those before them whose weights they began with.

    Args:
        folder: of the project.
    """
    try:
        return set(json.loads((folder / HEADS / _LEARNED).read_text()))
    except (OSError, ValueError):
        return set()


def _steps(rule: Rule) -> int:
    return rule.options(0).steps


def _warm(rule: Rule) -> Rule:
    """Shorten a rule for a head that does not begin from nothing."""
    steps = min(_steps(rule), max(round(_WARM * _steps(rule)), _LEAST_WARM))
    warmup = min(int(rule.train.get("warmup", 0)), steps // 10)
    return replace(rule, train={**rule.train, "steps": steps, **({"warmup": warmup} if warmup else {})})


def _weights(folder: Path, head: str) -> dict[str, Tensor] | None:
    """Return the weights of the last time; None where there are none of this head that can be read."""
    try:
        found = checkpoint.load(folder)
        return found.tensors(found.result) if found.method.name == head else None
    except TALError:
        return None
