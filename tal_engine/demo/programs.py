"""Random programs: movements of the figure without names, on which encoders are pre-trained.

They are a set apart from the exercises, and none of them moves like one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .exercises import ACTIONS
from .motions import TWO_PI, Generator, Motion, Parts, perform
from .skeleton import POSE, Array, P

_GROUPS: tuple[tuple[str, ...], ...] = (
    ("lean",), ("bend",), ("side",), ("twist",), ("nod",), ("look",), ("yaw",), ("x",), ("lift",),
    ("flex_l", "flex_r"), ("abd_l", "abd_r"), ("elbow_l", "elbow_r"), ("roll_l", "roll_r"),
    ("hip_l", "hip_r"), ("out_l", "out_r"), ("knee_l", "knee_r"),
)  # fmt: skip
_REACH = {
    "lean": 0.7, "bend": 0.5, "side": 0.5, "twist": 0.7, "nod": 0.5, "look": 0.9, "yaw": 0.8, "x": 0.3,
    "lift": 0.1, "flex": 1.6, "abd": 1.3, "elbow": 1.2, "roll": 1.0, "hip": 0.8, "out": 0.3, "knee": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A nameless periodic movement: per pose component an offset, an amplitude and a phase."""

    offset: Array
    amplitude: Array
    phase: Array
    harmonic: Array
    cycle_s: float

    def parts(self, phase: Array, rng: Generator) -> Parts:
        """Compute the components over the cycle, with this performance's own amplitude."""
        strength = rng.uniform(0.7, 1.2)
        swing = np.sin(TWO_PI * (phase[:, None] * self.harmonic + self.phase)) * self.amplitude * strength
        value = self.offset + swing
        return {name: value[:, i] for name, i in P.items() if name != "anchor" and np.any(value[:, i])}

    def motion(self, name: str) -> Motion:
        """Convert the program to a motion."""
        return Motion(name, self.parts, (0.8 * self.cycle_s, 1.25 * self.cycle_s))

    def profile(self) -> Array:
        """Return a unit vector of how much each component moves, by which movements are compared."""
        return _unit(self.amplitude)


def _unit(v: Array) -> Array:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-12))


def action_profile(motion: Motion, rng: Generator) -> Array:
    """Measure how much each pose component moves in one performance of an exercise (unit vector)."""
    pose = perform(motion, np.linspace(0, 8, 400), 8.0, rng)
    spread = pose.std(axis=0)
    spread[P["anchor"]] = 0.0
    return _unit(spread)


def _draw_program(rng: Generator) -> Program:
    n = len(POSE)
    offset, amplitude, phase = np.zeros(n), np.zeros(n), np.zeros(n)
    harmonic = np.ones(n)
    chosen = rng.choice(len(_GROUPS), size=int(rng.integers(2, 6)), replace=False)
    for g in chosen:
        names = _GROUPS[g]
        reach = _REACH[names[0].removesuffix("_l")]
        style = rng.integers(4) if len(names) == 2 else 0  # together, against, left only, right only
        start, double = rng.random(), float(rng.choice([1.0, 1.0, 2.0]))
        base = rng.uniform(0.0, 0.6) * reach if names[0][-2:] == "_l" else rng.uniform(-0.3, 0.3) * reach
        for k, name in enumerate(names):
            if (style == 2 and k == 1) or (style == 3 and k == 0):
                continue
            i = P[name]
            offset[i], amplitude[i], harmonic[i] = base, reach * rng.uniform(0.4, 0.8), double
            phase[i] = start + (0.5 if style == 1 and k == 1 else 0.0)
            if name[:4] in ("hip_", "knee"):
                offset[i] = amplitude[i]  # joints that bend one way only
    return Program(offset, amplitude, phase, harmonic, float(rng.uniform(0.6, 2.4)))


@cache
def programs(count: int, seed: int = 0, closest: float = 0.8) -> tuple[Program, ...]:
    """`count` random programs, none of which moves like an exercise.

    A program whose movement profile has a cosine above `closest` with any of 16 performances of
    any exercise is thrown away, so that pre-training never sees what is localized later.
    """
    rng = np.random.default_rng([seed, 7919])
    known = np.stack([action_profile(m, rng) for m in ACTIONS.values() for _ in range(16)])
    found: list[Program] = []
    while len(found) < count:
        candidate = _draw_program(rng)
        if float((known @ candidate.profile()).max()) <= closest:
            found.append(candidate)
    return tuple(found)
