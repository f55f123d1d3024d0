"""Pose features one snippet, one joint and one number at a time, in the words of `tal_engine.pose.features`."""

from __future__ import annotations

import math

import numpy as np

from tal_engine.pose.features import ANGLES, FAR, FAST, LAG_S, LEAST_JOINTS, REST, SEEN, SPEED
from tal_engine.pose.skeleton import JOINTS, J

BONES = [("pelvis", "neck"), *((a + s, b + s) for s in ("_l", "_r") for a, b in (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")))]  # fmt: skip


def filled(track, seen):
    """The track [W, 3] of one joint with slots that were not seen taken from those around them."""
    known = [t for t in range(len(track)) if seen[t]]
    out = np.zeros_like(track)
    for t in range(len(track)):
        before, after = [k for k in known if k <= t], [k for k in known if k >= t]
        if before and after and before[-1] != after[0]:
            share = (t - before[-1]) / (after[0] - before[-1])
            out[t] = track[before[-1]] + share * (track[after[0]] - track[before[-1]])
        elif before or after:
            out[t] = track[before[-1] if before else after[0]]
    return out


def thirds(values):
    """The mean of each third of a list of numbers; one on a border counts by its share."""
    size = len(values) / 3
    means = []
    for part in range(3):
        total = 0.0
        for i, v in enumerate(values):
            total += max(0.0, min(i + 1, (part + 1) * size) - max(i, part * size)) * v
        means.append(total / size)
    return means


def rate(values, fps):
    """The mean size of the change a second of numbers or vectors."""
    lag = min(max(round(LAG_S * fps), 1), len(values) - 1)
    if lag < 1:
        return 0.0
    steps = [np.linalg.norm(np.subtract(values[t + lag], values[t])) * fps / lag for t in range(len(values) - lag)]
    return sum(min(s, FAST) for s in steps) / len(steps)


def angle(a, b):
    return math.atan2(np.linalg.norm(np.cross(a, b)), np.dot(a, b))


def snippet(joints, visibility, fps):
    """The features of one snippet: joints [W, 15, 3], visibility [W, 15]."""
    slots = len(joints)
    person = [sum(v >= SEEN for v in visibility[t]) >= LEAST_JOINTS for t in range(slots)]
    seen = [[person[t] and visibility[t][j] >= SEEN for j in range(15)] for t in range(slots)]
    known = [any(seen[t][j] for t in range(slots)) for j in range(15)]
    x = np.stack([filled(joints[:, j], [s[j] for s in seen]) for j in range(15)], axis=1)
    presence = [*np.mean(visibility, axis=0), sum(person) / slots]

    length = nominal = 0.0
    for a, b in BONES:
        if known[J[a]] and known[J[b]]:
            length += np.mean([np.linalg.norm(x[t, J[a]] - x[t, J[b]]) for t in range(slots)])
            nominal += np.linalg.norm(REST[J[a]] - REST[J[b]])
    scale = length / nominal if nominal else 0.0
    if scale <= 1e-9 or not (known[J["pelvis"]] or known[J["neck"]]):
        return np.array([0.0] * 226 + presence)

    pelvis = x[:, J["pelvis"]] if known[J["pelvis"]] else x[:, J["neck"]] + [0, scale, 0]
    centred = (x - pelvis[:, None]) / scale
    left = np.zeros(3)
    for part in ("hip", "shoulder"):
        if known[J[part + "_l"]] and known[J[part + "_r"]]:
            left += np.mean(centred[:, J[part + "_l"]] - centred[:, J[part + "_r"]], axis=0)
    yaw = math.atan2(left[2], left[0]) if math.hypot(left[0], left[2]) > 0.05 else 0.0
    turn = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    own = np.zeros_like(centred)
    for t in range(slots):
        for j in range(1, 15):
            own[t, j] = np.clip(turn @ centred[t, j] if known[j] else REST[j], -FAR, FAR)

    moving = range(1, 15)
    position = np.array([[thirds(own[:, j, k] - REST[j, k]) for k in range(3)] for j in moving])
    spread = [np.std(own[:, j, k]) for j in moving for k in range(3)]
    speed = [SPEED * rate(own[:, j], fps) for j in moving]
    angles = []
    for a, b, c in ANGLES:
        angles.append([angle(own[t, J[a]] - own[t, J[b]], own[t, J[c]] - own[t, J[b]]) for t in range(slots)])
    angles.append([angle(own[t, J["neck"]], [0, -1, 0]) for t in range(slots)])
    angles.append([twist(own[t]) for t in range(slots)])
    angles = np.array(angles) / math.pi
    root = (pelvis - pelvis[0]) / scale * known[J["pelvis"]]
    heights = root[:, 1] - root[:, 1].mean()
    return np.array([
        *position.transpose(2, 0, 1).ravel(), *spread, *speed,
        *np.array([thirds(a) for a in angles]).T.ravel(), *(SPEED * rate(a[:, None], fps) for a in angles),
        *np.clip(thirds(heights), -FAR, FAR), SPEED * rate(root[:, [0, 2]], fps), *presence,
    ])  # fmt: skip


def twist(own):
    """By how much the shoulders are turned against the hips about the vertical, signed."""
    h, s = (own[J[p + "_l"]] - own[J[p + "_r"]] for p in ("hip", "shoulder"))
    return math.atan2(h[0] * s[2] - h[2] * s[0], h[0] * s[0] + h[2] * s[2])


assert len(JOINTS) == 15
