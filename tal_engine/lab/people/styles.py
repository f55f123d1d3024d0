"""How the figure does everyday actions, each in many styles; values are radians, none was fitted to a recording."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...demo.motions import TWO_PI, Generator, Parts, alternate, both, hands_on_hips, up
from ...demo.skeleton import Array

Style = Callable[[Array, Generator], Parts]


def hanging(rng: Generator) -> Parts:
    """Draw how arms are held that do nothing."""
    choices: list[Parts] = [
        {}, {}, hands_on_hips(), both("elbow", rng.uniform(0.1, 0.6)),
        {**both("flex", rng.uniform(0.2, 1.4)), **both("elbow", rng.uniform(0.0, 2.0))},
        {**both("elbow", 1.8), **both("flex", 0.3), **both("roll", 1.0)},
    ]  # fmt: skip
    return choices[rng.integers(len(choices))]


def _paused(phase: Array, rng: Generator, most: float = 0.5) -> Array:
    """Rest at the end of each repetition, for up to a share of `most` of the cycle; half of the performances do."""
    rest = rng.uniform(0.0, most) if rng.random() < 0.5 else 0.0
    return np.asarray(np.floor(phase) + np.minimum((phase % 1.0) / (1.0 - rest), 1.0))


def one_of(*styles: Style) -> Style:
    """Draw one of several styles for a performance."""

    def parts(phase: Array, rng: Generator) -> Parts:
        return styles[rng.integers(len(styles))](phase, rng)

    return parts


def side_of(rng: Generator) -> tuple[str, str, float]:
    """Draw a side: its letter, the other's, and the sign of turning towards it."""
    return ("l", "r", 1.0) if rng.random() < 0.5 else ("r", "l", -1.0)


def _between(phase: Array, *points: tuple[float, float]) -> Array:
    """Move smoothly through values at phases of one cycle, the last as the first."""
    at, value = zip(*points, strict=True)
    position = phase % 1.0
    index = np.clip(np.searchsorted(at, position, side="right") - 1, 0, len(at) - 2)
    a, b = np.asarray(at), np.asarray(value)
    share = (position - a[index]) / (a[index + 1] - a[index])
    return np.asarray(b[index] + (b[index + 1] - b[index]) * (0.5 - 0.5 * np.cos(np.pi * share)))


def _gait(phase: Array, rng: Generator, stride: float, knee: float, swing: float, elbow: float) -> Parts:
    """Step left and right in turn: a full cycle is two steps."""
    turn = TWO_PI * (phase + rng.random())
    left, right = np.sin(turn), -np.sin(turn)
    base = rng.uniform(0.0, 0.15)
    lift_l, lift_r = (np.clip(np.sin(turn + s + 0.9), 0, None) ** 1.3 for s in (0.0, np.pi))
    return {
        "hip_l": stride * left + base, "hip_r": stride * right + base,
        "knee_l": 0.12 + knee * lift_l, "knee_r": 0.12 + knee * lift_r,
        "flex_l": -swing * left, "flex_r": -swing * right,
        "elbow_l": elbow * (1 - 0.25 * left), "elbow_r": elbow * (1 - 0.25 * right),
        "twist": 0.12 * swing * left, "anchor": 0.0,
    }  # fmt: skip


def walk(phase: Array, rng: Generator) -> Parts:
    """Walk, ahead or on the spot, perhaps along a bend."""
    stride = rng.uniform(0.25, 0.5)
    parts = _gait(phase, rng, stride, rng.uniform(0.6, 1.1), rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.7))
    if rng.random() < 0.2:
        parts |= hanging(rng)
    ahead = rng.choice([0.0, 1.0, 1.0]) * rng.uniform(2.2, 2.9) * stride
    bend = rng.normal(0, 0.12) if rng.random() < 0.5 else 0.0
    return parts | {"lean": rng.uniform(-0.02, 0.12), "z": ahead * phase, "yaw": bend * phase}


def jog(phase: Array, rng: Generator) -> Parts:
    """Run or jog, ahead or on the spot."""
    stride = rng.uniform(0.25, 0.75)
    parts = _gait(phase, rng, stride, rng.uniform(1.0, 1.9), rng.uniform(0.4, 1.0), rng.uniform(1.2, 1.9))
    bounce = rng.uniform(0.02, 0.08) * np.abs(np.sin(TWO_PI * phase))
    ahead = rng.choice([0.0, 1.0]) * rng.uniform(2.6, 3.6) * stride
    return parts | {"lean": rng.uniform(0.0, 0.25), "lift": bounce, "z": ahead * phase}


