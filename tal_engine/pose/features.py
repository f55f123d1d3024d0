"""Features of what a person does in a snippet: from joints, whatever they came from, to one vector of fixed width.

The person is put into a frame of its own: centred between the hips, measured in torso lengths, turned so that the left
side points to +x. Moving, scaling or turning the skeleton about the vertical therefore changes nothing, and seen in a
mirror it gives the same values with sides swapped (`MIRRORED`). A snippet is described by

* ``position``: each joint but the pelvis less its place in `REST`, mean of each third of the snippet (3 x 14 x 3);
* ``spread``: their standard deviations in the snippet (14 x 3);
* ``speed``: how fast each moves, in torso lengths a second, times `SPEED` (14);
* ``angle``: the angles of `ANGLES` over pi, mean of each third (3 x 10), and ``rate``: how fast they change (10);
* ``root``: how far the pelvis is below its mean, by third, and how fast it moves horizontally, times `SPEED` (4);
* ``presence``: the mean visibility of each joint, and the share of slots in which the person was seen (16).

Speeds are taken over `LAG_S`, not from slot to slot, so that frame rates from 5 to 60 give nearly the same. Missing
joints follow rules: one that is seen in other slots of the snippet is interpolated between them; one that is never seen
rests where it is in `REST`, and its presence is 0; a pelvis that is never seen lies a torso length below the neck. A
snippet that shows neither pelvis nor neck, or has no extent, is all zeros but for presence. Nothing is ever NaN.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..options import SnippetOptions
from .skeleton import JOINTS, MIRROR, J

Floats = NDArray[np.float32]

#: Name of the stream of features.
STREAM = "pose"
#: Name of these rules; another one whenever a value changes.
VERSION = "pose features 1"
#: Snippets of 0.48 s without overlap: half of the frames of a video of 25 frames a second.
POSE_SNIPPETS = SnippetOptions(fps=12.5, window=6, stride=6, resize=0, crop=0, flow="none")

#: Least visibility of a joint that counts as seen, and least number of such joints of a person.
SEEN, LEAST_JOINTS = 0.3, 5
#: Seconds over which speeds are taken; factor that brings them to the size of the other values.
LAG_S, SPEED = 0.16, 0.25
#: Where values are cut off, in torso lengths, and torso lengths a second.
FAR, FAST = 4.0, 20.0
_PARTS = 3
_MOVING = np.arange(1, len(JOINTS))

#: A person who stands, in torso lengths: x to the left side, y down, z to the back.
REST = np.array(
    [
        [0, 0, 0], [0, -1, 0], [0, -1.35, -0.05],
        [0.38, -0.95, 0], [0.45, -0.38, 0], [0.47, 0.12, -0.08],
        [-0.38, -0.95, 0], [-0.45, -0.38, 0], [-0.47, 0.12, -0.08],
        [0.2, 0.05, 0], [0.21, 0.87, -0.02], [0.22, 1.66, 0.05],
        [-0.2, 0.05, 0], [-0.21, 0.87, -0.02], [-0.22, 1.66, 0.05],
    ],
    np.float32,
)  # fmt: skip

#: Bones whose lengths measure a person.
_MEASURED = (
    ("pelvis", "neck"), ("shoulder_l", "elbow_l"), ("elbow_l", "wrist_l"), ("shoulder_r", "elbow_r"),
    ("elbow_r", "wrist_r"), ("hip_l", "knee_l"), ("knee_l", "ankle_l"), ("hip_r", "knee_r"), ("knee_r", "ankle_r"),
)  # fmt: skip
_ENDS = np.array([[J[a], J[b]] for a, b in _MEASURED])
_NOMINAL = np.linalg.norm(REST[_ENDS[:, 0]] - REST[_ENDS[:, 1]], axis=1).astype(np.float32)

#: Angles at the middle joint of three. Two more follow them: of the trunk and the vertical, and, signed, by how much
#: the shoulders are twisted against the hips.
ANGLES = (
    ("shoulder_l", "elbow_l", "wrist_l"), ("shoulder_r", "elbow_r", "wrist_r"),
    ("elbow_l", "shoulder_l", "hip_l"), ("elbow_r", "shoulder_r", "hip_r"),
    ("shoulder_l", "hip_l", "knee_l"), ("shoulder_r", "hip_r", "knee_r"),
    ("hip_l", "knee_l", "ankle_l"), ("hip_r", "knee_r", "ankle_r"),
)  # fmt: skip
_CORNERS = np.array([[J[n] for n in corner] for corner in ANGLES])
_ANGLES = len(ANGLES) + 2
_MIRROR_ANGLES = (1, 0, 3, 2, 5, 4, 7, 6, 8, 9)

#: Groups of values and how many each has, in order.
GROUPS = {
    "position": _PARTS * len(_MOVING) * 3, "spread": len(_MOVING) * 3, "speed": len(_MOVING),
    "angle": _PARTS * _ANGLES, "rate": _ANGLES, "root": _PARTS + 1, "presence": len(JOINTS) + 1,
}  # fmt: skip
#: Width of the features.
DIM = sum(GROUPS.values())


def pose_record() -> dict[str, Any]:
    """Record of these features, as encoders have one: what a head that was trained on them asks for."""
    digest = hashlib.sha256(f"{VERSION}: {REST.tolist()}".encode()).hexdigest()
    return {"name": "pose", "weights_sha256": digest, "dim": DIM, "features": VERSION}


def snippet_features(joints: NDArray[np.floating], visibility: NDArray[np.floating], fps: float) -> Floats:
    """Compute the features of snippets of one person.

    Args:
        joints: [N, W, 15, 3], the slots of each snippet, in the order and axes of `skeleton`.
        visibility: [N, W, 15] in [0, 1]; positions of joints below `SEEN` are not read.
        fps: slots a second.

    Returns:
        [N, DIM], finite.

    Raises:
        FeatureError: the arrays have other shapes, or joints that were seen are not finite.

    >>> import numpy as np
    >>> snippet_features(np.zeros((2, 6, 15, 3)), np.zeros((2, 6, 15)), 12.5).shape
    (2, 242)
    """
    shape = (*joints.shape[:2], len(JOINTS))
    if joints.ndim != 4 or joints.shape != (*shape, 3) or visibility.shape != shape or joints.shape[1] < 1:
        raise FeatureError(
            f"joints and visibility have shapes {list(joints.shape)} and {list(visibility.shape)}, must be "
            f"[N, W, {len(JOINTS)}, 3] and [N, W, {len(JOINTS)}]"
        )
    visibility = np.nan_to_num(np.asarray(visibility, np.float32)).clip(0, 1)
    seen = np.asarray(visibility >= SEEN)
    person = seen.sum(axis=2) >= LEAST_JOINTS
    seen = seen & person[..., None]
    clean = np.where(seen[..., None], joints, 0).astype(np.float64)
    if not np.isfinite(clean).all():
        raise FeatureError("a joint that was seen is NaN or infinite")
    known = seen.any(axis=1)
    own, root, usable = _own_frame(_interpolated(clean, seen), known)
    described = np.concatenate([*_places(own, fps), *_angles(own, fps), *_root(root, fps)], axis=1)
    shares = np.concatenate([visibility.mean(axis=1), person.mean(axis=1, dtype=np.float32)[:, None]], axis=1)
    return np.concatenate([np.where(usable[:, None], described, 0), shares], axis=1).astype(np.float32)


def _interpolated(joints: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill slots in which a joint was not seen from those around them: between two, on a line; else as the nearest."""
    slots = joints.shape[1]
    at = np.arange(slots)[None, :, None]
    before = np.maximum.accumulate(np.where(seen, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(seen, at, slots)[:, ::-1], axis=1)[:, ::-1]
    before, after = np.where(before < 0, after, before), np.where(after >= slots, before, after)
    # Where a joint was never seen both are out of range; what stands there is not read.
    before, after = before.clip(0, slots - 1), after.clip(0, slots - 1)
    share = (at - before) / np.maximum(after - before, 1)
    first, last = (np.take_along_axis(joints, i[..., None], axis=1) for i in (before, after))
    return np.asarray(first + (last - first) * share.clip(0, 1)[..., None])


def _own_frame(
    joints: NDArray[np.float64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Centre, scale and turn.

    Returns:
        Joints [N, W, 15, 3] in torso lengths, the way of the pelvis [N, W, 3] in the same, and which snippets [N] can
        be used.
    """
    whole = known[:, _ENDS].all(axis=2)
    lengths = np.linalg.norm(joints[:, :, _ENDS[:, 0]] - joints[:, :, _ENDS[:, 1]], axis=3).mean(axis=1)
    scale = (lengths * whole).sum(axis=1) / np.maximum((_NOMINAL * whole).sum(axis=1), 1e-9)
    usable = known[:, [J["pelvis"], J["neck"]]].any(axis=1) & (scale > 1e-9)
    scale = np.where(usable, scale, 1.0)[:, None, None]
    has_pelvis = known[:, J["pelvis"], None, None]
    below = joints[:, :, J["neck"]] + scale * [0.0, 1.0, 0.0]
    pelvis = np.where(has_pelvis, joints[:, :, J["pelvis"]], below)
    centred = (joints - pelvis[:, :, None]) / scale[..., None]
    turn = _turn(centred, known)
    own = np.einsum("nwji,nki->nwjk", centred, turn)
    own = np.where(known[:, None, :, None], own, REST).clip(-FAR, FAR)
    own[:, :, J["pelvis"]] = 0
    root = np.where(has_pelvis, pelvis - pelvis[:, :1], 0) / scale
    return own, np.einsum("nwi,nki->nwk", root, turn).clip(-1e3, 1e3), usable


def _turn(centred: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the rotation [N, 3, 3] about the vertical that brings the left side to +x; none where nothing tells."""
    left = np.zeros((len(centred), 3))
    for part in ("hip", "shoulder"):
        a, b = J[f"{part}_l"], J[f"{part}_r"]
        both = (known[:, a] & known[:, b])[:, None]
        left += np.where(both, (centred[:, :, a] - centred[:, :, b]).mean(axis=1), 0)
    length = np.hypot(left[:, 0], left[:, 2])
    clear = length > 0.05
    c = np.where(clear, left[:, 0] / np.maximum(length, 1e-9), 1.0)
    s = np.where(clear, left[:, 2] / np.maximum(length, 1e-9), 0.0)
    turn = np.zeros((len(centred), 3, 3))
    turn[:, 0, 0], turn[:, 0, 2], turn[:, 2, 0], turn[:, 2, 2] = c, s, -s, c
    turn[:, 1, 1] = 1
    return turn


def _thirds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average [N, W, ...] over each third of the slots; a slot on a border counts by its share: [N, 3, ...]."""
    slots = values.shape[1]
    edges = np.arange(_PARTS + 1) * slots / _PARTS
    at = np.arange(slots)
    inside = np.minimum(at + 1, edges[1:, None]) - np.maximum(at, edges[:-1, None])
    weights = inside.clip(0) * _PARTS / slots
    return np.asarray(np.einsum("pw,nw...->np...", weights, values))


def _changes(values: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Return how much [N, W, ...] changes a second, over `LAG_S`: [N, W - lag, ...]; zeros of a single slot."""
    slots = values.shape[1]
    lag = min(max(round(LAG_S * fps), 1), slots - 1)
    if lag < 1:
        return np.zeros_like(values)
    return np.asarray((values[:, lag:] - values[:, :-lag]) * (fps / lag))


def _places(own: NDArray[np.float64], fps: float) -> list[NDArray[np.float64]]:
    moving = own[:, :, _MOVING]
    speed = np.linalg.norm(_changes(moving, fps), axis=3).clip(0, FAST).mean(axis=1)
    parts = _thirds(moving - REST[_MOVING])
    return [parts.reshape(len(own), -1), moving.std(axis=1).reshape(len(own), -1), SPEED * speed]


def _angles(own: NDArray[np.float64], fps: float) -> list[NDArray[np.float64]]:
    a, b, c = (own[:, :, _CORNERS[:, k]] for k in range(3))
    corners = _between(a - b, c - b)
    trunk = _between(own[:, :, J["neck"]], np.array([0.0, -1.0, 0.0]))
    hips, shoulders = (own[:, :, J[f"{p}_l"]] - own[:, :, J[f"{p}_r"]] for p in ("hip", "shoulder"))
    cross = hips[..., 0] * shoulders[..., 2] - hips[..., 2] * shoulders[..., 0]
    twist = np.arctan2(cross, hips[..., 0] * shoulders[..., 0] + hips[..., 2] * shoulders[..., 2])
    every = np.concatenate([corners, trunk[..., None], twist[..., None]], axis=2) / np.pi
    rates = np.abs(_changes(every, fps)).clip(0, FAST).mean(axis=1)
    return [_thirds(every).reshape(len(own), -1), SPEED * rates]


def _between(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return angles between vectors [..., 3], in radians; 0 where one has no length."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.arctan2(cross, (a * b).sum(axis=-1)))


def _root(root: NDArray[np.float64], fps: float) -> list[NDArray[np.float64]]:
    height = root[..., 1] - root[..., 1].mean(axis=1, keepdims=True)
    way = np.linalg.norm(_changes(root[..., [0, 2]], fps), axis=2).clip(0, FAST)
    return [_thirds(height).clip(-FAR, FAR), SPEED * way.mean(axis=1)[:, None]]


def _mirrored() -> tuple[NDArray[np.int64], Floats]:
    """Return where each value of a mirrored person is found, and its sign."""
    moving = np.array([MIRROR[j] - 1 for j in _MOVING])
    joint = (moving[:, None] * 3 + np.arange(3)).ravel()
    flip = np.tile([-1.0, 1.0, 1.0], len(_MOVING))
    angle, signs = np.array(_MIRROR_ANGLES), np.array([1.0] * (_ANGLES - 1) + [-1.0])

    def thrice(index: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([index + k * len(index) for k in range(_PARTS)])

    indices = [
        thrice(joint), joint, moving, thrice(angle), angle, np.arange(_PARTS + 1), np.array([*MIRROR, len(JOINTS)])
    ]  # fmt: skip
    sign = [np.tile(flip, _PARTS), np.ones(len(joint) + len(moving)), np.tile(signs, _PARTS)]
    begins = np.cumsum([0, *(len(i) for i in indices)])[:-1]
    index = np.concatenate([i + b for i, b in zip(indices, begins, strict=True)])
    ones = np.ones(DIM - sum(map(len, sign)))
    return index, np.concatenate([*sign, ones]).astype(np.float32)


#: ``features[:, index] * sign`` with these two are the features of the same person seen in a mirror.
MIRRORED = _mirrored()
