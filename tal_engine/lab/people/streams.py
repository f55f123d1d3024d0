"""Untrimmed skeleton streams of the figure: who does what when, drawn from a seed, with exact truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ...demo.motions import Motion, perform, tremor
from ...demo.programs import action_profile, programs
from ...demo.skeleton import POSE, Array, Body, P, forward_kinematics
from ...records import Segment
from .actions import ACTIONS, DOODLE, IDLES, SEATED

#: Frames a second of the figure's motion, before a camera sees it.
FPS = 30.0
_BLEND_S = 0.4
#: Shortest and longest performance, seconds, and of actions that have their own.
LENGTHS = (2.0, 8.0)
_LENGTHS = {"sit down": (0.9, 2.4), "stand up": (0.9, 2.4), "walk": (2.5, 9.0), "jog": (2.5, 9.0)}
#: Nameless programs beside which actions must be told, and the largest cosine of one with an action.
_PROGRAMS, _CLOSEST = 320, 0.75


#: Pose components that are angles of joints, those of the arms, and actions that leave the arms free.
_ANGLES = np.array([i for i, n in enumerate(POSE) if n not in ("x", "z", "yaw", "lift", "anchor")])
_ARMS = np.array([P[f"{n}_{s}"] for n in ("flex", "abd", "elbow", "roll") for s in "lr"])
_FREE_ARMS = frozenset(["bend", "jog", "jump", "kick", "knee raise", "lunge", "sit down", "squat", "stand up", "walk"])


@dataclass(frozen=True)
class Stream:
    """One recording of one person: joints [T, 18, 3] of the figure in metres at `FPS`, and what is done when."""

    name: str
    joints: Array
    instances: tuple[Segment, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.joints) / FPS


@dataclass(frozen=True)
class _Part:
    motion: Motion
    length: float
    label: str | None = None


@dataclass(frozen=True)
class _Pace:
    """How long performances take, how many are followed by something nameless, and from which half of that."""

    lengths: tuple[float, float]
    idle: float
    own: int


@cache
def _known() -> Array:
    """Profiles of a dozen performances of each action that is a movement and no change of posture, [n, components]."""
    rng = np.random.default_rng(4711)
    moving = [m for n, m in ACTIONS.items() if n not in ("sit down", "stand up")]
    return np.stack([action_profile(m, rng) for m in moving for _ in range(12)])


def moves_like_none(profile: Array) -> bool:
    """Return whether what moves, and how much, is far from every action.

    Args:
        profile: see `demo.programs.action_profile`.
    """
    return float((_known() @ profile).max()) <= _CLOSEST


@cache
def strangers(half: int = 0) -> tuple[Motion, ...]:
    """Draw random programs that move like no action, which must not be named.

    Args:
        half: 0 or 1: one half teaches, the other judges what becomes of movements that nobody has seen before.
    """
    far = [p for p in programs(_PROGRAMS) if moves_like_none(p.profile())]
    return tuple(p.motion("program") for p in far[half::2])


def write_stream(
    name: str,
    seed: Sequence[int],
    actions: int | None = None,
    classes: Sequence[str] = (),
    lengths: tuple[float, float] = LENGTHS,
    idle: float = 0.85,
    own: int = 0,
) -> Stream:
    """Draw a stream.

    Args:
        name: of the stream.
        seed: the same seed gives the same stream.
        actions: how many performances; default: 1 to 5, of up to three classes. 0: nothing that has a name.
        classes: of the performances; default: drawn.
        lengths: shortest and longest performance, seconds, of actions that do not end by themselves.
        idle: share of performances that something nameless follows.
        own: which half of the nameless programs it draws from; see `strangers`.
    """
    rng = np.random.default_rng(list(seed))
    if actions is None:
        actions = int(rng.integers(1, 6))
    if not classes:
        classes = [
            str(c)
            for c in rng.choice(list(ACTIONS), size=int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])), replace=False)
        ]
    parts = _timeline(rng, [str(rng.choice(classes)) for _ in range(actions)], _Pace(lengths, idle, own))
    joints, starts = _played(rng, parts)
    instances = [Segment(a, a + p.length, p.label, 1.0) for a, p in zip(starts, parts, strict=True) if p.label]
    return Stream(name, joints, tuple(instances))


def write_clip(name: str, seed: Sequence[int], label: str | None, own: int = 0) -> Stream:
    """Draw a short stream of one performance, as long as one to three repetitions, with little around it.

    Args:
        name: of the stream.
        seed: the same seed gives the same stream.
        label: what is done; None: nothing that has a name.
        own: see `write_stream`.
    """
    rng = np.random.default_rng(list(seed))
    if label is None:
        joints, _ = _played(rng, _idle(rng, bool(rng.random() < 0.15), own))
        return Stream(name, joints, ())
    motion = ACTIONS[label]
    length = (
        float(rng.uniform(*_LENGTHS[label]))
        if label in _LENGTHS
        else float(rng.uniform(*motion.cycle_s)) * float(rng.choice([1, 1, 2, 3]))
    )
    around = [replace(p, length=float(rng.uniform(0.1, 1.0))) for p in _idle(rng, label == "stand up", own)[:1]]
    after = [replace(p, length=float(rng.uniform(0.1, 1.0))) for p in _idle(rng, label == "sit down", own)[:1]]
    parts = [*around, _Part(motion, min(max(length, 0.8), 4.0), label), *after]
    joints, starts = _played(rng, parts)
    instances = [Segment(a, a + p.length, p.label, 1.0) for a, p in zip(starts, parts, strict=True) if p.label]
    return Stream(name, joints, tuple(instances))


def write_motion(name: str, seed: Sequence[int], motion: Motion, length: float) -> Stream:
    """Draw a stream of one motion that has no name, and nothing around it.

    Args:
        name: of the stream.
        seed: the same seed gives the same stream.
        motion: what is done.
        length: seconds.
    """
    joints, _ = _played(np.random.default_rng(list(seed)), [_Part(motion, length)])
    return Stream(name, joints, ())


def _timeline(rng: np.random.Generator, labels: list[str], pace: _Pace) -> list[_Part]:
    """Order performances and what lies between them; who sits stands up before doing something else."""
    parts: list[_Part] = []
    seated = bool(labels) and labels[0] == "stand up"
    parts += _idle(rng, seated, pace.own)
    for label in labels:
        if label == "stand up" and not seated:
            parts += [_act(rng, "sit down", pace), *_idle(rng, True, pace.own)]
        elif label != "stand up" and seated:
            parts += [_act(rng, "stand up", pace), *_idle(rng, False, pace.own)]
        parts.append(_act(rng, label, pace))
        seated = label == "sit down"
        if rng.random() < pace.idle:
            parts += _idle(rng, seated, pace.own)
    if not labels:
        for _ in range(int(rng.integers(2, 5))):
            parts += _idle(rng, bool(rng.random() < 0.25), pace.own)
    return parts


def _act(rng: np.random.Generator, label: str, pace: _Pace) -> _Part:
    shortest, longest = _LENGTHS.get(label, pace.lengths)
    if label not in ("sit down", "stand up"):
        longest = max(longest, pace.lengths[1])
    return _Part(ACTIONS[label], float(rng.uniform(shortest, longest)), label)


def _idle(rng: np.random.Generator, seated: bool, own: int) -> list[_Part]:
    """Draw one to three things without a name, 1 to 4 s each."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        motion = IDLES[rng.integers(len(IDLES))]
        if rng.random() < 0.35:
            motion = strangers(own)[rng.integers(len(strangers(own)))]
        parts.append(_Part(SEATED if seated else motion, float(rng.uniform(1.0, 4.0))))
    return parts