def jog_on_the_spot(phase: Array, rng: Generator) -> Parts:
    """Jog on the spot."""
    left, right = alternate(phase)
    high = rng.uniform(0.4, 0.95)
    return {
        "hip_l": high * left, "hip_r": high * right,
        "knee_l": rng.uniform(1.0, 1.6) * left + 0.1, "knee_r": rng.uniform(1.0, 1.6) * right + 0.1,
        "flex_l": 0.6 * (right - left), "flex_r": 0.6 * (left - right), **both("elbow", rng.uniform(1.2, 1.9)),
        "lift": rng.uniform(0.02, 0.07) * (left + right), "anchor": 0.1,
    }  # fmt: skip


def jump(phase: Array, rng: Generator) -> Parts:
    """Crouch, swing the arms and jump up or ahead."""
    phase = _paused(phase, rng)
    deep, high = rng.uniform(0.4, 1.1), rng.uniform(0.12, 0.45)
    crouch = _between(phase, (0, 0), (0.35, 1), (0.5, 0), (0.62, 0.15), (0.75, 0), (0.85, 0.55), (1, 0))
    swing = _between(phase, (0, 0), (0.3, -0.5), (0.52, rng.uniform(0.6, 2.9)), (0.8, 0.4), (1, 0))
    flight = _between(phase, (0, 0), (0.48, 0), (0.63, 1), (0.78, 0), (1, 0))
    ahead = rng.choice([0.0, 0.0, 1.0]) * rng.uniform(0.4, 1.2)
    return {
        **both("hip", deep * crouch), **both("knee", 1.7 * deep * crouch), "lean": 0.6 * deep * crouch,
        **both("flex", swing * rng.choice([1.0, 1.0, 0.2])), **both("elbow", rng.uniform(0.1, 0.8)),
        "lift": high * flight, "z": ahead * (np.floor(phase) + np.clip((phase % 1.0 - 0.48) / 0.3, 0, 1)),
    }  # fmt: skip


def hop(phase: Array, rng: Generator) -> Parts:
    """Hop on the spot."""
    u = np.abs(np.sin(np.pi * phase))
    bend = rng.uniform(0.15, 0.4) * (1 - u)
    return {
        **both("hip", bend), **both("knee", 2 * bend), "lift": rng.uniform(0.06, 0.2) * u, **hanging(rng),
        **(both("abd", 0.2 + 0.3 * u) if rng.random() < 0.4 else {}),
    }  # fmt: skip


def bow(phase: Array, rng: Generator) -> Parts:
    """Bend the trunk forward."""
    u = up(_paused(phase, rng), rng.uniform(0.4, 1.0))
    return {
        "lean": rng.uniform(0.5, 1.3) * u, "bend": rng.uniform(0.1, 0.6) * u, "nod": 0.3 * u, **hanging(rng),
        **both("knee", rng.uniform(0.0, 0.2) * u), **(both("flex", 0.9 * u) if rng.random() < 0.5 else {}),
    }  # fmt: skip


def pick_up(phase: Array, rng: Generator) -> Parts:
    """Reach down to the floor, with one hand or both."""
    s, o, sign = side_of(rng)
    u = up(_paused(phase, rng), rng.uniform(0.5, 1.0))
    depth = rng.uniform(0.1, 0.9)
    one = rng.random() < 0.5
    arms: Parts = {f"flex_{s}": rng.uniform(0.9, 1.5) * u, f"flex_{o}": (0.2 if one else 1.2) * u}
    step: Parts = {f"hip_{s}": (depth + 0.3) * u} if rng.random() < 0.3 else {}
    return {
        "lean": rng.uniform(0.6, 1.2) * u, "bend": rng.uniform(0.3, 0.8) * u, **both("hip", depth * u),
        **both("knee", 1.6 * depth * u), "twist": sign * rng.uniform(-0.1, 0.5) * u * one, **arms, **step,
    }  # fmt: skip


def punches(phase: Array, rng: Generator) -> Parts:
    """Strike with one arm or both in turn: straight, hooked or upwards, from a guard or from hanging arms."""
    phase = _paused(phase, rng, 0.4)
    s, o, _ = side_of(rng)
    if rng.random() < 0.5:
        first, second = alternate(phase, rng.uniform(1.0, 1.6))
    else:
        first = up(phase, rng.uniform(1.0, 1.8))
        second = np.zeros_like(first)
    kind = rng.integers(3)
    guard = rng.uniform(1.7, 2.4) if rng.random() < 0.75 else 0.4
    rest, reach = (0.6 if guard > 1 else 0.1), rng.uniform(1.2, 1.75)
    parts: Parts = {"twist": 0.0, "lean": rng.uniform(0.0, 0.2)}
    twist: Array = np.zeros_like(first)
    for side, u in ((s, first), (o, second)):
        parts[f"flex_{side}"] = rest + (reach - rest) * u
        parts[f"elbow_{side}"] = guard + ((0.1, 1.4, 1.7)[kind] - guard) * u
        parts[f"abd_{side}"] = 0.2 + (0.0, 1.0, 0.1)[kind] * u
        twist = twist + (-1.0 if side == "l" else 1.0) * u
    stance = rng.uniform(0.0, 0.4) * rng.choice([-1.0, 1.0])
    legs: Parts = {"hip_l": 0.15 + stance, "hip_r": 0.15 - stance, **both("knee", rng.uniform(0.1, 0.5))}
    return parts | legs | {"twist": rng.uniform(0.2, 0.7) * twist}


