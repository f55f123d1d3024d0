"""Curves for TensorBoard, if they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..extras import need
from .distributed import World
from .options import TrainOptions

#: Takes values by name and their step.
Scalars = Callable[[Mapping[str, float], int], None]


@contextmanager
def scalars(folder: Path, options: TrainOptions, world: World, first: int) -> Iterator[Scalars]:
    """A writer into ``FOLDER/tensorboard``, or one that does nothing.

    first: the step that a resumed run goes on from; what an earlier run wrote after it is hidden.
    """
    if not (options.tensorboard and world.first):
        yield _nowhere
        return
    need("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)

    def write(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    try:
        yield write
    finally:
        writer.close()


def _nowhere(values: Mapping[str, float], step: int) -> None:
    """Write nothing."""


def curves(name: str, score: Mapping[str, Any]) -> dict[str, float]:
    """The curves of one evaluation (`evaluation.scores`): mAP, overlap of masks, and those of each view."""
    out = {f"{name}/map_{t}": v for t, v in score["map"].items()}
    out |= {f"{name}/map": score["average"]}
    out |= {f"{name}/miou_{k}": v for k, v in score["miou"].items() if v is not None}
    for view, figures in score.get("views", {}).items():
        out |= curves(f"{name}/{view}", figures)
    return out
