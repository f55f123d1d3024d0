"""Everyday actions and exercises as motions of the figure, in many styles; those of the demonstration among them.

A performance draws its style, so that no two are alike. Motions that travel give the distance walked along the heading
as ``z``; `streams` puts the ways of several motions together. Values are what a person's joints do, in radians and
seconds; none was fitted to a recording.
"""

from __future__ import annotations

import numpy as np

from ...demo.exercises import ACTIONS as EXERCISES
from ...demo.motions import IDLE, TWO_PI, Generator, Motion, Parts, both, up
from ...demo.skeleton import Array
from . import styles
from .styles import Style, hanging, one_of, side_of


def seat(rng: Generator) -> Parts:
    """Draw how somebody sits: the pose, without time."""
    return {
        **both("hip", rng.uniform(1.3, 1.65)), **both("knee", rng.uniform(1.2, 1.7)), "lean": rng.uniform(-0.15, 0.2),
        **both("flex", rng.uniform(0.1, 0.8)), **both("elbow", rng.uniform(0.2, 1.3)),
        **both("out", rng.uniform(0.0, 0.2)),
    }  # fmt: skip


def _lowering(u: Array, rng: Generator) -> Parts:
    """Sit by a share `u`: 0 stands, 1 sits; the trunk leans forward on the way."""
    moving = 4 * u * (1 - u)
    parts: Parts = {name: value * u for name, value in seat(rng).items()}
    arms = rng.uniform(0.0, 0.9) * moving
    return parts | {"lean": parts["lean"] + rng.uniform(0.3, 0.9) * moving, **both("flex", 0.4 * u + arms)}


def _sit_down(phase: Array, rng: Generator) -> Parts:
    return _lowering(0.5 - 0.5 * np.cos(np.pi * np.clip(phase, 0, 1)), rng)


def _stand_up(phase: Array, rng: Generator) -> Parts:
    return _lowering(0.5 + 0.5 * np.cos(np.pi * np.clip(phase, 0, 1)), rng)


def _seated(phase: Array, rng: Generator) -> Parts:
    """Sit and do little: look around, gesture with a hand."""
    s, _, _ = side_of(rng)
    u = up(phase)
    parts: Parts = {name: value + np.zeros_like(phase) for name, value in seat(rng).items()}
    gesture = rng.choice([0.0, 1.0]) * u
    return parts | {
        f"flex_{s}": parts[f"flex_{s}"] + 0.5 * gesture, f"elbow_{s}": parts[f"elbow_{s}"] + 0.8 * gesture,
        "look": rng.uniform(0, 0.8) * np.sin(TWO_PI * phase), "lean": parts["lean"] + rng.uniform(-0.1, 0.15) * u,
    }  # fmt: skip


def _gesture(phase: Array, rng: Generator) -> Parts:
    """Talk with the hands."""
    parts: Parts = {"twist": 0.1 * np.sin(TWO_PI * phase), "nod": 0.1 * np.sin(2 * TWO_PI * phase)}
    for side in "lr":
        shift = rng.random()
        parts[f"flex_{side}"] = rng.uniform(0.2, 0.7) + rng.uniform(0, 0.4) * np.sin(TWO_PI * (phase + shift))
        parts[f"elbow_{side}"] = rng.uniform(0.8, 1.9) + rng.uniform(0, 0.5) * np.sin(TWO_PI * (phase * 1.3 + shift))
        parts[f"roll_{side}"] = rng.uniform(0.0, 0.9) + rng.uniform(0, 0.4) * np.sin(TWO_PI * (phase + shift))
    return parts


