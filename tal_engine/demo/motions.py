"""How the figure moves: what a motion is, the idle ones between exercises, and the parts that motions share.

A motion maps seconds to poses. Its style (amplitude, tempo, variant, noise) is drawn once per
performance, so no two performances are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .skeleton import POSE, Array, P

TWO_PI = 2 * np.pi
Parts = dict[str, Array | float]
Generator = np.random.Generator


def up(phase: Array, dwell: float = 1.0) -> Array:
    """Rise 0 -> 1 -> 0 over one cycle; dwell < 1 stays longer at the top."""
    return np.asarray((0.5 - 0.5 * np.cos(TWO_PI * phase)) ** dwell)


def alternate(phase: Array, dwell: float = 1.0) -> tuple[Array, Array]:
    """Split a cycle in two: first the left side goes up and down, then the right."""
    first = (phase % 1.0) < 0.5
    u = up((phase * 2) % 1.0, dwell)
    return np.where(first, u, 0.0), np.where(first, 0.0, u)


def both(name: str, value: Array | float) -> Parts:
    """Assign the same value to the left and the right side."""
    return {f"{name}_l": value, f"{name}_r": value}


def hands_on_hips() -> Parts:
    """Rest the hands on the hips."""
    return {**both("abd", 0.75), **both("elbow", 1.6), **both("roll", -1.3)}


@dataclass(frozen=True)
class Motion:
    """A named motion: how its parts move over a cycle, and how fast the cycle is (seconds)."""

    name: str
    parts: Callable[[Array, Generator], Parts]
    cycle_s: tuple[float, float]


def _stand(phase: Array, rng: Generator) -> Parts:
    arms: list[Parts] = [{}, {}, hands_on_hips(), {**both("elbow", 1.8), **both("flex", 0.3), **both("roll", 1.0)}]
    return {"side": 0.03 * np.sin(TWO_PI * phase), **arms[rng.integers(4)]}


def _fidget(phase: Array, rng: Generator) -> Parts:
    u = up(phase, rng.uniform(0.4, 1.0))
    side = rng.choice(["l", "r"])
    kinds: list[Parts] = [
        {
            f"flex_{side}": 0.6 * u,
            f"elbow_{side}": 2.3 * u,
            f"roll_{side}": 0.5 * u,
            "nod": 0.2 * u,
        },  # scratch the head
        {"look": rng.uniform(0.5, 1.1) * np.sin(TWO_PI * phase), "twist": 0.15 * np.sin(TWO_PI * phase)},
        {"lean": rng.uniform(0.2, 0.6) * u, "bend": 0.3 * u, **both("knee", 0.3 * u), **both("hip", 0.15 * u)},
        {"side": 0.15 * u, f"out_{side}": 0.15 * u, f"knee_{side}": 0.3 * u, f"hip_{side}": 0.15 * u},
        {f"flex_{side}": rng.uniform(0.6, 1.3) * u, f"elbow_{side}": 1.2 * u, "nod": 0.4 * u},  # look at a phone
        {**both("flex", 0.5 * u), **both("elbow", 1.9 * u), **both("roll", 0.8 * u)},
    ]
    return kinds[rng.integers(len(kinds))]


def _walk(phase: Array, rng: Generator) -> Parts:
    """Walk out and back along a line, turning at the end; speed is about one step per half cycle."""
    left, right = alternate(phase)
    total = max(float(phase[-1]), 1e-6) if len(phase) else 1.0
    way = phase / total
    sign = rng.choice([-1.0, 1.0])
    reach = sign * rng.uniform(0.3, 0.45) * total / 2
    heading = sign * np.pi / 2 * np.cos(np.pi * np.clip((way - 0.45) / 0.1, 0, 1))
    return {
        "x": reach * (1 - np.abs(2 * way - 1)) * 1.2,
        "yaw": heading * np.clip(way / 0.08, 0, 1) * np.clip((1 - way) / 0.08, 0, 1),
        "hip_l": 0.5 * left - 0.15,
        "hip_r": 0.5 * right - 0.15,
        "knee_l": 0.8 * left,
        "knee_r": 0.8 * right,
        "flex_l": 0.35 * (right - left),
        "flex_r": 0.35 * (left - right),
        **both("elbow", 0.3),
        "anchor": 0.0,
    }


#: What happens between exercises.
IDLE: dict[str, Motion] = {
    m.name: m
    for m in (
        Motion("stand", _stand, (3.0, 6.0)),
        Motion("fidget", _fidget, (1.5, 3.5)),
        Motion("walk", _walk, (0.9, 1.2)),
    )
}


def perform(motion: Motion, seconds: Array, duration: float, rng: Generator) -> Array:
    """Compute the poses [F, len(POSE)] of one performance.

    Args:
        motion: what to do.
        seconds: [F] times relative to the start; before 0 and after `duration` the pose is held.
        duration: length in seconds; a whole number of cycles fits into it.
        rng: draws the style.
    """
    cycles = max(1, round(duration / rng.uniform(*motion.cycle_s)))
    t = np.clip(seconds / duration, 0.0, 1.0)
    wobble = rng.uniform(-0.25, 0.25) * np.sin(TWO_PI * (t * rng.uniform(0.5, 1.5) + rng.random()))
    wobble -= np.interp(t, [0.0, 1.0], [wobble[0], wobble[-1]]) if len(t) else 0.0
    phase = np.clip(t * cycles + wobble * np.sin(np.pi * t), 0.0, cycles)
    pose = np.zeros((len(t), len(POSE)))
    pose[:, P["anchor"]] = 1.0
    for name, value in motion.parts(phase, rng).items():
        pose[:, P[name]] = value
    return pose


def tremor(frames: int, fps: float, rng: Generator, amount: float = 0.03) -> Array:
    """Add slow random movement of all angles, [frames, len(POSE)]: nobody repeats exactly."""
    t = np.arange(frames)[:, None] / fps
    out = np.zeros((frames, len(POSE)))
    for _ in range(3):
        rate = rng.uniform(0.05, 0.6, len(POSE))
        out += rng.normal(0, amount, len(POSE)) * np.sin(TWO_PI * (rate * t + rng.random(len(POSE))))
    out[:, [P["x"], P["z"], P["lift"], P["anchor"]]] = 0.0
    return out
