"""What landmarks of pictures do to joints that are known exactly; a part of bench_people.

Streams of the figure are rendered as people see them, from all sides, and followed by the pose encoder. Joints of both
are put into the person's own frame (as features are: centred, scaled, turned), and compared there, in metres of a body
whose trunk is half a metre long. "slow" is what stays of the difference over half a second, "fast" what does not;
"depth_share" how long limbs are in depth beside what they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tal_engine.demo.render import render_joints
from tal_engine.demo.script import View
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.lab.people.streams import FPS, write_stream
from tal_engine.pose.features import POSE_SNIPPETS, SEEN
from tal_engine.pose.follow import FollowedPoses
from tal_engine.pose.skeleton import JOINTS, J, canonical

STREAMS, SECONDS = 4, 20.0
TRUNK_M = 0.5


def _in_camera(joints: np.ndarray, view: View) -> np.ndarray:
    """Turn canonical joints by the camera's azimuth."""
    c, s = np.cos(view.azimuth), np.sin(view.azimuth)
    return np.asarray(joints @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T)


def _centred(joints: np.ndarray) -> np.ndarray:
    middle = joints[:, [J["pelvis"]]]
    trunk = np.median(np.linalg.norm(joints[:, J["neck"]] - joints[:, J["pelvis"]], axis=1))
    return np.asarray((joints - middle) / max(float(trunk), 1e-6) * TRUNK_M)


def _turned_to(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Turn about the vertical by the angle that fits best over all frames."""
    x, z, u, w = found[..., 0], found[..., 2], true[..., 0], true[..., 2]
    angle = np.arctan2((x * w - z * u).sum(), (x * u + z * w).sum())
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(found @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]).T)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Average over half a second."""
    kernel = np.ones(6) / 6
    return np.apply_along_axis(lambda x: np.convolve(x, kernel, "same"), 0, values)


def _one(number: int) -> dict[str, np.ndarray]:
    stream = write_stream(f"noise{number}", [77, number])
    step = FPS / POSE_SNIPPETS.fps
    frames = np.round(np.arange(min(stream.duration, SECONDS) * POSE_SNIPPETS.fps) * step).astype(int)
    figure = stream.joints[frames[frames < len(stream.joints)]].copy()
    figure -= [*figure[:, 0].mean(axis=0)[[0]], 0.0, figure[:, 0, 2].mean()]
    view = View(0.0, 1.2, 5.0, 0.55, (0.0, 0.0), 0.0, number)
    height = float(figure[..., 1].max())
    images = render_joints(
        figure, view=view, person_m=height + 0.1, girth=1.0, props=(), seed=number, fps=POSE_SNIPPETS.fps
    )
    (encoder,) = open_encoders("pose").open(("pose",), "cpu")
    followed, pictures = FollowedPoses(POSE_SNIPPETS), list(images)
    size = POSE_SNIPPETS.window
    out = [
        followed(encoder.estimator, np.stack(pictures[k * size : (k + 1) * size]), k)
        for k in range(len(pictures) // size)
    ]
    found = np.concatenate(out)
    true, _ = canonical(figure[: len(found)], layout="figure18")
    return {"found": found[..., :3], "seen": found[..., 3], "true": _in_camera(true, view)}


def noise() -> dict[str, Any]:
    """All of it; see the module."""
    fast, slow, share, seen = [], [], [], []
    for number in range(STREAMS):
        of = _one(number)
        person = (of["seen"] >= SEEN).sum(axis=1) >= 5
        seen.append(person.mean())
        if person.sum() < 20:
            continue
        true = _centred(of["true"][person].astype(float))
        found = _turned_to(_centred(of["found"][person].astype(float)), true)
        off = (found - true)[:, 1:]
        off -= np.median(off, axis=0)
        smooth = _smoothed(off)
        slow.append(smooth.std(axis=(0, 1)))
        fast.append((off - smooth).std(axis=(0, 1)))
        share.append(np.abs(found[..., 2]).mean() / np.abs(true[..., 2]).mean())
    axes = ("x", "y", "z")
    return {
        "what": f"{STREAMS} rendered streams of {SECONDS:g} s at {POSE_SNIPPETS.fps:g} frames a second",
        "person_seen": round(float(np.mean(seen)), 3),
        "fast_m": {a: round(float(v), 4) for a, v in zip(axes, np.mean(fast, axis=0), strict=True)},
        "slow_m": {a: round(float(v), 4) for a, v in zip(axes, np.mean(slow, axis=0), strict=True)},
        "depth_share": round(float(np.mean(share)), 3), "joints": len(JOINTS),
    }  # fmt: skip


def measured(plan: Path) -> dict[str, Any]:
    """`noise`, which needs no plan."""
    return noise()
