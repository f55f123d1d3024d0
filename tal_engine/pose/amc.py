"""Acclaim motion: a skeleton (ASF) of bones with directions and lengths, and their angles frame by frame (AMC).

Source: the format as Acclaim defined it and CMU's database uses it. An AMC file does not name its skeleton: that is the
ASF file of the same name, or of the subject (``13.asf`` of ``13_29.amc``), or the only one beside it. It does not say
its frame rate either; CMU's are of 120 frames a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._util.untrusted import guarded, read_text
from ..errors import DataError
from .rotations import chained
from .skeleton import JOINTS, LAYOUTS

Floats = NDArray[np.float64]

#: Frames a second where nothing is said.
FPS = 120.0
TEXT_LIMIT, BONE_LIMIT, FRAME_LIMIT = 256 << 20, 1000, 2_000_000
#: Frames that are placed at a time.
_BATCH = 4096
_INCH = 0.0254


@dataclass
class _Bone:
    direction: Floats
    length: float
    axis: Floats
    order: str
    dof: tuple[str, ...]


@dataclass
class _Skeleton:
    bones: dict[str, _Bone]
    parent: dict[str, str]
    root_order: tuple[str, ...]
    radians: bool
    metres: float


def read_amc(path: Path) -> Floats:
    """Read an AMC file and its ASF file.

    Args:
        path: of the AMC file.

    Returns:
        Canonical joints [T, 15, 3] in metres, in the file's axes (y up).

    Raises:
        DataError: one of the files is missing, malformed or too large, or bones have other names than CMU's.
    """
    skeleton_path = skeleton_of(path)
    skeleton = _read_asf(skeleton_path)
    layout = LAYOUTS["cmu31"].where
    missing = [names[0] for (names,) in layout.values() if names[0] not in {"root", *skeleton.bones}]
    if missing:
        raise DataError(f"{skeleton_path}: has no bone {missing[0]!r}; only skeletons with CMU's names are read")
    text = read_text(path, "AMC file", DataError, TEXT_LIMIT)
    with guarded(path, "AMC file"):
        angles = _frames(text, skeleton, path)
        ours = [layout[name][0][0] for name in JOINTS]
        parts = []
        for at in range(0, len(angles["root"]), _BATCH):  # all bones of all frames at once would be gigabytes
            place = _placed(skeleton, {name: of[at : at + _BATCH] for name, of in angles.items()})
            parts.append(np.stack([place[name] for name in ours], axis=1))
        return np.concatenate(parts) * skeleton.metres


def skeleton_of(path: Path) -> Path:
    """Find the ASF file of an AMC file.

    Raises:
        DataError: there is none, or nothing tells which.
    """
    beside = [p for p in path.parent.iterdir() if p.suffix.lower() == ".asf"] if path.parent.is_dir() else []
    for stem in (path.stem, path.stem.split("_")[0]):
        named = [p for p in beside if p.stem == stem]
        if named:
            return named[0]
    if len(beside) != 1:
        found = f"{len(beside)} of other names" if beside else "none"
        raise DataError(f"{path}: needs its skeleton {path.stem.split('_')[0]}.asf beside it, there is {found}")
    return beside[0]


def _sections(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the sections of an ASF file: the words after the colon, and lines of words."""
    name, lines = "", list[list[str]]()
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words and words[0].startswith(":"):
            yield name, lines
            name, lines = words[0][1:].lower(), [words[1:]] if words[1:] else []
        elif words:
            lines.append(words)
    yield name, lines


def _read_asf(path: Path) -> _Skeleton:
    text = read_text(path, "ASF file", DataError, TEXT_LIMIT)
    with guarded(path, "ASF file"):
        found = dict(_sections(text))
        for section in ("root", "bonedata", "hierarchy"):
            if section not in found:
                raise DataError(f"{path}: not an ASF file (it has no :{section})")
        units = {words[0].lower(): words[1] for words in found.get("units", []) if len(words) > 1}
        radians = units.get("angle", "deg").lower().startswith("rad")
        length = float(units.get("length", 1.0))
        if not 1e-6 < length < 1e6:
            raise DataError(f"{path}: its unit of length is {length}, must be positive")
        root = {words[0].lower(): words[1:] for words in found["root"]}
        bones = dict(_bones(found["bonedata"], radians, path))
        parent: dict[str, str] = {}
        for words in found["hierarchy"]:
            for child in words[1:] if words[0].lower() not in ("begin", "end") else ():
                if child not in bones or child in parent or words[0] not in {"root", *parent}:
                    raise DataError(
                        f"{path}: its hierarchy has {child!r} under {words[0]!r}, which does not fit its bones"
                    )
                parent[child] = words[0]
        return _Skeleton(bones, parent, tuple(o.lower() for o in root["order"]), radians, _INCH / length)


