"""Figures that only one method has: functions by method, called after each of its training runs.

A function gets the run and gives name -> number, or name -> numbers in the order in which they came about; what they
are measured by belongs into the name. They are stored beside the run's mAP and printed on the method's card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tal_engine.data.dataset import DataSet
from tal_engine.train import checkpoint

#: Name -> figure, or figures in the order in which they came about.
Extra = dict[str, float | list[float]]


@dataclass(frozen=True)
class Trained:
    """A finished run: its data set and the folder of its checkpoint and report."""

    data: DataSet
    folder: Path

    @property
    def checkpoint(self) -> checkpoint.Checkpoint:
        """What the run left, with the history of its evaluations."""
        return checkpoint.load(self.folder)


EXTRAS: dict[str, Callable[[Trained], Extra]] = {}


def extras(method: str, run: Trained) -> Extra:
    """The method's own figures; {} for a method without."""
    return EXTRAS[method](run) if method in EXTRAS else {}