def _doodle(phase: Array, rng: Generator) -> Parts:
    """Move an arm, or both, along a way of chance: point, draw, push, reach, handle something; nothing with a name."""
    knots = np.arange(0.0, (float(phase[-1]) if len(phase) else 0.0) + 2.0, rng.uniform(0.3, 0.8))
    reach = {"flex": (-0.2, 2.2), "abd": (0.0, 1.5), "elbow": (0.0, 2.3), "roll": (-0.6, 1.6)}
    parts: Parts = {}
    sides = ("l", "r") if rng.random() < 0.4 else (str(rng.choice(["l", "r"])),)
    same = rng.random() < 0.5
    for name, (low, high) in reach.items():
        middle, width = rng.uniform(low, high), rng.uniform(0.2, 1.0) * (high - low) / 2
        ways = [np.clip(middle + width * rng.uniform(-1, 1, len(knots)), low, high) for _ in sides]
        for side, way in zip(sides, ways, strict=True):
            at = np.interp(phase, knots, ways[0] if same else way)
            parts[f"{name}_{side}"] = at
    turn = np.interp(phase, knots, rng.uniform(-0.25, 0.25, len(knots)))
    return parts | {"twist": turn, "lean": rng.uniform(0, 0.3) * np.interp(phase, knots, rng.random(len(knots)))}


def _shift_weight(phase: Array, rng: Generator) -> Parts:
    """Stand, take a small step to a side or turn, and stand again."""
    s, _, sign = side_of(rng)
    u = up(phase)
    turn = rng.choice([0.0, 1.0]) * sign * rng.uniform(0.3, 1.2)
    way = 0.5 - 0.5 * np.cos(np.pi * np.clip(phase % 1.0 * 1.5, 0, 1))
    return {
        f"out_{s}": 0.15 * u, f"hip_{s}": 0.3 * u, f"knee_{s}": 0.5 * u, "side": 0.05 * u, "anchor": 0.0,
        "yaw": turn * (np.floor(phase) + way), **hanging(rng),
    }  # fmt: skip


def _demo(name: str) -> Style:
    return EXERCISES[name].parts


#: What is localized, alphabetical.
ACTIONS: dict[str, Motion] = {
    m.name: m
    for m in (
        Motion("arm circle", one_of(_demo("arm circle"), _demo("arm circle"), styles.crank), (0.6, 1.8)),
        Motion("bend", one_of(_demo("toe touch"), styles.bow, styles.pick_up), (1.5, 3.2)),
        Motion("clap", styles.clap, (0.35, 0.9)),
        Motion("jog", one_of(styles.jog, styles.jog_on_the_spot), (0.55, 0.85)),
        Motion("jump", one_of(styles.jump, styles.jump, styles.jump, styles.hop), (0.7, 1.6)),
        Motion("jumping jack", _demo("jumping jack"), (0.8, 1.5)),
        Motion("kick", one_of(_demo("kick"), styles.football), (1.0, 2.2)),
        Motion("knee raise", _demo("knee raise"), (1.2, 2.6)),
        Motion("lunge", styles.lunge, (1.6, 3.4)),
        Motion("punch", one_of(_demo("boxing"), styles.punches), (0.6, 1.4)),
        Motion("side bend", _demo("side bend"), (1.6, 3.2)),
        Motion("sit down", _sit_down, (1e9, 2e9)),
        Motion("squat", one_of(_demo("squat"), styles.squat), (1.3, 2.8)),
        Motion("stand up", _stand_up, (1e9, 2e9)),
        Motion("throw", one_of(styles.throw, styles.throw, styles.toss), (1.2, 2.4)),
        Motion("twist", _demo("twist"), (1.0, 2.4)),
        Motion("walk", styles.walk, (0.9, 1.35)),
        Motion("wave", one_of(_demo("wave"), styles.wave), (0.4, 1.1)),
    )
}
#: Movements of the arms without a name.
DOODLE = Motion("doodle", _doodle, (0.8, 2.0))
#: What happens between actions; `SEATED` between sitting down and standing up.
IDLES: tuple[Motion, ...] = (
    IDLE["stand"], IDLE["fidget"], DOODLE, DOODLE, Motion("gesture", _gesture, (1.2, 3.0)),
    Motion("shift", _shift_weight, (1.2, 3.0)),
)  # fmt: skip
SEATED = Motion("seated", _seated, (2.0, 4.0))
