"""The script of one video: who does what when, in which scene, seen by which camera.

A script is drawn from a seed alone. Its annotation is exact: an instance starts where the first
repetition starts and ends where the last one ends, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .exercises import ACTIONS
from .motions import IDLE, Motion, perform, tremor
from .skeleton import Array, Body, P, forward_kinematics

#: Objects that stand near a person who does an action, and also near people who do not.
PROP_OF = {
    "arm circle": "wall bars",
    "boxing": "punching bag",
    "jog": "treadmill",
    "jumping jack": "skipping rope",
    "kick": "football",
    "knee raise": "step",
    "side bend": "kettlebell",
    "sit down": "chair",
    "squat": "barbell",
    "toe touch": "yoga mat",
    "twist": "hoop",
    "wave": "window",
}
PROPS = tuple(sorted(PROP_OF.values()))

_BLEND_S = 0.5


@dataclass(frozen=True)
class Performance:
    """One motion from `start` to `end` seconds; `label` is None for what is not an exercise."""

    motion: Motion
    start: float
    end: float
    label: str | None
    seed: int


@dataclass(frozen=True)
class View:
    """A camera: where it stands around the figure, how it shakes, and how large the figure is."""

    azimuth: float
    height_m: float
    distance_m: float
    scale: float
    offset: tuple[float, float]
    shake_px: float
    seed: int

    @staticmethod
    def sample(rng: np.random.Generator) -> View:
        """Draw a random camera: mostly from the front half, sometimes from behind."""
        wide = rng.random() < 0.15
        return View(
            azimuth=float(rng.uniform(-np.pi, np.pi) if wide else rng.normal(0, 0.55)),
            height_m=float(rng.uniform(0.7, 2.1)),
            distance_m=float(rng.uniform(3.2, 6.5)),
            scale=float(rng.uniform(0.5, 0.72)),
            offset=(float(rng.normal(0, 0.05)), float(rng.uniform(-0.03, 0.05))),
            shake_px=float(rng.choice([0.0, 0.6, 1.5, 3.0])),
            seed=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Script:
    """Everything that one video is made of."""

    name: str
    duration: float
    fps: float
    body: Body
    view: View
    performances: tuple[Performance, ...]
    props: tuple[str, ...]
    scene_seed: int
    motion_seed: int

    def frames(self) -> int:
        """Return the number of frames."""
        return round(self.duration * self.fps)

    def instances(self) -> list[tuple[float, float, str]]:
        """Return the truth: (start, end, label) of every exercise, in seconds."""
        return [(p.start, p.end, p.label) for p in self.performances if p.label is not None]

    def joints(self) -> Array:
        """Compute joint positions [frames, joints, 3] in metres."""
        n = self.frames()
        t: Array = (np.arange(n, dtype=np.float64) + 0.5) / self.fps
        rng = np.random.default_rng(self.motion_seed)
        total, weight = tremor(n, self.fps, rng), np.zeros((n, 1))
        mixed = np.zeros_like(total)
        for p in self.performances:
            near = (t > p.start - _BLEND_S) & (t < p.end + _BLEND_S)
            w = _fade(t[near], p.start, p.end)[:, None]
            own = np.random.default_rng(p.seed)
            mixed[near] += w * perform(p.motion, t[near] - p.start, p.end - p.start, own)
            weight[near] += w
        mixed /= np.maximum(weight, 1e-9)
        total[:, P["yaw"]] *= 2.0
        return forward_kinematics(total + mixed, self.body)


def _fade(t: Array, start: float, end: float) -> Array:
    """Fade in and out: 1 inside a performance, falling smoothly to 0 half a blend outside of it."""
    half = _BLEND_S / 2
    rise = np.clip((t - (start - half)) / _BLEND_S, 0, 1)
    fall = np.clip(((end + half) - t) / _BLEND_S, 0, 1)
    w = np.minimum(rise, fall)
    return np.asarray(w * w * (3 - 2 * w) + 1e-9)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _idle(rng: np.random.Generator, start: float, end: float) -> list[Performance]:
    """Fill a pause with standing, fidgeting and walking."""
    out: list[Performance] = []
    names = list(IDLE)
    while start < end - 1e-9:
        stop = start + rng.uniform(1.6, 4.0)
        if end - stop < 1.2:
            stop = end
        name = str(rng.choice(names, p=[0.35, 0.4, 0.25]))
        out.append(Performance(IDLE[name], start, stop, None, _seed(rng)))
        start = stop
    return out


def write_script(
    name: str,
    seed: int | list[int],
    *,
    duration: tuple[float, float] = (40.0, 120.0),
    instances: tuple[int, int] = (3, 12),
    fps: float = 25.0,
) -> Script:
    """Write an untrimmed video: exercises with pauses between them.

    Most videos show one kind of exercise, as in THUMOS14, some two or three. The prop that goes
    with an exercise is often in view, before and after it too, and now and then in videos without
    it: a scene is a hint, never a proof.
    """
    rng = np.random.default_rng(seed)
    total = round(float(rng.uniform(*duration)) * fps) / fps
    kinds = list(rng.choice(list(ACTIONS), size=int(rng.choice([1, 2, 3], p=[0.7, 0.25, 0.05])), replace=False))
    # At least 3.5 s an exercise and 2 s a pause must fit.
    most = max(1, min(instances[1], int((total - 2) // 9)))
    count = int(rng.integers(min(instances[0], most), most + 1))
    count = max(count, len(kinds)) if most >= len(kinds) else count
    labels = [str(k) for k in (kinds + list(rng.choice(kinds, size=count)))[:count]]
    rng.shuffle(labels)

    lengths = rng.uniform(3.0, 9.0, count)
    pauses = rng.uniform(1.6, 8.0, count + 1)
    room = total - pauses.sum()
    if room < lengths.sum():
        pauses *= 0.4 * total / pauses.sum()
        lengths *= 0.6 * total / lengths.sum()
    pauses *= (total - lengths.sum()) / pauses.sum()

    played: list[Performance] = []
    now = 0.0
    for pause, length, label in zip(pauses, lengths, labels, strict=False):
        start, end = round(float(now + pause), 2), round(float(now + pause + length), 2)
        played += _idle(rng, now, start)
        played.append(Performance(ACTIONS[label], start, end, label, _seed(rng)))
        now = end
    played += _idle(rng, now, total)
    return Script(
        name=name,
        duration=total,
        fps=fps,
        body=Body.sample(rng),
        view=View.sample(rng),
        performances=tuple(played),
        props=_props(rng, sorted(set(labels))),
        scene_seed=_seed(rng),
        motion_seed=_seed(rng),
    )


def _props(rng: np.random.Generator, labels: list[str]) -> tuple[str, ...]:
    near = [PROP_OF[label] for label in labels if rng.random() < 0.7]
    strangers = [p for p in PROPS if p not in near and rng.random() < 0.08]
    return tuple((near + strangers)[:3])


def trimmed_script(name: str, motion: Motion, seed: int | list[int], duration: float, fps: float = 25.0) -> Script:
    """Write a clip that shows one motion from its first to its last frame."""
    rng = np.random.default_rng(seed)
    props = tuple(str(p) for p in rng.choice(PROPS, size=int(rng.integers(0, 3)), replace=False))
    start = -float(rng.uniform(0.3, 2.0))
    performance = Performance(motion, start, start + duration + 3.0, motion.name, _seed(rng))
    return Script(
        name, duration, fps, Body.sample(rng), View.sample(rng), (performance,), props, _seed(rng), _seed(rng)
    )
