"""The twelve exercises that the figure does, which are localized."""

from __future__ import annotations

import numpy as np

from .motions import TWO_PI, Generator, Motion, Parts, alternate, both, hands_on_hips, up
from .skeleton import Array


def _free_arms(rng: Generator) -> Parts:
    """Draw how arms are held in an exercise that does not need them."""
    lift, out, bend = rng.uniform(0.0, 1.5), rng.uniform(0.1, 1.2), rng.uniform(0.0, 2.0)
    choices: list[Parts] = [
        {},
        hands_on_hips(),
        {**both("flex", 1.3), **both("elbow", 1.9), **both("roll", 0.8)},  # hands before the chest
        {**both("flex", lift), **both("elbow", bend)},
        {**both("abd", out), **both("elbow", bend)},
        {**both("abd", 1.7), **both("elbow", 2.3), **both("roll", 1.2)},  # hands at the head
        {**both("flex", 0.4 * lift), **both("abd", 0.7 * out), **both("elbow", 0.6 * bend)},
    ]
    return choices[rng.integers(len(choices))]


def _swinging(left: Array, right: Array, reach: float) -> Parts:
    """Swing bent arms against the legs."""
    return {
        "flex_l": reach * (right - left),
        "flex_r": reach * (left - right),
        **both("elbow", 1.5),
        **both("abd", 0.15),
    }


def _squat(phase: Array, rng: Generator) -> Parts:
    depth = rng.uniform(0.95, 1.5) * up(phase, rng.uniform(0.6, 1.0))
    forward = both("flex", 0.2 + depth * rng.uniform(0.8, 1.1))
    arms = forward if rng.random() < 0.35 else _free_arms(rng)
    legs = {**both("hip", depth), **both("knee", 1.95 * depth), **both("out", rng.uniform(0.05, 0.25))}
    return {**legs, "lean": depth * rng.uniform(0.2, 0.5), **arms}


def _jumping_jack(phase: Array, rng: Generator) -> Parts:
    u = up(phase, rng.uniform(0.7, 1.0))
    hop = np.abs(np.sin(TWO_PI * phase)) * rng.uniform(0.03, 0.12)
    return {
        **both("abd", 0.15 + u * rng.uniform(1.9, 2.8)),
        **both("elbow", rng.uniform(0.1, 0.5)),
        **both("out", 0.05 + u * rng.uniform(0.3, 0.5)),
        **both("hip", 0.12 * hop / 0.1),
        **both("knee", 0.3 * hop / 0.1),
        "lift": hop,
    }


def _knee_raise(phase: Array, rng: Generator) -> Parts:
    left, right = alternate(phase, rng.uniform(0.6, 1.0))
    reach = rng.uniform(1.2, 1.75)
    bend = rng.uniform(1.2, 1.7)
    arms: list[Parts] = [
        _swinging(left, right, rng.uniform(0.3, 0.8)),
        {"flex_l": 1.6 * left, "flex_r": 1.6 * right, **both("elbow", 1.0)},
        _free_arms(rng),
    ]
    return {
        "hip_l": reach * left,
        "hip_r": reach * right,
        "knee_l": bend * left,
        "knee_r": bend * right,
        "lean": -0.06,
        "anchor": rng.uniform(0.2, 0.5),
        **arms[rng.integers(3)],
    }


def _arm_circle(phase: Array, rng: Generator) -> Parts:
    turn = TWO_PI * phase * rng.choice([-1.0, 1.0])
    if rng.random() < 0.5:  # small circles with the arms held out to the sides
        r = rng.uniform(0.25, 0.6)
        return {**both("abd", 1.5 + r * np.cos(turn)), **both("flex", r * np.sin(turn))}
    lag = rng.choice([0.0, np.pi])  # full circles, together or like a windmill
    tilt = rng.uniform(0.2, 0.5)
    return {"flex_l": turn, "flex_r": turn + lag, **both("abd", tilt), "twist": 0.12 * np.sin(turn + lag)}


def _twist(phase: Array, rng: Generator) -> Parts:
    swing = np.sin(TWO_PI * phase)
    arms: list[Parts] = [
        {**both("abd", 1.2), **both("flex", 0.5), **both("elbow", 1.9), **both("roll", 0.3)},
        both("abd", rng.uniform(1.2, 1.6)),
        _free_arms(rng),
    ]
    return {
        "twist": rng.uniform(0.7, 1.25) * swing,
        "look": 0.2 * swing,
        **both("out", rng.uniform(0.1, 0.3)),
        **arms[rng.integers(3)],
    }


def _toe_touch(phase: Array, rng: Generator) -> Parts:
    u = up(phase, rng.uniform(0.6, 1.0))
    out = both("out", rng.uniform(0.05, 0.4))
    rest = rng.uniform(0.0, 1.4)  # arms between two touches: hanging .. held out
    if rng.random() < 0.5:
        reach: Parts = {**both("flex", 1.5 * u), **both("abd", rest * (1 - u))}
    else:  # one hand at a time, to the other foot
        left, right = alternate(phase / 2, 0.8)
        u = left + right
        reach = {
            "twist": 0.6 * (right - left),
            "flex_l": 1.3 * right,
            "flex_r": 1.3 * left,
            "abd_l": rest * (1 - u) + 1.2 * left,
            "abd_r": rest * (1 - u) + 1.2 * right,
        }
    return {
        "lean": rng.uniform(0.9, 1.3) * u,
        "bend": rng.uniform(0.5, 0.9) * u,
        **both("knee", rng.uniform(0.0, 0.2) * u),
        **out,
        **reach,
    }


