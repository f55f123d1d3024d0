"""The figure: a pose is 25 numbers, a body is a set of limb lengths, and kinematics joins them.

Axes: x to the figure's left, y up, z forward; metres and radians. The neutral pose (all zeros)
stands upright with hanging arms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Joints of the figure, in the order of every ``[frames, joints, 3]`` array of this package.
JOINTS = (
    "pelvis", "spine", "neck", "head",
    "shoulder_l", "elbow_l", "wrist_l", "shoulder_r", "elbow_r", "wrist_r",
    "hip_l", "knee_l", "ankle_l", "toe_l", "hip_r", "knee_r", "ankle_r", "toe_r",
)  # fmt: skip
JOINT = {name: i for i, name in enumerate(JOINTS)}

#: Components of a pose, in the order of every ``[frames, POSE]`` array.
POSE = (
    "x", "z", "yaw", "lift",
    "lean", "bend", "side", "twist", "nod", "look",
    "flex_l", "abd_l", "elbow_l", "roll_l", "flex_r", "abd_r", "elbow_r", "roll_r",
    "hip_l", "out_l", "knee_l", "hip_r", "out_r", "knee_r",
    "anchor",
)  # fmt: skip
P = {name: i for i, name in enumerate(POSE)}


@dataclass(frozen=True)
class Body:
    """Limb lengths in metres and how thick they are drawn (1 = average)."""

    height: float = 1.75
    legs: float = 1.0
    arms: float = 1.0
    shoulders: float = 1.0
    girth: float = 1.0

    @staticmethod
    def sample(rng: np.random.Generator) -> Body:
        """Draw a random adult."""
        return Body(
            height=float(rng.uniform(1.5, 1.95)),
            legs=float(rng.uniform(0.93, 1.07)),
            arms=float(rng.uniform(0.93, 1.07)),
            shoulders=float(rng.uniform(0.88, 1.12)),
            girth=float(rng.uniform(0.8, 1.3)),
        )


def _rot(axis: int, angle: Array) -> Array:
    """Return rotation matrices [F, 3, 3] about x, y or z (axis 0, 1, 2)."""
    c, s = np.cos(angle), np.sin(angle)
    m = np.zeros((len(angle), 3, 3))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    m[:, axis, axis] = 1.0
    m[:, i, i], m[:, j, j], m[:, i, j], m[:, j, i] = c, c, -s, s
    return m


def _apply(m: Array, v: tuple[float, float, float]) -> Array:
    return np.asarray(m @ np.asarray(v))


def forward_kinematics(pose: Array, body: Body) -> Array:
    """Compute the joint positions of a pose sequence.

    Args:
        pose: [F, len(POSE)]; angles in radians, x, z and lift in metres.
        body: limb lengths.

    Returns:
        [F, len(JOINTS), 3] metres. The lowest foot point is at y = lift; with anchor = 1 the
        standing foot stays where it is while the hips move (sitting down, kicking).
    """
    h = body.height
    thigh, shank, foot = 0.245 * h * body.legs, 0.246 * h * body.legs, 0.14 * h
    trunk, neck_len = 0.29 * h, 0.16 * h
    upper, fore = 0.172 * h * body.arms, 0.2 * h * body.arms
    half_shoulder, half_hip = 0.115 * h * body.shoulders, 0.06 * h
    p = {name: pose[:, i] for name, i in P.items()}
    out = np.zeros((len(pose), len(JOINTS), 3))

    yaw = _rot(1, p["yaw"])
    half = yaw @ _rot(1, p["twist"] / 2) @ _rot(2, p["side"] / 2) @ _rot(0, p["lean"] + p["bend"] / 2)
    chest = yaw @ _rot(1, p["twist"]) @ _rot(2, p["side"]) @ _rot(0, p["lean"] + p["bend"])
    skull = chest @ _rot(1, p["look"]) @ _rot(0, p["nod"])
    spine = _apply(half, (0, trunk / 2, 0))
    neck = spine + _apply(chest, (0, trunk / 2, 0))
    out[:, JOINT["spine"]], out[:, JOINT["neck"]] = spine, neck
    out[:, JOINT["head"]] = neck + _apply(skull, (0, neck_len, 0.02 * h))

    for side, sign in (("l", 1.0), ("r", -1.0)):
        shoulder = neck + _apply(chest, (sign * half_shoulder, -0.02 * h, 0))
        arm = chest @ _rot(2, sign * p[f"abd_{side}"]) @ _rot(0, -p[f"flex_{side}"])
        elbow = shoulder + _apply(arm, (0, -upper, 0))
        hand = arm @ _rot(1, sign * p[f"roll_{side}"]) @ _rot(0, -p[f"elbow_{side}"])
        out[:, JOINT[f"shoulder_{side}"]], out[:, JOINT[f"elbow_{side}"]] = shoulder, elbow
        out[:, JOINT[f"wrist_{side}"]] = elbow + _apply(hand, (0, -fore, 0))

        hip = _apply(yaw, (sign * half_hip, 0, 0))
        leg = yaw @ _rot(2, sign * p[f"out_{side}"]) @ _rot(0, -p[f"hip_{side}"])
        lower = leg @ _rot(0, p[f"knee_{side}"])
        knee = hip + _apply(leg, (0, -thigh, 0))
        ankle = knee + _apply(lower, (0, -shank, 0))
        ahead = 0.4 * _apply(lower, (0, -0.25, 1)) + 0.6 * _apply(yaw, (sign * 0.2, 0, 1))
        out[:, JOINT[f"hip_{side}"]], out[:, JOINT[f"knee_{side}"]] = hip, knee
        out[:, JOINT[f"ankle_{side}"]] = ankle
        out[:, JOINT[f"toe_{side}"]] = ankle + foot * ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)

    return _place(out, p, heel=0.04 * h)


def _place(joints: Array, p: dict[str, Array], heel: float) -> Array:
    """Put the feet on the ground and the figure on its path."""
    ankles = joints[:, [JOINT["ankle_l"], JOINT["ankle_r"]]]
    toes = joints[:, [JOINT["toe_l"], JOINT["toe_r"]]]
    lowest = np.minimum(ankles[..., 1] - heel, toes[..., 1])
    ground = lowest.min(axis=1)
    # The foot that carries the weight is the lower one; a soft choice keeps the motion smooth.
    weight = np.exp(-(lowest - ground[:, None]) / 0.03)
    weight /= weight.sum(axis=1, keepdims=True)
    standing = (weight[..., None] * ankles).sum(axis=1) * p["anchor"][:, None]
    shift = np.stack([p["x"] - standing[:, 0], p["lift"] - ground, p["z"] - standing[:, 2]], axis=1)
    return np.asarray(joints + shift[:, None, :])
