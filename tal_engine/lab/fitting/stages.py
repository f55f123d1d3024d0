"""The stages of a fit that train: held-out folds, halves of them, and the head of all videos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...annotations.labels import VideoLabels
from ..training import checkpoint
from .folds import folds_of
from .held_out import HeldOut
from .known import known_by
from .material import Material
from .options import Bar
from .training import Course, Steps, found_by, rows_of, table_of, trained
from .workplace import Workplace

if TYPE_CHECKING:
    from ...distributed import RayOptions

#: Share of the training videos of a fold that the learning curve takes.
_HALF = 2


def fold_of(material: Material, count: int, seed: int) -> NDArray[np.int64]:
    """Deal the videos into folds: each class evenly, in mixed sets also what it is measured by."""
    labels = [[*v.labels] for v in material.videos]
    if material.supply.mixed:
        labels = [of + [f"{c}, {material.measured}" for c in known_by(v, material.measured)]
                  for of, v in zip(labels, material.videos, strict=True)]  # fmt: skip
    return folds_of(labels, material.groups, count, seed)


def half_of(material: Material, train: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Take every second of the training videos, classes dealt out evenly; the videos of a group stay together.

    All of them where they are one group.
    """
    chosen = np.flatnonzero(train)
    groups = [material.groups[i] for i in chosen]
    if len(set(groups)) < _HALF:
        return train
    part = folds_of([material.videos[i].labels for i in chosen], groups, _HALF, seed)
    sizes = np.bincount(part, minlength=_HALF)
    half = np.zeros_like(train)
    half[chosen[part == int(np.argmax(sizes))]] = True
    return half


@dataclass(frozen=True)
class _Run:
    """The training run of one fold: its stage, its videos, and the folder of its checkpoint."""

    stage: str
    train: Sequence[VideoLabels]
    test: Sequence[VideoLabels]
    folder: Path


def _runs(
    course: Course, material: Material, fold: NDArray[np.int64], place: Workplace, *, half: bool
) -> Iterator[_Run]:
    """List the runs of all folds."""
    for k in range(int(fold.max()) + 1):
        train = fold != k
        if half:
            train = half_of(material, train, course.seed)
        name = f"{'half' if half else 'fold'}{k}"
        yield _Run(name, material.part(train), material.part(fold == k), place.checkpoint(name))


def spread(
    course: Course,
    material: Material,
    fold: NDArray[np.int64],
    place: Workplace,
    bar: Bar,
    cluster: RayOptions,
    *,
    half: bool,
) -> None:
    """Do the runs of all folds that are not done yet, and of their halves, by a Ray cluster; `held_out` reads them.

    They find what they find in one process, to the bit, as far as training does: see `training.one_thread`. The work
    folder must be one that all nodes see.
    """
    from ...distributed.tasks import mapped

    kinds = (False, True) if half else (False,)
    runs = [r for kind in kinds for r in _runs(course, material, fold, place, half=kind)]
    missing = [replace(r, folder=r.folder.absolute()) for r in runs if place.done(r.stage) is None]
    if not missing:
        return
    ended = mapped(_run, course, missing, cluster, lambda done, total: bar("folds", done, total, "on Ray"))
    for run, (found, seconds) in zip(missing, ended, strict=True):
        place.keep(run.stage, found, seconds)


def _run(course: Course, run: _Run) -> tuple[list[list[Any]], float]:
    """Train on a fold; what its head finds on the others, and the seconds that it took."""
    began = time.monotonic()
    found = rows_of(found_by(course, trained(course, run.train, run.folder), run.test))
    return found, time.monotonic() - began


def held_out(
    course: Course, material: Material, fold: NDArray[np.int64], place: Workplace, bar: Bar, *, half: bool = False
) -> HeldOut:
    """Detect on each fold's videos by a head that was trained on the others, or on half of them."""
    rows: list[list[Any]] = []
    count = int(fold.max()) + 1
    for k, run in enumerate(_runs(course, material, fold, place, half=half)):
        tell = _told(bar, f"{'half of ' if half else ''}fold {k + 1}/{count}")
        rows += _kept(place, run.stage, _fold_work(course, run, tell))
    seconds = {n: course.features[n].duration for n in material.names}
    table = table_of(rows, material.names, list(course.vocabulary))
    return HeldOut(table, material.videos, fold, tuple(course.vocabulary), material.measured, seconds)


def _fold_work(course: Course, run: _Run, tell: Steps) -> Callable[[], Any]:
    def work() -> list[list[Any]]:
        return rows_of(found_by(course, trained(course, run.train, run.folder, tell), run.test))

    return work


def final(course: Course, material: Material, place: Workplace, bar: Bar) -> checkpoint.Checkpoint:
    """Train the head of all videos."""

    def work() -> dict[str, Any]:
        net = trained(course, material.videos, place.checkpoint("all"), _told(bar, "all videos"))
        return {"parameters": sum(p.numel() for p in net.parameters())}

    _kept(place, "all", work)
    return checkpoint.load(place.checkpoint("all"))


def _kept(place: Workplace, stage: str, work: Callable[[], Any]) -> Any:
    """Run a stage whose seconds count even if it is interrupted."""
    began = time.monotonic()
    try:
        return place.run(stage, work)
    except BaseException:
        place.spent(stage, time.monotonic() - began)
        raise


def _told(bar: Bar, task: str) -> Steps:
    def tell(step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            bar(task, step, steps, f"loss {loss:.3f}")

    return tell