def _side_bend(phase: Array, rng: Generator) -> Parts:
    reach = rng.uniform(0.45, 0.8)
    if rng.random() < 0.6:
        left, right = alternate(phase, 0.8)
        arms: Parts = {"abd_l": 0.4 + 2.4 * right, "abd_r": 0.4 + 2.4 * left, **both("elbow", 0.6)}
        return {"side": reach * (right - left), **both("out", 0.25), **arms}
    side = rng.choice(["l", "r"])
    other = "r" if side == "l" else "l"
    sign = 1.0 if side == "r" else -1.0
    arms = {f"abd_{side}": rng.uniform(2.2, 2.8), f"elbow_{side}": 0.5, f"abd_{other}": 0.7, f"elbow_{other}": 1.6}
    return {"side": sign * reach * up(phase, 0.7), **both("out", 0.25), **arms, f"roll_{other}": -1.3}


def _jog(phase: Array, rng: Generator) -> Parts:
    left, right = alternate(phase)
    return {
        "hip_l": rng.uniform(0.4, 0.8) * left,
        "hip_r": rng.uniform(0.4, 0.8) * right,
        "knee_l": rng.uniform(1.0, 1.5) * left,
        "knee_r": rng.uniform(1.0, 1.5) * right,
        "lean": rng.uniform(0.0, 0.15),
        "lift": rng.uniform(0.02, 0.06) * (left + right),
        "anchor": 0.1,
        **(_swinging(left, right, rng.uniform(0.4, 0.8)) if rng.random() < 0.8 else _free_arms(rng)),
    }


def _boxing(phase: Array, rng: Generator) -> Parts:
    left, right = alternate(phase, rng.uniform(1.0, 1.6))
    height = rng.uniform(1.3, 1.65)
    stance = rng.uniform(0.1, 0.35) * rng.choice([-1.0, 1.0])
    return {
        "flex_l": 0.5 + (height - 0.5) * left,
        "flex_r": 0.5 + (height - 0.5) * right,
        "elbow_l": 2.2 - 2.1 * left,
        "elbow_r": 2.2 - 2.1 * right,
        **both("abd", 0.2),
        "twist": rng.uniform(0.25, 0.6) * (right - left),
        "hip_l": 0.15 + stance,
        "hip_r": 0.15 - stance,
        **both("knee", 0.35),
        "lean": 0.12,
        "lift": 0.02 * (left + right),
    }


def _sit(phase: Array, rng: Generator) -> Parts:
    u = up(phase, 0.35)  # stays on the chair for a while
    moving = 4 * u * (1 - u)
    arms: list[Parts] = [both("flex", 0.7 * u), both("flex", 0.4 + 0.9 * moving), _free_arms(rng)]
    return {
        **both("hip", rng.uniform(1.35, 1.55) * u),
        **both("knee", rng.uniform(1.4, 1.6) * u),
        "lean": rng.uniform(0.4, 0.75) * moving,
        **arms[rng.integers(3)],
    }


def _wave(phase: Array, rng: Generator) -> Parts:
    side = rng.choice(["l", "r"])
    swing = np.sin(TWO_PI * phase)
    reach = rng.uniform(1.5, 2.5)
    amount = rng.uniform(0.35, 0.7)
    return {
        f"abd_{side}": reach + 0.4 * amount * swing,
        f"elbow_{side}": rng.uniform(0.6, 1.2) + amount * swing,
        f"roll_{side}": 1.5,
        "side": 0.04 * swing,
    }


def _kick(phase: Array, rng: Generator) -> Parts:
    if rng.random() < 0.5:
        left, right = alternate(phase, 1.3)
    else:
        u = up(phase, 1.3)
        zero = np.zeros_like(u)
        left, right = (u, zero) if rng.random() < 0.5 else (zero, u)
    reach = rng.uniform(1.0, 1.6)
    bend = rng.uniform(0.6, 1.1)
    guard = {"flex_l": 0.3 + 0.6 * right, "flex_r": 0.3 + 0.6 * left, **both("elbow", 1.2), **both("abd", 0.35)}
    # The knee is bent on the way up and stretched at the top.
    knees = {f"knee_{k}": bend * 4 * u * (1 - u) + 0.08 for k, u in (("l", left), ("r", right))}
    return {
        "hip_l": reach * left,
        "hip_r": reach * right,
        **knees,
        "lean": -0.22 * (left + right),
        **(guard if rng.random() < 0.5 else _free_arms(rng)),
    }


#: The exercises that are localized, alphabetical: the order of the labels everywhere.
ACTIONS: dict[str, Motion] = {
    m.name: m
    for m in (
        Motion("arm circle", _arm_circle, (0.7, 1.6)),
        Motion("boxing", _boxing, (0.6, 1.2)),
        Motion("jog", _jog, (0.55, 0.85)),
        Motion("jumping jack", _jumping_jack, (0.8, 1.5)),
        Motion("kick", _kick, (1.1, 2.2)),
        Motion("knee raise", _knee_raise, (1.3, 2.6)),
        Motion("side bend", _side_bend, (1.6, 3.2)),
        Motion("sit down", _sit, (2.4, 4.0)),
        Motion("squat", _squat, (1.3, 2.6)),
        Motion("toe touch", _toe_touch, (1.3, 2.6)),
        Motion("twist", _twist, (1.0, 2.2)),
        Motion("wave", _wave, (0.5, 1.1)),
    )
}
