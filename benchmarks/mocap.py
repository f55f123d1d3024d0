"""Real human motion on the procedural figure: motion-capture joints, rendered from several views."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from tal_engine._util.arrays import NUMBERS, ArrayFile
from tal_engine._util.untrusted import guarded
from tal_engine.demo.script import View
from tal_engine.demo.skeleton import JOINTS, Array

# Where each joint of the figure is found in the CMU (ASF) skeleton: the far end of that bone.
_CMU = {
    "pelvis": "root", "spine": "upperback", "neck": "lowerneck", "head": "head",
    "shoulder_l": "lclavicle", "elbow_l": "lhumerus", "wrist_l": "lradius",
    "shoulder_r": "rclavicle", "elbow_r": "rhumerus", "wrist_r": "rradius",
    "hip_l": "lhipjoint", "knee_l": "lfemur", "ankle_l": "ltibia", "toe_l": "lfoot",
    "hip_r": "rhipjoint", "knee_r": "rfemur", "ankle_r": "rtibia", "toe_r": "rfoot",
}  # fmt: skip

#: Names of the mocap6 label set (Fox et al. 2014) in the words of this project's exercises.
#: "SideReach" has no counterpart.
CMU_ACTIONS = {
    "JumpJack": "jumping jack",
    "Jog": "jog",
    "Squat": "squat",
    "KneeRaise": "knee raise",
    "ArmCircle": "arm circle",
    "Twist": "twist",
    "Box": "boxing",
    "UpDown": "sit down",
    "ToeTouchOneHand": "toe touch",
    "ToeTouchTwoHands": "toe touch",
    "SideBend": "side bend",
}


@dataclass(frozen=True)
class Recording:
    """One captured session: joints [frames, joints, 3] in metres and its true instances."""

    name: str
    fps: float
    joints: Array
    instances: tuple[tuple[float, float, str], ...]
    person_m: float


def read_recordings(path: Path) -> list[Recording]:
    """Read the sessions of a ``cmu_subject13.npz`` file (joints at 30 fps, labels every 0.1 s).

    Raises:
        DataError: the file has another layout.
    """
    what = "motion file in the cmu_subject13 layout"
    with ArrayFile(path, what) as file:
        data = {name: file.read(name, NUMBERS + "U") for name in file.names or ()}
    with guarded(path, what):
        names = [str(n) for n in data["joint_names"]]
        actions = [str(a) for a in data["action_names"]]
        trials = sorted(k.removesuffix(".joints") for k in data if k.endswith(".joints"))
        picked = [names.index(_CMU[j]) for j in JOINTS]
        return [_recording(t, data[f"{t}.joints"][:, picked], data[f"{t}.label10fps"], actions) for t in trials]


def _recording(name: str, joints: Array, labels: Array, actions: list[str]) -> Recording:
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    instances = []
    for a, b in pairwise(edges):
        label = CMU_ACTIONS.get(actions[int(labels[a]) - 1])
        if label is not None:
            instances.append((a / 10, b / 10, label))
    joints = np.array(joints, np.float64)
    low = np.percentile(joints[..., 1].min(axis=1), 5)
    middle = np.median(joints[:, 0], axis=0)
    joints -= [middle[0], low, middle[2]]
    height = float(np.percentile(joints[:, JOINTS.index("head"), 1], 95)) + 0.1
    return Recording(name, 30.0, joints, tuple(instances), height)


def facing(joints: Array) -> float:
    """Return the median direction that the person faces, in radians about y, so that a view can be in front."""
    left = joints[:, JOINTS.index("hip_l")] - joints[:, JOINTS.index("hip_r")]
    angle = np.arctan2(-left[:, 2], left[:, 0])
    return float(np.arctan2(np.median(np.sin(angle)), np.median(np.cos(angle))))


def views(recording: Recording, count: int, seed: int) -> list[View]:
    """Draw cameras in the front half around the person, as in the procedural videos."""
    rng = np.random.default_rng([seed, 13])
    front = facing(recording.joints)
    out = []
    for _ in range(count):
        v = View.sample(rng)
        turn = float(rng.uniform(-0.9, 0.9))
        out.append(View(front + turn, v.height_m, v.distance_m, 0.62, v.offset, v.shake_px, v.seed))
    return out
