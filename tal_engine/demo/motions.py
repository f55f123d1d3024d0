"""What the figure can do: twelve exercises, the idle motions between them, and random programs.

A motion maps seconds to poses. Its style (amplitude, tempo, variant, noise) is drawn once per
performance, so no two performances are alike. The random programs are a separate set of
movements with no names; encoders are pre-trained on them, never on the exercises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from .skeleton import POSE, Array, P

TWO_PI = 2 * np.pi
Parts = dict[str, Array | float]
Generator = np.random.Generator


def _up(phase: Array, dwell: float = 1.0) -> Array:
    """0 -> 1 -> 0 over one cycle; dwell < 1 stays longer at the top."""
    return np.asarray((0.5 - 0.5 * np.cos(TWO_PI * phase)) ** dwell)


def _alternate(phase: Array, dwell: float = 1.0) -> tuple[Array, Array]:
    """Two half cycles: first the left side goes up and down, then the right."""
    first = (phase % 1.0) < 0.5
    u = _up((phase * 2) % 1.0, dwell)
    return np.where(first, u, 0.0), np.where(first, 0.0, u)


def _both(name: str, value: Array | float) -> Parts:
    return {f"{name}_l": value, f"{name}_r": value}


def _hands_on_hips() -> Parts:
    return {**_both("abd", 0.75), **_both("elbow", 1.6), **_both("roll", -1.3)}


def _free_arms(rng: Generator) -> Parts:
    """Where arms are held in an exercise that does not need them: people differ."""
    lift, out, bend = rng.uniform(0.0, 1.5), rng.uniform(0.1, 1.2), rng.uniform(0.0, 2.0)
    choices: list[Parts] = [
        {},
        _hands_on_hips(),
        {**_both("flex", 1.3), **_both("elbow", 1.9), **_both("roll", 0.8)},  # hands before the chest
        {**_both("flex", lift), **_both("elbow", bend)},
        {**_both("abd", out), **_both("elbow", bend)},
        {**_both("abd", 1.7), **_both("elbow", 2.3), **_both("roll", 1.2)},  # hands at the head
        {**_both("flex", 0.4 * lift), **_both("abd", 0.7 * out), **_both("elbow", 0.6 * bend)},
    ]
    return choices[rng.integers(len(choices))]


def _swinging(left: Array, right: Array, reach: float) -> Parts:
    """Bent arms that swing against the legs."""
    return {
        "flex_l": reach * (right - left),
        "flex_r": reach * (left - right),
        **_both("elbow", 1.5),
        **_both("abd", 0.15),
    }


def _squat(phase: Array, rng: Generator) -> Parts:
    depth = rng.uniform(0.95, 1.5) * _up(phase, rng.uniform(0.6, 1.0))
    forward = _both("flex", 0.2 + depth * rng.uniform(0.8, 1.1))
    arms = forward if rng.random() < 0.35 else _free_arms(rng)
    legs = {**_both("hip", depth), **_both("knee", 1.95 * depth), **_both("out", rng.uniform(0.05, 0.25))}
    return {**legs, "lean": depth * rng.uniform(0.2, 0.5), **arms}


def _jumping_jack(phase: Array, rng: Generator) -> Parts:
    u = _up(phase, rng.uniform(0.7, 1.0))
    hop = np.abs(np.sin(TWO_PI * phase)) * rng.uniform(0.03, 0.12)
    return {
        **_both("abd", 0.15 + u * rng.uniform(1.9, 2.8)),
        **_both("elbow", rng.uniform(0.1, 0.5)),
        **_both("out", 0.05 + u * rng.uniform(0.3, 0.5)),
        **_both("hip", 0.12 * hop / 0.1),
        **_both("knee", 0.3 * hop / 0.1),
        "lift": hop,
    }


def _knee_raise(phase: Array, rng: Generator) -> Parts:
    left, right = _alternate(phase, rng.uniform(0.6, 1.0))
    reach = rng.uniform(1.2, 1.75)
    bend = rng.uniform(1.2, 1.7)
    arms: list[Parts] = [
        _swinging(left, right, rng.uniform(0.3, 0.8)),
        {"flex_l": 1.6 * left, "flex_r": 1.6 * right, **_both("elbow", 1.0)},
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
        return {**_both("abd", 1.5 + r * np.cos(turn)), **_both("flex", r * np.sin(turn))}
    lag = rng.choice([0.0, np.pi])  # full circles, together or like a windmill
    tilt = rng.uniform(0.2, 0.5)
    return {"flex_l": turn, "flex_r": turn + lag, **_both("abd", tilt), "twist": 0.12 * np.sin(turn + lag)}


def _twist(phase: Array, rng: Generator) -> Parts:
    swing = np.sin(TWO_PI * phase)
    arms: list[Parts] = [
        {**_both("abd", 1.2), **_both("flex", 0.5), **_both("elbow", 1.9), **_both("roll", 0.3)},
        _both("abd", rng.uniform(1.2, 1.6)),
        _free_arms(rng),
    ]
    return {
        "twist": rng.uniform(0.7, 1.25) * swing,
        "look": 0.2 * swing,
        **_both("out", rng.uniform(0.1, 0.3)),
        **arms[rng.integers(3)],
    }


def _toe_touch(phase: Array, rng: Generator) -> Parts:
    u = _up(phase, rng.uniform(0.6, 1.0))
    out = _both("out", rng.uniform(0.05, 0.4))
    rest = rng.uniform(0.0, 1.4)  # arms between two touches: hanging .. held out
    if rng.random() < 0.5:
        reach: Parts = {**_both("flex", 1.5 * u), **_both("abd", rest * (1 - u))}
    else:  # one hand at a time, to the other foot
        left, right = _alternate(phase / 2, 0.8)
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
        **_both("knee", rng.uniform(0.0, 0.2) * u),
        **out,
        **reach,
    }


def _side_bend(phase: Array, rng: Generator) -> Parts:
    reach = rng.uniform(0.45, 0.8)
    if rng.random() < 0.6:
        left, right = _alternate(phase, 0.8)
        arms: Parts = {"abd_l": 0.4 + 2.4 * right, "abd_r": 0.4 + 2.4 * left, **_both("elbow", 0.6)}
        return {"side": reach * (right - left), **_both("out", 0.25), **arms}
    side = rng.choice(["l", "r"])
    other = "r" if side == "l" else "l"
    sign = 1.0 if side == "r" else -1.0
    arms = {f"abd_{side}": rng.uniform(2.2, 2.8), f"elbow_{side}": 0.5, f"abd_{other}": 0.7, f"elbow_{other}": 1.6}
    return {"side": sign * reach * _up(phase, 0.7), **_both("out", 0.25), **arms, f"roll_{other}": -1.3}


def _jog(phase: Array, rng: Generator) -> Parts:
    left, right = _alternate(phase)
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
    left, right = _alternate(phase, rng.uniform(1.0, 1.6))
    height = rng.uniform(1.3, 1.65)
    stance = rng.uniform(0.1, 0.35) * rng.choice([-1.0, 1.0])
    return {
        "flex_l": 0.5 + (height - 0.5) * left,
        "flex_r": 0.5 + (height - 0.5) * right,
        "elbow_l": 2.2 - 2.1 * left,
        "elbow_r": 2.2 - 2.1 * right,
        **_both("abd", 0.2),
        "twist": rng.uniform(0.25, 0.6) * (right - left),
        "hip_l": 0.15 + stance,
        "hip_r": 0.15 - stance,
        **_both("knee", 0.35),
        "lean": 0.12,
        "lift": 0.02 * (left + right),
    }


def _sit(phase: Array, rng: Generator) -> Parts:
    u = _up(phase, 0.35)  # stays on the chair for a while
    moving = 4 * u * (1 - u)
    arms: list[Parts] = [_both("flex", 0.7 * u), _both("flex", 0.4 + 0.9 * moving), _free_arms(rng)]
    return {
        **_both("hip", rng.uniform(1.35, 1.55) * u),
        **_both("knee", rng.uniform(1.4, 1.6) * u),
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
        left, right = _alternate(phase, 1.3)
    else:
        u = _up(phase, 1.3)
        zero = np.zeros_like(u)
        left, right = (u, zero) if rng.random() < 0.5 else (zero, u)
    reach = rng.uniform(1.0, 1.6)
    bend = rng.uniform(0.6, 1.1)
    guard = {"flex_l": 0.3 + 0.6 * right, "flex_r": 0.3 + 0.6 * left, **_both("elbow", 1.2), **_both("abd", 0.35)}
    # The knee is bent on the way up and stretched at the top.
    knees = {f"knee_{k}": bend * 4 * u * (1 - u) + 0.08 for k, u in (("l", left), ("r", right))}
    return {
        "hip_l": reach * left,
        "hip_r": reach * right,
        **knees,
        "lean": -0.22 * (left + right),
        **(guard if rng.random() < 0.5 else _free_arms(rng)),
    }


@dataclass(frozen=True)
class Motion:
    """A named motion: how its parts move over a cycle, and how fast the cycle is (seconds)."""

    name: str
    parts: Callable[[Array, Generator], Parts]
    cycle_s: tuple[float, float]


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


def _stand(phase: Array, rng: Generator) -> Parts:
    arms: list[Parts] = [{}, {}, _hands_on_hips(), {**_both("elbow", 1.8), **_both("flex", 0.3), **_both("roll", 1.0)}]
    return {"side": 0.03 * np.sin(TWO_PI * phase), **arms[rng.integers(4)]}


def _fidget(phase: Array, rng: Generator) -> Parts:
    u = _up(phase, rng.uniform(0.4, 1.0))
    side = rng.choice(["l", "r"])
    kinds: list[Parts] = [
        {
            f"flex_{side}": 0.6 * u,
            f"elbow_{side}": 2.3 * u,
            f"roll_{side}": 0.5 * u,
            "nod": 0.2 * u,
        },  # scratch the head
        {"look": rng.uniform(0.5, 1.1) * np.sin(TWO_PI * phase), "twist": 0.15 * np.sin(TWO_PI * phase)},
        {"lean": rng.uniform(0.2, 0.6) * u, "bend": 0.3 * u, **_both("knee", 0.3 * u), **_both("hip", 0.15 * u)},
        {"side": 0.15 * u, f"out_{side}": 0.15 * u, f"knee_{side}": 0.3 * u, f"hip_{side}": 0.15 * u},
        {f"flex_{side}": rng.uniform(0.6, 1.3) * u, f"elbow_{side}": 1.2 * u, "nod": 0.4 * u},  # look at a phone
        {**_both("flex", 0.5 * u), **_both("elbow", 1.9 * u), **_both("roll", 0.8 * u)},
    ]
    return kinds[rng.integers(len(kinds))]


def _walk(phase: Array, rng: Generator) -> Parts:
    """Out and back along a line, turning at the end; speed about one step per half cycle."""
    left, right = _alternate(phase)
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
        **_both("elbow", 0.3),
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
    """Poses [F, len(POSE)] of one performance.

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
    """Slow random movement of all angles, [frames, len(POSE)]: nobody repeats exactly."""
    t = np.arange(frames)[:, None] / fps
    out = np.zeros((frames, len(POSE)))
    for _ in range(3):
        rate = rng.uniform(0.05, 0.6, len(POSE))
        out += rng.normal(0, amount, len(POSE)) * np.sin(TWO_PI * (rate * t + rng.random(len(POSE))))
    out[:, [P["x"], P["z"], P["lift"], P["anchor"]]] = 0.0
    return out


# -- random programs: the pre-training classes -------------------------------------------------

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
        """Components over the cycle, with this performance's own amplitude."""
        strength = rng.uniform(0.7, 1.2)
        swing = np.sin(TWO_PI * (phase[:, None] * self.harmonic + self.phase)) * self.amplitude * strength
        value = self.offset + swing
        return {name: value[:, i] for name, i in P.items() if name != "anchor" and np.any(value[:, i])}

    def motion(self, name: str) -> Motion:
        """The program as a motion."""
        return Motion(name, self.parts, (0.8 * self.cycle_s, 1.25 * self.cycle_s))

    def profile(self) -> Array:
        """Unit vector of how much each component moves: what two movements are compared by."""
        return _unit(self.amplitude)


def _unit(v: Array) -> Array:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-12))


def action_profile(motion: Motion, rng: Generator) -> Array:
    """How much each pose component moves in one performance of an exercise (unit vector)."""
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