def _bones(lines: list[list[str]], radians: bool, path: Path) -> Iterator[tuple[str, _Bone]]:
    """Yield the bones by name, between "begin" and "end"."""
    count = 0
    about: dict[str, list[str]] = {}
    for words in lines:
        key = words[0].lower()
        if key == "begin":
            about = {}
        elif key != "end":
            about.setdefault(key, words[1:])
            continue
        elif about:
            count += 1
            if count > BONE_LIMIT:
                raise DataError(f"{path}: has more than {BONE_LIMIT} bones")
            numbers = {k: np.array(about[k][:3], np.float64).reshape(3) for k in ("direction", "axis")}
            axis = numbers["axis"] if radians else np.radians(numbers["axis"])
            size = np.linalg.norm(numbers["direction"])
            length = float(about["length"][0])
            if not (np.isfinite([*axis, size, length]).all() and size > 0):
                raise DataError(f"{path}: bone {about['name'][0]!r} has a direction, axis or length that is no number")
            order = about["axis"][3].lower() if len(about["axis"]) > 3 else "xyz"
            dof = tuple(d.lower() for d in about.get("dof", []))
            if sorted(order) != ["x", "y", "z"] or not set(dof) <= {"rx", "ry", "rz", "tx", "ty", "tz", "l"}:
                raise DataError(f"{path}: bone {about['name'][0]!r} has axis order {order!r} and dof {' '.join(dof)}")
            yield about["name"][0], _Bone(numbers["direction"] / size, length, axis, order, dof)


def _frames(text: str, skeleton: _Skeleton, path: Path) -> dict[str, Floats]:
    """Parse the values of each bone in all frames: name to [T, degrees of freedom]."""
    width = {"root": len(skeleton.root_order)} | {name: len(b.dof) for name, b in skeleton.bones.items()}
    rows: dict[str, list[list[str]]] = {name: [] for name, n in width.items() if n}
    count, radians = 0, skeleton.radians
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            radians = {":radians": True, ":degrees": False}.get(words[0].lower(), radians)
        elif len(words) == 1 and words[0].isdigit():
            count += 1
            if count > FRAME_LIMIT:
                raise DataError(f"{path}: has more than {FRAME_LIMIT} frames")
        elif words[0] not in rows or len(words) != width[words[0]] + 1 or len(rows[words[0]]) != count - 1:
            raise DataError(f"{path}, line {number}: {' '.join(words)[:60]!r} is not what frame {count} needs")
        else:
            rows[words[0]].append(words[1:])
    if not count:
        raise DataError(f"{path}: has no frames")
    values = {name: np.array(of, np.float64).reshape(len(of), width[name]) for name, of in rows.items()}
    for name, of in values.items():
        if len(of) not in (0, count) or not np.isfinite(of).all():
            raise DataError(f"{path}: {name!r} has {len(of)} of {count} frames, or a value that is not finite")
    zeros = {name: np.zeros((count, n)) for name, n in width.items()}
    values = zeros | {name: of for name, of in values.items() if len(of)}
    names = {"root": skeleton.root_order} | {n: b.dof for n, b in skeleton.bones.items()}
    turns = {n: np.array([d.startswith("r") and not radians for d in names[n]], bool) for n in values}
    return {n: np.where(turns[n], np.radians(of), of) for n, of in values.items()}


def _turn(values: Floats, dof: tuple[str, ...]) -> Floats:
    """Rotate by the angles of a bone: the last axis outermost, as ASF has it."""
    spins = [k for k, d in enumerate(dof) if d.startswith("r")]
    return chained("".join(dof[k][1] for k in reversed(spins)), values[:, spins[::-1]])


def _placed(skeleton: _Skeleton, values: dict[str, Floats]) -> dict[str, Floats]:
    """Compute the far end of every bone, and the root: name to [T, 3], in the file's unit."""
    root = values["root"]
    place = {"root": np.stack([_column(root, skeleton.root_order, t) for t in ("tx", "ty", "tz")], axis=1)}
    turn = {"root": _turn(root, skeleton.root_order)}
    for name, parent in skeleton.parent.items():  # parents come before their children
        bone = skeleton.bones[name]
        frame = chained(bone.order[::-1], _ordered(bone))
        turn[name] = turn[parent] @ (frame @ _turn(values[name], bone.dof) @ frame.T)
        place[name] = place[parent] + turn[name] @ (bone.direction * bone.length)
    return place


def _ordered(bone: _Bone) -> Floats:
    """Return the angles of a bone's own axes in the order in which they are multiplied."""
    return bone.axis[["xyz".index(a) for a in bone.order[::-1]]]


def _column(values: Floats, names: tuple[str, ...], wanted: str) -> Floats:
    return values[:, names.index(wanted)] if wanted in names else np.zeros(len(values))
