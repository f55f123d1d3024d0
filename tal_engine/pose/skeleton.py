"""The canonical skeleton: fifteen joints that every common layout gives, and the record of one person's joints.

Axes are a camera's: x to the right of the picture, y down, z away from the camera; right-handed. A person who faces the
camera has the left side at larger x. Sides are the person's own. Lengths are metres where the source knows them, else
any unit: features are scale-free. The origin is anywhere (BlazePose's world landmarks: between the hips).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError, UsageError

#: Joints in the order of every ``[T, J, 3]`` array of this package. Pelvis and neck are derived where a layout has
#: none: the middle of the hips, and of the shoulders. The head is its middle (between the ears) or what is near it.
JOINTS = (
    "pelvis", "neck", "head",
    "shoulder_l", "elbow_l", "wrist_l", "shoulder_r", "elbow_r", "wrist_r",
    "hip_l", "knee_l", "ankle_l", "hip_r", "knee_r", "ankle_r",
)  # fmt: skip
J = {name: i for i, name in enumerate(JOINTS)}

#: Pairs of joints that a bone joins, for pictures.
BONES = (
    ("pelvis", "neck"), ("neck", "head"),
    ("neck", "shoulder_l"), ("shoulder_l", "elbow_l"), ("elbow_l", "wrist_l"),
    ("neck", "shoulder_r"), ("shoulder_r", "elbow_r"), ("elbow_r", "wrist_r"),
    ("pelvis", "hip_l"), ("hip_l", "knee_l"), ("knee_l", "ankle_l"),
    ("pelvis", "hip_r"), ("hip_r", "knee_r"), ("knee_r", "ankle_r"),
)  # fmt: skip

#: ``joints[:, MIRROR]`` swaps the sides; with x negated too, the person is seen in a mirror.
MIRROR = tuple(J[n[:-2] + {"_l": "_r", "_r": "_l"}[n[-2:]]] if n[-2:] in ("_l", "_r") else J[n] for n in JOINTS)


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """The joints of one person over time.

    joints: [T, 15, 3] float32, finite, in the order and axes of this module; the position of a joint that was not seen
    means nothing. visibility: [T, 15] float32 in [0, 1]; 0 where a joint was not seen. times: [T] float64 seconds,
    strictly increasing, not necessarily at equal distances: a gap is a time without the person. subject: which person
    of the source this is, from 0.

    >>> import numpy as np
    >>> poses = Poses(np.zeros((2, 15, 3), np.float32), np.ones((2, 15), np.float32), np.array([0.0, 0.04]))
    >>> len(poses), poses.subject
    (2, 0)
    """

    joints: NDArray[np.float32]
    visibility: NDArray[np.float32]
    times: NDArray[np.float64]
    subject: int = 0

    def __post_init__(self) -> None:
        count = len(self.times) if self.times.ndim == 1 else -1
        shapes = [list(a.shape) for a in (self.joints, self.visibility, self.times)]
        if self.joints.shape != (count, len(JOINTS), 3) or self.visibility.shape != (count, len(JOINTS)):
            raise FeatureError(
                f"joints, visibility and times have shapes {shapes}, must be [T, {len(JOINTS)}, 3], "
                f"[T, {len(JOINTS)}] and [T]"
            )
        if not np.isfinite(self.joints).all():
            frame = int(np.argmax(~np.isfinite(self.joints).all(axis=(1, 2))))
            raise FeatureError(f"a joint of pose {frame} is NaN or infinite")
        if not ((self.visibility >= 0) & (self.visibility <= 1)).all():
            raise FeatureError("a visibility is outside of [0, 1]")
        if not np.isfinite(self.times).all() or not (np.diff(self.times) > 0).all():
            raise FeatureError("times of poses must be finite and increase")

    def __len__(self) -> int:
        return len(self.times)

    def mirrored(self) -> Poses:
        """Return the same person seen in a mirror: left and right change places."""
        joints = self.joints[:, MIRROR] * np.array([-1, 1, 1], np.float32)
        return Poses(joints, self.visibility[:, MIRROR], self.times, self.subject)


#: Where a joint is found: each alternative is a set of points whose mean it is; the first whose points were all seen.
_Alternatives = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Layout:
    """A way in which others number the points of a body.

    names: of their points, in order. where: by canonical joint. axes: which of their axes point right, down and away
    from the camera, such as ``+x-y-z`` where y points up and z at the viewer. flat: points are of a picture, without
    depth.
    """

    names: tuple[str, ...]
    where: dict[str, _Alternatives]
    axes: str = "+x+y+z"
    flat: bool = False


def _same(*pairs: tuple[str, str]) -> dict[str, _Alternatives]:
    return {ours: ((theirs,),) for ours, theirs in pairs}


def _sided(left: str, right: str, **parts: str) -> dict[str, _Alternatives]:
    """Name both sides of limbs: ``left`` and ``right`` are patterns of their names, such as ``{}_l`` or ``l{}``."""
    sides = (("l", left), ("r", right))
    return {f"{ours}_{s}": ((pattern.format(theirs),),) for ours, theirs in parts.items() for s, pattern in sides}


_LIMBS = {n: n for n in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")}
_OURS = _sided("{}_l", "{}_r", **_LIMBS)
_MIDDLES: dict[str, _Alternatives] = {
    "pelvis": (("hip_l", "hip_r"),),
    "neck": (("shoulder_l", "shoulder_r"),),
    "head": (("ear_l", "ear_r"), ("nose",)),
}
_KINECT_WHERE = _OURS | _same(("pelvis", "pelvis"), ("neck", "neck"), ("head", "head"))
#: Ends of the bones of CMU's ASF files. Feet and hands have none of the canonical joints.
_CMU = (
    "head", "lclavicle", "lfemur", "lfingers", "lfoot", "lhand", "lhipjoint", "lhumerus", "lowerback", "lowerneck",
    "lradius", "lthumb", "ltibia", "ltoes", "lwrist", "rclavicle", "rfemur", "rfingers", "rfoot", "rhand", "rhipjoint",
    "rhumerus", "root", "rradius", "rthumb", "rtibia", "rtoes", "rwrist", "thorax", "upperback", "upperneck",
)  # fmt: skip
_CMU_LIMBS = {
    "shoulder": "clavicle", "elbow": "humerus", "wrist": "radius", "hip": "hipjoint", "knee": "femur", "ankle": "tibia"
}  # fmt: skip

#: Layouts by name. Sources: BlazePose GHUM 3D (MediaPipe Pose) topology; COCO keypoints; OpenPose BODY_25; Human3.6M's
#: 17 joints in the order of VideoPose3D; Kinect SDK 1 (NUI) joints; UTD-MHAD's order of the same; CMU's ASF bones.
LAYOUTS: dict[str, Layout] = {
    "canonical": Layout(JOINTS, _same(*((n, n) for n in JOINTS))),
    "mediapipe": Layout(
        (
            "nose", "eye_inner_l", "eye_l", "eye_outer_l", "eye_inner_r", "eye_r", "eye_outer_r", "ear_l", "ear_r",
            "mouth_l", "mouth_r", "shoulder_l", "shoulder_r", "elbow_l", "elbow_r", "wrist_l", "wrist_r",
            "pinky_l", "pinky_r", "index_l", "index_r", "thumb_l", "thumb_r",
            "hip_l", "hip_r", "knee_l", "knee_r", "ankle_l", "ankle_r", "heel_l", "heel_r", "foot_l", "foot_r",
        ),
        _OURS | _MIDDLES,
    ),
    "coco17": Layout(
        (
            "nose", "eye_l", "eye_r", "ear_l", "ear_r", "shoulder_l", "shoulder_r", "elbow_l", "elbow_r",
            "wrist_l", "wrist_r", "hip_l", "hip_r", "knee_l", "knee_r", "ankle_l", "ankle_r",
        ),
        _OURS | _MIDDLES,
        flat=True,
    ),
    "openpose25": Layout(
        (
            "nose", "neck", "shoulder_r", "elbow_r", "wrist_r", "shoulder_l", "elbow_l", "wrist_l", "pelvis",
            "hip_r", "knee_r", "ankle_r", "hip_l", "knee_l", "ankle_l", "eye_r", "eye_l", "ear_r", "ear_l",
            "big_toe_l", "small_toe_l", "heel_l", "big_toe_r", "small_toe_r", "heel_r",
        ),
        _OURS
        | _MIDDLES
        | {"pelvis": (("pelvis",), ("hip_l", "hip_r")), "neck": (("neck",), ("shoulder_l", "shoulder_r"))},
        flat=True,
    ),
    "h36m17": Layout(
        (
            "pelvis", "hip_r", "knee_r", "ankle_r", "hip_l", "knee_l", "ankle_l", "spine", "neck", "nose", "head_top",
            "shoulder_l", "elbow_l", "wrist_l", "shoulder_r", "elbow_r", "wrist_r",
        ),
        _OURS | _same(("pelvis", "pelvis"), ("neck", "neck")) | {"head": (("nose", "head_top"),)},
    ),
    "kinect20": Layout(
        (
            "pelvis", "spine", "neck", "head", "shoulder_l", "elbow_l", "wrist_l", "hand_l",
            "shoulder_r", "elbow_r", "wrist_r", "hand_r", "hip_l", "knee_l", "ankle_l", "foot_l",
            "hip_r", "knee_r", "ankle_r", "foot_r",
        ),
        _KINECT_WHERE,
        axes="-x-y+z",
    ),
    "utd_mhad20": Layout(
        (
            "head", "neck", "spine", "pelvis", "shoulder_l", "elbow_l", "wrist_l", "hand_l",
            "shoulder_r", "elbow_r", "wrist_r", "hand_r", "hip_l", "knee_l", "ankle_l", "foot_l",
            "hip_r", "knee_r", "ankle_r", "foot_r",
        ),
        _KINECT_WHERE,
        axes="-x-y+z",
    ),
    "cmu31": Layout(
        _CMU,
        _sided("l{}", "r{}", **_CMU_LIMBS) | _same(("pelvis", "root"), ("neck", "lowerneck"), ("head", "head")),
        axes="+x-y-z",
    ),
    "figure18": Layout(
        (
            "pelvis", "spine", "neck", "head", "shoulder_l", "elbow_l", "wrist_l", "shoulder_r", "elbow_r", "wrist_r",
            "hip_l", "knee_l", "ankle_l", "toe_l", "hip_r", "knee_r", "ankle_r", "toe_r",
        ),
        _KINECT_WHERE,
        axes="+x-y-z",
    ),
}  # fmt: skip


def layout_of(name: str) -> Layout:
    """Look a layout up.

    Args:
        name: such as "coco17".

    Raises:
        UsageError: there is none of that name.
    """
    if name not in LAYOUTS:
        raise UsageError(f"layout is {name!r}, must be one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def turned(points: NDArray[np.floating], axes: str) -> NDArray[np.float32]:
    """Turn points to this module's axes.

    Args:
        points: [..., 3].
        axes: which of their axes point right, down and away from the camera, such as ``-x-y+z``.

    Returns:
        [..., 3] float32.

    Raises:
        UsageError: `axes` is malformed, or would turn a person into the mirror image.

    >>> import numpy as np
    >>> turned(np.array([[1.0, 2.0, 3.0]]), "+x-y-z").tolist()
    [[1.0, -2.0, -3.0]]
    """
    names, signs = axes[1::2], axes[0::2]
    ok = len(axes) == 6 and sorted(names) == ["x", "y", "z"] and set(signs) <= {"+", "-"}
    turn = np.zeros((3, 3), np.float32)
    for row, (name, sign) in enumerate(zip(names, signs, strict=False)) if ok else ():
        turn["xyz".index(name), row] = 1.0 if sign == "+" else -1.0
    if not ok or np.linalg.det(turn) < 0:
        raise UsageError(f"axes are {axes!r}, must be signed axes like +x-y-z that keep left and right apart")
    return np.asarray(points, np.float32) @ turn


def canonical(
    points: NDArray[np.floating],
    visibility: NDArray[np.floating] | None = None,
    layout: str = "mediapipe",
    axes: str | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pick the canonical joints from points of another layout.

    Args:
        points: [T, K, 2 or 3] in the layout's order; NaN or infinite where a point was not seen.
        visibility: [T, K] in [0, 1], or None if every point that is finite was seen.
        layout: a name in `LAYOUTS`.
        axes: see `turned`; default: the layout's.

    Returns:
        joints [T, 15, 3] and visibility [T, 15] float32, finite. A joint that is the mean of points is as visible as
        the least visible of them.

    Raises:
        UsageError: there is no such layout, or `axes` is malformed.
        FeatureError: the points are of another number.
    """
    known = layout_of(layout)
    if points.ndim != 3 or points.shape[1] != len(known.names) or points.shape[2] not in (2, 3):
        raise FeatureError(f"points have shape {list(points.shape)}, {layout} needs [T, {len(known.names)}, 2 or 3]")
    if points.shape[2] == 2:
        points = np.concatenate([points, np.zeros_like(points[..., :1])], axis=2)
    finite = np.isfinite(points).all(axis=2)
    seen = finite.astype(np.float32) if visibility is None else np.where(finite, np.clip(visibility, 0, 1), 0)
    seen = np.nan_to_num(seen.astype(np.float32))
    clean = turned(np.where(finite[..., None], points, 0.0), axes or known.axes)
    index = {name: i for i, name in enumerate(known.names)}
    joints = np.zeros((len(points), len(JOINTS), 3), np.float32)
    visible = np.zeros((len(points), len(JOINTS)), np.float32)
    for name, alternatives in known.where.items():
        for choice in reversed(alternatives):  # the first that was seen stays
            at = [index[n] for n in choice]
            least = seen[:, at].min(axis=1)
            take = least > 0
            joints[take, J[name]] = clean[take][:, at].mean(axis=1)
            visible[take, J[name]] = least[take]
    return joints, visible
