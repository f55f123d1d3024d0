"""Real people who judge: CMU subject 13, MSRC-12 and UTD-MHAD as poses, their classes mapped by name.

The tables were fixed before anything was scored with them. Persons of MSRC-12 and UTD-MHAD are split: settings of the
plan were chosen on `DEVELOPMENT`, all that is reported is of the others. Neither set trains anything.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from common import SHARED
from mocap import CMU_ACTIONS

from tal_engine._util.arrays import NUMBERS, ArrayFile
from tal_engine.pose.skeleton import Poses, canonical
from tal_engine.records import Segment

MOTION = SHARED / "motion"

#: Words of the figure's exercises in those of the plan.
_RENAMED = {"boxing": "punch", "toe touch": "bend"}
#: mocap6's classes; "SideReach" has no counterpart, "UpDown" is what `mocap` has always taken it for.
CMU13 = {theirs: _RENAMED.get(ours, ours) for theirs, ours in CMU_ACTIONS.items()}
#: Number of the gesture to class. Others (push right, goggles, shoot, ...) have none.
MSRC12 = {"G2": "squat", "G5": "arm circle", "G7": "bend", "G8": "throw", "G12": "kick"}
#: UTD-MHAD's names. "pickup and throw" is two actions, and in no row.
UTD_MHAD = {
    "wave": "wave", "clap": "clap", "throw": "throw", "boxing": "punch", "jog": "jog", "walk": "walk",
    "sit to stand": "stand up", "stand to sit": "sit down", "lunge": "lunge", "squat": "squat",
}  # fmt: skip
_TWO = ("pickup and throw",)

#: Persons on whom settings were chosen: subjects 1 to 4, and the training subset of MSRC-12's common split.
DEVELOPMENT = {"utd": ("s1", "s2", "s3", "s4"), "msrc": "training"}


@dataclass(frozen=True)
class Clip:
    """A recording of one person; label is None where nothing that happens has a name in the plan."""

    name: str
    person: str
    poses: Poses
    label: str | None
    duration: float
    instances: tuple[Segment, ...] = ()


def _poses(points: np.ndarray, layout: str, fps: float) -> Poses:
    joints, visible = canonical(points, layout=layout)
    return Poses(joints, visible, np.arange(len(joints)) / fps)


def subject13() -> list[Clip]:
    """The three exercise sessions, with their true instances in the words of the plan."""
    with ArrayFile(MOTION / "cmu_subject13.npz", "motion file") as file:
        data = {name: file.read(name, NUMBERS + "U") for name in file.names or ()}
    actions = [str(a) for a in data["action_names"]]
    out = []
    for trial in sorted(k.removesuffix(".joints") for k in data if k.endswith(".joints")):
        labels = data[f"{trial}.label10fps"]
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        found = [(a / 10, b / 10, CMU13.get(actions[int(labels[a]) - 1])) for a, b in pairwise(edges)]
        points = data[f"{trial}.joints"]
        instances = tuple(Segment(a, b, label, 1.0) for a, b, label in found if label)
        out.append(Clip(trial, "13", _poses(points, "cmu31", 30.0), None, len(points) / 30.0, instances))
    return out


def utd_mhad(development: bool) -> list[Clip]:
    """Trimmed clips of one action each, of the persons of development or of the others."""
    folder = MOTION / "utd_mhad"
    names = json.loads((folder / "classes.json").read_text())
    out = []
    with ArrayFile(folder / "skeleton_mm_30fps.npz", "motion file") as file:
        for key in file.names or ():
            action, person, _ = key.split("_")
            theirs = names[int(action[1:]) - 1]
            if (person in DEVELOPMENT["utd"]) == development and theirs not in _TWO:
                points = file.read(key).astype(np.float32)
                poses = _poses(points, "utd_mhad20", 30.0)
                out.append(Clip(key, person, poses, UTD_MHAD.get(theirs), len(points) / 30.0))
    return out


def msrc12(development: bool) -> list[Clip]:
    """Sequences of one gesture each, repeated about ten times, of the persons of development or of the others."""
    folder = MOTION / "msrc12"
    with (folder / "sequences.csv").open() as file:
        about = {row["sequence"]: row for row in csv.DictReader(file)}
    with (folder / "points.csv").open() as file:
        gesture = {row["sequence"]: row["class"].split()[0] for row in csv.DictReader(file)}
    out = []
    with ArrayFile(folder / "skeleton_mm_15fps_delta.npz", "motion file") as file:
        for key in file.names or ():
            row = about[key]
            if (row["subset"] == DEVELOPMENT["msrc"]) == development and key in gesture:
                points = np.cumsum(file.read(key).astype(np.int32), axis=0).astype(np.float32)
                poses = _poses(points, "kinect20", 15.0)
                out.append(Clip(key, row["person"], poses, MSRC12.get(gesture[key]), len(points) / 15.0))
    return out
