"""Real people: CMU motion capture in the files of the shared data, with labels of whole trials.

The CMU Graphics Lab Motion Capture Database is free for all uses, so weights trained on it may ship. The other sets
that benchmarks read, MSRC-12 and UTD-MHAD, are for judging only: nothing here reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..._util.arrays import NUMBERS, ArrayFile
from ..._util.untrusted import guarded
from ...errors import DataError
from ...pose.skeleton import LAYOUTS, canonical

#: What is done in trials of subjects 01 to 03, from CMU's index of motions: labels of whole trials. () is a trial in
#: which no action of the plan occurs; trials that the index describes too loosely (01's playground, 02's swordplay)
#: are not here.
TRIALS: dict[str, tuple[str, ...]] = {
    "02_01": ("walk",), "02_02": ("walk",), "02_03": ("jog",), "02_04": ("jump",), "02_05": ("punch",),
    "02_06": ("bend",), "02_10": (), "03_01": ("walk",), "03_02": ("walk",), "03_03": ("walk",), "03_04": ("walk",),
}  # fmt: skip
#: Trials of what is no action of the plan: 01 climbs, hangs and swings at a playground, 02 fences. What the plan may
#: say of them all the same: between two climbs 01 also walks and jumps.
FOREIGN: dict[str, tuple[str, ...]] = {
    **{f"01_{n:02d}": ("walk", "jump") for n in range(2, 15)}, "02_07": (), "02_08": (), "02_09": (),
}  # fmt: skip
#: Of `TRIALS`, actions that go on from the first to the last frame of a trial: the trial's label is their time.
THROUGHOUT = frozenset(["walk", "jog"])
FPS = 30.0
_WHAT = "motion file in the cmu_subjects layout"


@dataclass(frozen=True)
class Recording:
    """A trial: joints [T, 15, 3] metres in canonical axes, all visible, at `FPS`."""

    name: str
    joints: NDArray[np.float32]
    labels: tuple[str, ...]

    @property
    def person(self) -> str:
        """The subject, as CMU numbers them."""
        return self.name.split("_")[0]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.joints) / FPS


def read_trials(path: Path, trials: Mapping[str, tuple[str, ...]] = TRIALS) -> list[Recording]:
    """Read trials from ``cmu_subjects_01_03/joints_mm_30fps.npz``.

    Args:
        path: of the file.
        trials: their names and labels.

    Raises:
        DataError: missing, or of another layout.
    """
    with ArrayFile(path, _WHAT, DataError) as file:
        data = {name: file.read(name, NUMBERS + "U") for name in file.names or ()}
    with guarded(path, _WHAT):
        if tuple(str(n) for n in data["joint_names"]) != LAYOUTS["cmu31"].names:
            raise DataError(f"{path}: its joints are not CMU's 31 in alphabetical order")
        points = {name: data[f"{name}.joints"].astype(np.float32) / 1000 for name in trials}
        return [Recording(n, canonical(p, layout="cmu31")[0], trials[n]) for n, p in points.items()]
