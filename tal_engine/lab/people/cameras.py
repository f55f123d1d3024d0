"""What a camera and a landmark model make of a body: other proportions, tilts, noise, gaps and swapped sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...pose.skeleton import BONES, MIRROR, J, Poses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """How far landmarks are off, in metres: from frame to frame, and slowly; depth more than the rest.

    depth: factor of both in z. shorter: least factor of all depths, which landmark models may see too small. Defaults
    reach what BlazePose does on rendered figures that turn and hide limbs (benchmarks/people_noise.py: fast .02 to .04,
    slow .04 to .09); half of the examples have less than a third of it.
    """

    fast: float = 0.035
    slow: float = 0.1
    depth: float = 2.0
    shorter: float = 0.8


#: What training draws up to.
NOISE = Noise()


def filmed(
    joints: NDArray[np.floating],
    visibility: NDArray[np.floating],
    fps: float,
    rng: np.random.Generator,
    noise: Noise = NOISE,
) -> Poses:
    """Film a person once: another body, a camera that tilts, and what landmarks suffer.

    Args:
        joints: [T, 15, 3] metres, canonical axes.
        visibility: [T, 15].
        fps: frames a second.
        rng: draws all of it.
        noise: its upper ends.

    Returns:
        Poses at 5 to 60 frames a second, which begin at 0 s and take as long as before.
    """
    x = _another_body(np.asarray(joints, np.float64), rng)
    x, seen, times = _resampled(x, visibility, fps, rng)
    x = _turned(x, rng)
    x = _root_kept(x, rng)
    x, seen = _landmarks(x, seen, times, rng, noise)
    poses = Poses(x.astype(np.float32), seen.astype(np.float32), times)
    return poses.mirrored() if rng.random() < 0.5 else poses


def _another_body(x: Floats, rng: np.random.Generator) -> Floats:
    """Change the lengths of bones, both sides alike, and where a layout puts pelvis, neck and head."""
    factor = {"arm": rng.lognormal(0, 0.07), "leg": rng.lognormal(0, 0.07), "hip": rng.lognormal(0, 0.2)}
    factor |= {"shoulder": rng.lognormal(0, 0.12), "trunk": rng.lognormal(0, 0.06)}
    kind = {"neck": "trunk", "head": "trunk", "elbow": "arm", "wrist": "arm", "knee": "leg", "ankle": "leg"}
    out = x.copy()
    for a, b in BONES:
        name = b.removesuffix("_l").removesuffix("_r")
        out[:, J[b]] = out[:, J[a]] + factor[kind.get(name, name)] * (x[:, J[b]] - x[:, J[a]])
    trunk = out[:, J["neck"]] - out[:, J["pelvis"]]
    out[:, J["pelvis"]] += rng.uniform(-0.05, 0.15) * trunk
    out[:, J["neck"]] += rng.uniform(-0.12, 0.06) * trunk
    out[:, J["head"]] += rng.uniform(-0.12, 0.12) * trunk
    return out


def _resampled(
    x: Floats, visibility: NDArray[np.floating], fps: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Play a little faster or slower is left to the motions; frame rates differ: [T', ...] and times."""
    rate = float(rng.choice([5.0, 8.0, 10.0, 12.5, 15.0, 20.0, 24.0, 25.0, 30.0, 50.0, 60.0]))
    times = np.arange(max(int(len(x) / fps * rate), 2)) / rate
    at = np.clip(times * fps, 0, len(x) - 1)
    first = np.minimum(at.astype(np.int64), len(x) - 2)
    share = (at - first)[:, None, None]
    nearest = np.clip(np.round(at).astype(np.int64), 0, len(x) - 1)
    return x[first] * (1 - share) + x[first + 1] * share, np.asarray(visibility, np.float64)[nearest], times


def _turned(x: Floats, rng: np.random.Generator) -> Floats:
    """Turn about the vertical by any angle, then tilt the camera: it looks down or up, and leans."""
    yaw, pitch, roll = rng.uniform(-np.pi, np.pi), rng.normal(0.05, 0.16), rng.normal(0, 0.05)
    c, s = np.cos(yaw), np.sin(yaw)
    around = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    nod = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(roll), np.sin(roll)
    lean = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.asarray(x @ (lean @ nod @ around).T)


def _root_kept(x: Floats, rng: np.random.Generator) -> Floats:
    """Keep the person's way, lose its depth, or lose all of it: landmark models place a person at the origin."""
    pelvis = x[:, [J["pelvis"]]]
    kept = ([0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0])[rng.choice(3, p=[0.25, 0.35, 0.4])]
    return np.asarray(x - pelvis * (1 - np.asarray(kept)))


def _landmarks(x: Floats, seen: Floats, times: Floats, rng: np.random.Generator, noise: Noise) -> tuple[Floats, Floats]:
    count, joints = x.shape[:2]
    amount = rng.random() ** 1.5
    scale = np.array([1.0, 1.0, rng.uniform(1.0, noise.depth)])
    pelvis = x[:, [J["pelvis"]]]
    x = pelvis + (x - pelvis) * [1.0, 1.0, rng.uniform(noise.shorter, 1.1)]
    slow = rng.normal(size=(max(int(times[-1] * 2), 1) + 2, joints, 3)) * noise.slow
    at = times * 2
    first = at.astype(np.int64)
    share = (at - first)[:, None, None]
    x = x + amount * scale * (slow[first] * (1 - share) + slow[first + 1] * share)
    x = x + amount * scale * rng.normal(size=x.shape) * noise.fast
    seen = np.minimum(seen, 1.0 - 0.3 * amount * rng.random((count, joints)))
    for _ in range(rng.poisson(0.6)):  # a limb is hidden, or the whole person, for a while
        begin, length = int(rng.integers(count)), int(rng.uniform(0.1, 3.0) * count / max(times[-1], 1))
        hidden = rng.choice(joints, size=joints if rng.random() < 0.15 else int(rng.integers(1, 5)), replace=False)
        seen[begin : begin + length, hidden] *= rng.uniform(0, 0.5)
    if rng.random() < 0.08:  # only the upper half is in the picture
        seen[:, [J[f"{n}_{s}"] for n in ("knee", "ankle") for s in "lr"]] = rng.uniform(0, 0.2)
    if rng.random() < 0.15:  # sides are taken for each other for some frames
        begin = int(rng.integers(count))
        swap = slice(begin, begin + int(rng.integers(1, 6)))
        x[swap], seen[swap] = x[swap][:, MIRROR], seen[swap][:, MIRROR]
    return x, np.clip(seen, 0, 1)
