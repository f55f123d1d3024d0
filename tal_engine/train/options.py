"""Options of the training loop."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a method is trained; PVLR's public code on THUMOS14 where nothing else is said."""

    steps: int = 7000
    batch: int = 10
    #: Videos that share a class come first in a batch, two by two.
    pairs: int = 3
    #: Snippets a video is sampled to.
    length: int = 320
    learning_rate: float = 5e-5
    weight_decay: float = 1e-3
    seed: int = 0
    #: Steps between two checkpoints.
    save_every: int = 500

    def __post_init__(self) -> None:
        for field in ("steps", "batch", "length", "save_every"):
            if getattr(self, field) < 1:
                raise UsageError(f"{field} is {getattr(self, field)}, must be at least 1")
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate is {self.learning_rate}, must be positive")
        if not 0 <= 2 * self.pairs <= self.batch:
            raise UsageError(f"pairs is {self.pairs}, must be in 0..batch/2 ({self.batch // 2})")
