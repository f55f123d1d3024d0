"""Movements that have no name in the plan, of 2 to 10 s: what it must keep quiet about.

A quarter each: random programs that training never showed, arms along ways of chance, mixtures (the arms of one action,
the knees of another, the trunk of a third), and real people who climb, hang, swing and fence. Nothing here trains
anything, and nobody here is one of those who judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...demo.motions import Generator, Motion, Parts
from ...demo.programs import action_profile
from ...demo.skeleton import Array
from ...pose.skeleton import canonical
from ...pose.windows import features_of
from ...records import Features
from .actions import ACTIONS, DOODLE
from .cameras import filmed
from .recordings import FOREIGN, FPS, read_trials
from .streams import FPS as FIGURE_FPS
from .streams import moves_like_none, strangers, write_motion

#: Shortest and longest, seconds.
LENGTHS = (2.0, 10.0)
#: Parts of the body that a mixture takes from an action each, and the share of them that rest.
_PARTS: tuple[tuple[str, ...], ...] = (
    *((f"{n}_l", f"{n}_r") for n in ("flex", "abd", "elbow", "roll", "hip", "out", "knee")),
    ("lean", "bend"), ("side", "twist"),
)  # fmt: skip
_RESTS = 0.4
#: Actions that are movements, and not changes of posture that happen once.
_DONORS = tuple(m for n, m in ACTIONS.items() if n not in ("sit down", "stand up"))


@dataclass(frozen=True)
class Foreign:
    """One clip: of what kind, its features, and classes that may be in it all the same."""

    kind: str
    features: Features
    may: tuple[str, ...] = ()


def foreign(path: Path | None, seed: int, each: int) -> list[Foreign]:
    """Make the clips.

    Args:
        path: of real people (`recordings.read_trials`); None leaves them out.
        seed: the same seed gives the same clips.
        each: of every kind.
    """
    kinds: Mapping[str, Callable[[Generator], Motion]] = {
        "program": lambda rng: strangers(1)[rng.integers(len(strangers(1)))],
        "arms": lambda _: DOODLE,
        "mixture": mixture,
    }
    out = [_performed(kind, draw, [seed, *kind.encode(), i]) for kind, draw in kinds.items() for i in range(each)]
    return out if path is None else [*out, *_recorded(path, seed, each)]


def mixture(rng: Generator) -> Motion:
    """Draw a motion of parts of several actions that, put together, is far from each of them."""
    while True:
        takes = [(part, _DONORS[rng.integers(len(_DONORS))], int(rng.integers(2**31)))
                 for part in _PARTS if rng.random() >= _RESTS]  # fmt: skip
        motion = Motion("mixture", _together(takes), (1.0, 2.5))
        profile = action_profile(motion, np.random.default_rng(0))
        if profile.any() and moves_like_none(profile):
            return motion


def _together(takes: list[tuple[tuple[str, ...], Motion, int]]) -> Callable[[Array, Generator], Parts]:
    def parts(phase: Array, rng: Generator) -> Parts:
        del rng  # the styles were drawn with the mixture, whose profile is known
        out: Parts = {}
        for names, donor, own in takes:
            whole = donor.parts(phase, np.random.default_rng(own))
            out |= {n: whole[n] for n in names if n in whole}
        return out

    return parts


def _performed(kind: str, draw: Callable[[Generator], Motion], own: list[int]) -> Foreign:
    rng = np.random.default_rng(own)
    stream = write_motion(kind, [*own, 1], draw(rng), float(rng.uniform(*LENGTHS)))
    joints, visible = canonical(stream.joints, layout="figure18")
    poses = filmed(joints, visible, FIGURE_FPS, rng)
    return Foreign(kind, features_of(poses, duration=stream.duration))


def _recorded(path: Path, seed: int, count: int) -> Iterator[Foreign]:
    """Film parts of the trials of `recordings.FOREIGN`, as many of each trial."""
    trials = read_trials(path, FOREIGN)
    for i in range(count):
        trial = trials[i % len(trials)]
        rng = np.random.default_rng([seed, *trial.name.encode(), i])
        frames = min(int(rng.uniform(*LENGTHS) * FPS), len(trial.joints))
        first = int(rng.integers(len(trial.joints) - frames + 1))
        part = trial.joints[first : first + frames]
        poses = filmed(part, np.ones(part.shape[:2]), FPS, rng)
        yield Foreign("recorded", features_of(poses, duration=frames / FPS), trial.labels)
