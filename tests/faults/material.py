"""Small inputs for the commands under test, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.makers import moving_square, tiny_plan, write_mp4

#: Makes the test plan find dozens of actions in ten seconds.
FINALS = ("--conf", "-100", "--window", "3.2", "--step", "0.32", "--look-ahead", "0.96", "--stream-options", "gap=0.32")
#: A training run of six steps with a checkpoint after every second one.
METHOD = "cola"
SETTINGS = ("batch=4", "pairs=0", "length=16", "save_every=2", "eval_every=2", "ema=0.5")
STEPS = 6


@dataclass(frozen=True)
class Material:
    """Inputs that need no training: a plan, a clip, and a folder of three shorter ones."""

    plan: Path
    clip: Path
    clips: Path


def light(folder: Path, seconds: int = 10) -> Material:
    """Make a random plan and clips of a moving square."""
    plan, clip, clips = folder / "tiny.plan", folder / "c.mp4", folder / "clips"
    clips.mkdir(parents=True)
    tiny_plan(plan)
    write_mp4(clip, moving_square(25 * seconds, 48, 64))
    for name, count in (("a", 50), ("b", 60), ("c", 40)):
        write_mp4(clips / f"{name}.mp4", moving_square(count, 64, 96))
    return Material(plan, clip, clips)


def training_set(folder: Path) -> Path:
    """A simulated data set of a few short videos."""
    from tal_engine.lab.data.synthetic import SimulatorOptions
    from tal_engine.lab.data.write_public import write_simulation

    options = SimulatorOptions(
        train=8, test=4, classes=2, rgb=8, flow=8, joint=8, snippets=(20, 30), instances=(1, 2), extent=(5, 9)
    )
    return write_simulation(folder, options)