def throw(phase: Array, rng: Generator) -> Parts:
    """Throw overarm: back over the shoulder, then forward and down, often with a step."""
    phase = _paused(phase, rng)
    s, o, sign = side_of(rng)
    back, go = rng.uniform(0.3, 0.45), rng.uniform(0.52, 0.62)
    high = rng.uniform(1.2, 2.2)
    step = rng.choice([0.0, 1.0]) * rng.uniform(0.3, 0.9)
    return {
        f"flex_{s}": _between(phase, (0, 0), (back, rng.uniform(-0.3, 1.2)), (go, high), (0.75, 0.7), (1, 0)),
        f"abd_{s}": _between(phase, (0, 0), (back, rng.uniform(0.8, 2.0)), (go, 0.4), (0.75, 0.0), (1, 0)),
        f"elbow_{s}": _between(phase, (0, 0.2), (back, rng.uniform(1.5, 2.3)), (go, 0.3), (0.75, 0.2), (1, 0.2)),
        f"roll_{s}": _between(phase, (0, 0), (back, rng.uniform(0.7, 1.7)), (go, 0.9), (0.75, 0.4), (1, 0)),
        f"flex_{o}": _between(phase, (0, 0), (back, rng.uniform(0.0, 1.3)), (go, 0.2), (1, 0)),
        "twist": sign * _between(phase, (0, 0), (back, 0.6), (go, -0.5), (0.8, -0.3), (1, 0)) * rng.uniform(0.5, 1.3),
        "lean": _between(phase, (0, 0), (back, -0.12), (0.7, rng.uniform(0.1, 0.5)), (1, 0)),
        f"hip_{o}": step * _between(phase, (0, 0), (back, 1), (go, 0.5), (0.8, 0.5), (1, 0)),
        f"knee_{o}": step * _between(phase, (0, 0), (back, 1), (go, 0.4), (0.8, 0.4), (1, 0)),
        "anchor": rng.uniform(0.3, 1.0),
    }  # fmt: skip


def toss(phase: Array, rng: Generator) -> Parts:
    """Throw underarm, or with both hands over the head."""
    phase = _paused(phase, rng)
    s, _, _ = side_of(rng)
    if rng.random() < 0.5:
        swing = _between(phase, (0, 0), (0.4, rng.uniform(-1.1, -0.6)), (0.65, rng.uniform(1.2, 2.2)), (1, 0))
        lean = _between(phase, (0, 0), (0.45, rng.uniform(0.2, 0.6)), (0.7, 0.1), (1, 0))
        return {
            f"flex_{s}": swing,
            "lean": lean,
            f"elbow_{s}": 0.2,
            **both("knee", 0.6 * lean),
            **both("hip", 0.3 * lean),
        }
    high = _between(phase, (0, 0.3), (0.4, rng.uniform(2.5, 3.1)), (0.6, 1.3), (1, 0.3))
    fold = _between(phase, (0, 1.2), (0.4, rng.uniform(1.2, 2.2)), (0.6, 0.2), (1, 1.2))
    return {
        **both("flex", high),
        **both("elbow", fold),
        "lean": _between(phase, (0, 0), (0.4, -0.15), (0.65, 0.3), (1, 0)),
    }


def football(phase: Array, rng: Generator) -> Parts:
    """Kick as one kicks a ball: the leg swings from behind, the arms keep balance."""
    phase = _paused(phase, rng)
    s, o, sign = side_of(rng)
    high = rng.uniform(0.5, 1.4)
    return {
        f"hip_{s}": _between(phase, (0, 0), (0.35, rng.uniform(-0.7, -0.2)), (0.6, high), (1, 0)),
        f"knee_{s}": _between(phase, (0, 0), (0.35, rng.uniform(0.7, 1.6)), (0.6, 0.1), (1, 0)),
        f"knee_{o}": 0.15, f"flex_{o}": _between(phase, (0, 0), (0.35, -0.3), (0.6, 0.7), (1, 0)),
        f"abd_{o}": _between(phase, (0, 0.1), (0.5, rng.uniform(0.2, 1.0)), (1, 0.1)),
        f"abd_{s}": 0.2, "lean": _between(phase, (0, 0), (0.35, 0.15), (0.6, -0.15), (1, 0)),
        "twist": sign * _between(phase, (0, 0), (0.35, 0.2), (0.6, -0.2), (1, 0)), "anchor": rng.uniform(0.3, 1.0),
    }  # fmt: skip


