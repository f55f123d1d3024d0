"""BVH: a tree of joints with offsets and channels, then the values of the channels frame by frame.

Source: the format as Biovision defined it (Meredith and Maddock, Motion Capture File Formats Explained). Rotations
are multiplied in the order of their channels; a joint with position channels is where they say, not at its offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._util.untrusted import guarded, read_text
from ..errors import DataError
from .rotations import chained
from .skeleton import JOINTS

Floats = NDArray[np.float64]

WHAT = "BVH file"
#: Most bytes, joints, and numbers of the motion: hours of a body with fingers.
TEXT_LIMIT, JOINT_LIMIT, NUMBER_LIMIT, FRAME_LIMIT = 256 << 20, 1000, 50_000_000, 2_000_000
_BATCH = 4096
_END = "end site"

#: Names of the joints of limbs in common naming schemes, without prefixes, case and punctuation; {} is a side.
_SCHEMES = tuple(
    dict(zip(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"), line.split(), strict=True))
    for line in (
        "{}arm {}forearm {}hand {}upleg {}leg {}foot",
        "{}shoulder {}elbow {}wrist {}hip {}knee {}ankle",
        "{}upperarm {}forearm {}hand {}thigh {}calf {}foot",
        "{}upperarm {}lowerarm {}hand {}upperleg {}lowerleg {}foot",
        "{}humerus {}radius {}wrist {}femur {}tibia {}foot",
    )
)
_SIDES = {"l": ("left", "l"), "r": ("right", "r")}
_CENTRES = {
    "pelvis": ("hips", "pelvis", "root", "hip"),
    "neck": ("neck", "neck1", "upperneck", "lowerneck"),
    "head": ("head",),
}


@dataclass
class _Joint:
    name: str
    parent: int
    offset: Floats = field(default_factory=lambda: np.zeros(3))
    #: Channels such as "xposition", and the column of the first.
    channels: tuple[str, ...] = ()
    first: int = 0


def read_bvh(path: Path) -> tuple[Floats, float]:
    """Read a BVH file.

    Args:
        path: of the file.

    Returns:
        Canonical joints [T, 15, 3] in the file's unit and axes, and frames a second.

    Raises:
        DataError: missing, malformed or too large, or its joints cannot be told from their names.
    """
    text = read_text(path, WHAT, DataError, TEXT_LIMIT)
    with guarded(path, WHAT):
        head, mark, motion = text.partition("MOTION")
        if not mark:
            raise DataError(f"{path}: not a BVH file (it has no MOTION)")
        joints, width = _tree(head.split(), path)
        values, fps = _motion(motion, width, path)
        wanted = _named(joints, path)
        parts = [_placed(joints, values[i : i + _BATCH], wanted) for i in range(0, len(values), _BATCH)]
        return np.concatenate(parts), fps


def _tree(tokens: list[str], path: Path) -> tuple[list[_Joint], int]:
    """Parse the hierarchy: joints, parents before children, and the number of channels."""
    if not tokens or tokens[0].upper() != "HIERARCHY":
        raise DataError(f"{path}: not a BVH file (it does not begin with HIERARCHY)")
    joints: list[_Joint] = []
    open_, width, at, pending = list[int](), 0, 1, -1
    while at < len(tokens):
        word = tokens[at].upper()
        if word in ("ROOT", "JOINT", "END"):
            if word == "ROOT" and joints:
                raise DataError(f"{path}: has a second ROOT {tokens[at + 1]!r}; one body a file")
            if len(joints) >= JOINT_LIMIT:
                raise DataError(f"{path}: has more than {JOINT_LIMIT} joints")
            if (word == "ROOT") != (not open_):
                raise DataError(f"{path}: {' '.join(tokens[at : at + 2])} is not where it belongs in the hierarchy")
            joints.append(_Joint(_END if word == "END" else tokens[at + 1], open_[-1] if open_ else -1))
            pending, at = len(joints) - 1, at + 2
        elif word == "{":
            open_.append(pending)
            at += 1
        elif word == "}":
            open_.pop()
            at += 1
        elif word == "OFFSET":
            joints[open_[-1]].offset = np.array(tokens[at + 1 : at + 4], np.float64).reshape(3)
            at += 4
        elif word == "CHANNELS":
            count = int(tokens[at + 1])
            if not 0 <= count <= 6:
                raise DataError(f"{path}: a joint has {count} channels, must be 0 to 6")
            channels = tuple(c.lower() for c in tokens[at + 2 : at + 2 + count])
            _check_channels(channels, joints[open_[-1]].name, path)
            joints[open_[-1]].channels, joints[open_[-1]].first = channels, width
            width, at = width + count, at + 2 + count
        else:
            raise DataError(f"{path}: {tokens[at][:40]!r} in its hierarchy is no word of a BVH file")
    if open_ or not joints:
        raise DataError(f"{path}: its hierarchy is {'not closed' if joints else 'empty'}")
    return joints, width


def _check_channels(channels: tuple[str, ...], joint: str, path: Path) -> None:
    known = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
    bad = [c for c in channels if c not in known]
    if bad:
        raise DataError(f"{path}: joint {joint!r} has channel {bad[0]!r}, must be Xposition, Zrotation and so on")


def _motion(text: str, width: int, path: Path) -> tuple[Floats, float]:
    """Parse the frames: values [T, width] and frames a second."""
    lines = iter(text.splitlines())
    declared: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            declared[name.strip().lower()] = value.strip()
        if "frame time" in declared:
            break
    if "frames" not in declared or "frame time" not in declared:
        raise DataError(f"{path}: its motion does not say Frames and Frame Time")
    frames, step = int(declared["frames"]), float(declared["frame time"])
    if not 1e-3 <= step <= 10:
        raise DataError(f"{path}: Frame Time is {step}, must be 0.001 to 10 seconds")
    if not width:
        raise DataError(f"{path}: no joint has channels, so nothing moves")
    if not 1 <= frames <= FRAME_LIMIT or frames * width > NUMBER_LIMIT:
        raise DataError(
            f"{path}: declares {frames} frames of {width} values, must be 1 frame to {FRAME_LIMIT} frames, and at most "
            f"{NUMBER_LIMIT} values"
        )
    rows = [np.array(line.split(), np.float64) for line in lines if line.strip()]
    values = np.concatenate(rows) if rows else np.zeros(0)
    if values.size != frames * width:
        raise DataError(f"{path}: declares {frames} frames of {width} values and has {values.size} values")
    if not np.isfinite(values).all():
        raise DataError(f"{path}: frame {int(np.argmax(~np.isfinite(values))) // width} has a value that is not finite")
    return values.reshape(frames, width), 1 / step


def _plain(name: str) -> str:
    """Reduce a name to lower case letters and digits, without a prefix such as mixamorig: or Bip01."""
    letters = "".join(c for c in name.rpartition(":")[2].lower() if c.isalnum())
    for prefix in ("mixamorig", "bip001", "bip01"):
        letters = letters.removeprefix(prefix)
    return letters


def _named(joints: list[_Joint], path: Path) -> list[tuple[int, ...]]:
    """Find the joints whose mean each canonical joint is, by name.

    Raises:
        DataError: no naming scheme fits.
    """
    index = {_plain(j.name): i for i, j in reversed(list(enumerate(joints))) if j.name != _END}
    best: dict[str, int] = {}
    for scheme in _SCHEMES:
        found: dict[str, int] = {}
        for ours, pattern in scheme.items():
            for side, words in _SIDES.items():
                names = [pattern.format(w) for w in words] + [
                    pattern.format("") + words[-1],
                    pattern.format("") + words[0],
                ]
                hit = next((index[n] for n in names if n in index), None)
                if hit is not None:
                    found[f"{ours}_{side}"] = hit
        best = max(best, found, key=len)
    missing = [n for n in JOINTS if n[-2:] in ("_l", "_r") and n not in best]
    if missing:
        shown = ", ".join(j.name for j in joints[:12])
        raise DataError(f"{path}: no joint is named like {missing[0]!r}; its joints: {shown}...")
    out: dict[str, tuple[int, ...]] = {name: (i,) for name, i in best.items()}
    for ours, centres in _CENTRES.items():
        hit = next((index[n] for n in centres if n in index and (index[n],) not in out.values()), None)
        if hit is not None:
            out[ours] = (hit,)
    out.setdefault("pelvis", (best["hip_l"], best["hip_r"]))
    out.setdefault("neck", (best["shoulder_l"], best["shoulder_r"]))
    if "head" not in out:
        raise DataError(f"{path}: no joint is named like 'head'")
    tip = next((i for i, j in enumerate(joints) if j.name == _END and j.parent == out["head"][0]), None)
    out["head"] = (*out["head"], *(() if tip is None else (tip,)))
    return [out[name] for name in JOINTS]


def _placed(joints: list[_Joint], values: Floats, wanted: list[tuple[int, ...]]) -> Floats:
    """Compute where joints are: [T, 15, 3]."""
    place: list[Floats] = []
    turn: list[Floats] = []
    for joint in joints:
        columns = values[:, joint.first : joint.first + len(joint.channels)]
        offset = np.broadcast_to(joint.offset, (len(values), 3)).copy()
        for k, channel in enumerate(joint.channels):
            if channel.endswith("position"):
                offset[:, "xyz".index(channel[0])] = columns[:, k]
        spins = [k for k, c in enumerate(joint.channels) if c.endswith("rotation")]
        own = chained("".join(joint.channels[k][0] for k in spins), np.radians(columns[:, spins]))
        if joint.parent < 0:
            place.append(offset)
            turn.append(own)
        else:
            place.append(place[joint.parent] + np.einsum("tij,tj->ti", turn[joint.parent], offset))
            turn.append(turn[joint.parent] @ own)
    return np.stack([np.mean([place[i] for i in of], axis=0) for of in wanted], axis=1)
