"""What can be chosen about a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...annotations.labels import LEAST_VIDEOS
from ...errors import require
from .tools import default_encoders

if TYPE_CHECKING:
    from ...distributed import RayOptions

#: In place of encoders: features were made before, and the plan reads features.
NO_ENCODERS = "none"

#: Called with (task, done, total, note).
Bar = Callable[[str, int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """See docs/fit.md; defaults are those of `tal fit`."""

    #: The strongest kind of label that is read: "video", "points", "segments"; "auto" reads all, see `material_of`.
    task: str = "auto"
    #: Encoders by name, joined by "+", or "none"; None takes the best that is installed: lite0, else tiny.
    encoders: str | None = None
    #: Files of weights by encoder.
    weights: Mapping[str, Path] = field(default_factory=dict)
    #: A head by name instead of the rule's, and its training steps.
    head: str | None = None
    steps: int | None = None
    #: Parts that the videos are divided into; each is held out once.
    folds: int = 4
    #: Videos that belong together: a regular expression on their names, or a .csv; None: as the labels say.
    groups: str | None = None
    #: Videos that a class needs.
    min_videos: int = LEAST_VIDEOS
    #: Thresholds for so many false alarms an hour, of all classes together; None takes the best F1.
    false_alarms_per_hour: float | None = None
    #: Also train on half of the videos of each fold, to say which labels would help most.
    curve: bool = True
    seed: int = 0
    #: Where features and training runs are kept; None: beside the plan, NAME.fit.
    work: Path | None = None
    #: Replace a plan that is there.
    overwrite: bool = False
    #: Ship a plan whose held-out videos say that chance does as well.
    force: bool = False
    #: "auto", "cpu" or "cuda": of encoders and training.
    device: str = "auto"
    #: The cluster that trains the folds, each a task of its own; None: this process, one after the other.
    ray: RayOptions | None = None

    def __post_init__(self) -> None:
        require(self.folds >= 2, "folds", self.folds, "at least 2")
        require(self.min_videos >= 2, "min_videos", self.min_videos, "at least 2: one to train on, one held out")
        alarms = self.false_alarms_per_hour
        require(alarms is None or 0 <= alarms < float("inf"), "false_alarms_per_hour", alarms, "0 or more, and finite")
        require(self.steps is None or self.steps >= 1, "steps", self.steps, "at least 1")
        require(self.seed >= 0, "seed", self.seed, "0 or more")

    @property
    def spec(self) -> str:
        """The encoders by name."""
        return self.encoders or default_encoders()

    def identity(self) -> dict[str, Any]:
        """Give what all that is computed follows from, beside videos and labels.

        Thresholds, the plan and the report are made anew from what is computed, so their options are not in it.
        """
        return {
            "encoders": self.spec,
            "weights": {k: str(v) for k, v in sorted(self.weights.items())},
            "head": self.head,
            "steps": self.steps,
            "folds": self.folds,
            "seed": self.seed,
        }