def wave(phase: Array, rng: Generator) -> Parts:
    """Wave with one hand or both, the forearm upright, or the whole arm."""
    s, o, _ = side_of(rng)
    swing = np.sin(TWO_PI * phase)
    lift, fold = rng.uniform(0.3, 1.4), rng.uniform(1.2, 2.2)
    arm: Parts = {
        "abd": lift + 0.12 * swing,
        "elbow": fold + 0.2 * swing,
        "roll": rng.uniform(1.0, 1.7) + rng.uniform(0.2, 0.6) * swing,
    }
    if rng.random() < 0.35:
        arm = {"abd": rng.uniform(2.0, 2.8) + rng.uniform(0.2, 0.5) * swing, "elbow": rng.uniform(0.1, 0.6)}
    sides = (s, o) if rng.random() < 0.2 else (s,)
    return {f"{name}_{side}": value for side in sides for name, value in arm.items()}


def squat(phase: Array, rng: Generator) -> Parts:
    """Squat, more or less deeply, with the arms held ahead or before the chest all the while."""
    depth = rng.uniform(0.5, 1.4) * up(_paused(phase, rng), rng.uniform(0.5, 1.0))
    return {
        **both("hip", depth), **both("knee", 1.9 * depth), **both("out", rng.uniform(0.0, 0.3)),
        "lean": depth * rng.uniform(0.2, 0.6), **both("flex", rng.uniform(0.9, 1.7)),
        **both("elbow", rng.choice([0.0, 1.0]) * rng.uniform(1.0, 2.3)), **both("roll", rng.uniform(0.0, 1.2)),
    }  # fmt: skip


def crank(phase: Array, rng: Generator) -> Parts:
    """Circle with bent arms before or beside the body, one or both, as one winds something up."""
    turn = TWO_PI * phase * rng.choice([-1.0, 1.0])
    s, o, _ = side_of(rng)
    size, out, fold = rng.uniform(0.3, 0.9), rng.uniform(0.1, 1.0), rng.uniform(0.3, 1.6)
    lag = rng.choice([0.0, 0.0, np.pi])
    parts: Parts = {}
    for side, shift in ((s, 0.0), (o, lag))[: 2 if rng.random() < 0.6 else 1]:
        parts[f"flex_{side}"] = rng.uniform(0.4, 1.2) + size * np.cos(turn + shift)
        parts[f"abd_{side}"] = out + 0.8 * size * np.sin(turn + shift)
        parts[f"elbow_{side}"] = fold + 0.5 * size * np.cos(turn + shift + 0.7)
    return parts


def clap(phase: Array, rng: Generator) -> Parts:
    """Clap the hands."""
    u = up(phase, rng.uniform(0.7, 1.3))
    if rng.random() < 0.3:  # wide, with nearly straight arms
        return {**both("flex", rng.uniform(1.0, 1.6)), **both("abd", 0.7 - 0.75 * u), **both("elbow", 0.3)}
    return {
        **both("flex", rng.uniform(0.4, 1.2)), **both("elbow", rng.uniform(1.1, 1.8)), **both("abd", 0.05),
        **both("roll", 0.1 + rng.uniform(0.5, 0.8) * u),
    }  # fmt: skip


def lunge(phase: Array, rng: Generator) -> Parts:
    """Step far ahead and sink, with one leg or both in turn."""
    phase = _paused(phase, rng, 0.35)
    s, o, _ = side_of(rng)
    if rng.random() < 0.5:
        first, second = alternate(phase, rng.uniform(0.5, 1.0))
    else:
        first = up(phase, rng.uniform(0.5, 1.0))
        second = np.zeros_like(first)
    front, bend = rng.uniform(0.9, 1.5), rng.uniform(1.1, 1.7)
    back, fold = rng.uniform(-0.6, 0.0), rng.uniform(0.8, 1.6)
    return {
        f"hip_{s}": front * first + back * second, f"knee_{s}": bend * first + fold * second,
        f"hip_{o}": front * second + back * first, f"knee_{o}": bend * second + fold * first,
        "lean": rng.uniform(-0.05, 0.3) * (first + second), "anchor": rng.uniform(0.0, 0.5), **hanging(rng),
    }  # fmt: skip