def _mannered(pose: Array, part: _Part, t: Array, rng: np.random.Generator) -> Array:
    """Change how a performance is done, but not what: sizes, postures and timing of joints; what free arms do.

    Motions draw from a few styles; people have as many as there are people.
    """
    if len(pose) < 2:
        return pose
    amount = rng.random()
    middle = pose.mean(axis=0, keepdims=True)
    gain = rng.lognormal(0, 0.22 * amount, len(_ANGLES))
    offset = rng.normal(0, 0.13 * amount, len(_ANGLES))
    out = pose.copy()
    out[:, _ANGLES] = middle[:, _ANGLES] + gain * (pose - middle)[:, _ANGLES] + offset
    for column in _ANGLES:  # joints lag behind each other
        lag = rng.normal(0, 0.05 * amount)
        out[:, column] = np.interp(t - lag, t, out[:, column])
    if part.label in _FREE_ARMS and rng.random() < 0.2:
        arms = perform(DOODLE, t, part.length, rng) * rng.uniform(0.2, 1.0)
        out[:, _ARMS] = arms[:, _ARMS]
    knees = [P["knee_l"], P["knee_r"], P["elbow_l"], P["elbow_r"]]
    out[:, knees] = np.maximum(out[:, knees], np.minimum(pose[:, knees], 0.0))
    return out


def _played(rng: np.random.Generator, parts: list[_Part]) -> tuple[Array, list[float]]:
    """Perform one part after the other, blended; ways are put together from the speeds of each."""
    starts = np.concatenate([[0.0], np.cumsum([p.length for p in parts])])
    frames = max(int(np.ceil(float(starts[-1]) * FPS - 1e-9)), 2)
    t: Array = (np.arange(frames, dtype=np.float64) + 0.5) / FPS
    total, weight = np.zeros((frames, len(POSE))), np.zeros((frames, 1))
    travel = [P["z"], P["yaw"], P["x"]]
    for part, start in zip(parts, starts, strict=False):
        near = np.flatnonzero((t > start - _BLEND_S) & (t < start + part.length + _BLEND_S))
        own = np.random.default_rng(rng.integers(2**31))
        pose = _mannered(perform(part.motion, t[near] - start, part.length, own), part, t[near] - start, own)
        pose[:, travel] = np.gradient(pose[:, travel], axis=0) * FPS if len(near) > 1 else 0.0
        rise = np.clip((t[near] - start + _BLEND_S / 2) / _BLEND_S, 0, 1)
        fall = np.clip((start + part.length + _BLEND_S / 2 - t[near]) / _BLEND_S, 0, 1)
        inside = np.asarray(np.minimum(rise, fall), np.float64)[:, None]
        w = np.asarray(inside * inside * (3 - 2 * inside) + 1e-9, np.float64)
        total[near] += w * pose
        weight[near] += w
    pose = total / np.maximum(weight, 1e-9)
    shake = tremor(frames, FPS, rng, amount=float(rng.uniform(0.01, 0.05)))
    heading = rng.uniform(-np.pi, np.pi) + np.cumsum(pose[:, P["yaw"]]) / FPS
    ahead, aside = pose[:, P["z"]] / FPS, pose[:, P["x"]] / FPS
    pose[:, P["x"]] = np.cumsum(ahead * np.sin(heading) + aside * np.cos(heading))
    pose[:, P["z"]] = np.cumsum(ahead * np.cos(heading) - aside * np.sin(heading))
    pose[:, P["yaw"]] = heading
    return forward_kinematics(pose + shake, Body.sample(rng)), [float(s) for s in starts[:-1]]
