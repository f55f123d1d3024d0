"""Public layouts that are pickles, or one file for all videos, to plain files and a description of them.

Pickles are read by `annotations.npy`, which knows arrays and plain values and runs nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._util.arrays import ArrayFile, as_float32, memory_limit
from ..._util.files import whole_file, write_text
from ..._util.untrusted import guarded
from ...annotations import Annotations, read_annotations
from ...annotations.npy import read_rows
from ...annotations.truth import AMBIGUOUS, AnnotatedVideo
from ...errors import DataError
from ...timeline import Timeline
from .description import Description, FeatureSpec, Role, TextSpec, write_description

#: Of every archive class, each fifth video is for testing.
_TEST_EVERY = 5

#: Called with (videos done, videos).
Progress = Callable[[int, int], None]


def convert(
    source: Path,
    output: Path,
    *,
    allow_pickle: bool = False,
    features: Path | None = None,
    clip: Path | None = None,
    protocol: str | None = None,
    recipe: str = "thumos14",
    text: TextSpec | None = None,
    rgb: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Convert a data set.

    Args:
        source: the folder of a W-TALC download (a folder of npy annotations, "*Features*.npy" with one array a
            video by position, a CLIP folder with train/ and test/), or an ``.npz`` of named videos.
        output: gets annotations.json, i3d/NAME.npy and data.yaml.
        allow_pickle: the two W-TALC files are pickles.
        features: the file of features; default: the only one in `source`, or none.
        clip: the folder of CLIP features; default: the only one in `source`, or none.
        protocol: default: "wtal-snippet" for THUMOS14, else "activitynet".
        recipe: settings to train with where none are named.
        text: the text tower; default: CLIP's RN50.
        rgb: columns of RGB, which come first; default: half of them.
        progress: called after each video's features.

    Returns:
        The description.

    Raises:
        DataError: something is missing, does not match, or is a pickle and `allow_pickle` is not set.
    """
    if source.suffix == ".npz":
        return _archive(source, output)
    folder = _annotations_folder(source)
    if not allow_pickle:
        raise DataError(f"{folder}: the W-TALC layout is made of pickles; convert it with --allow-pickle")
    annotations = read_annotations(folder, allow_pickle=True)
    features = features or _only(sorted(source.glob("*Features*.npy")), "files of features", "--features")
    clip = clip or _only(_clip_folders(source), "CLIP folders", "--clip")
    write_annotations(output / "annotations.json", annotations)
    specs = [] if features is None else [_split(features, annotations, output, rgb, progress)]
    if clip is not None:
        path = Path(os.path.relpath(clip, output)).as_posix()
        specs.append(FeatureSpec(path=f"{path}/{{role}}/{{name}}.npy", stream="clip"))
    write_description(output / "data.yaml", _described(folder, annotations, specs, protocol, recipe, text))
    return output / "data.yaml"


def _described(
    folder: Path,
    annotations: Annotations,
    specs: list[FeatureSpec],
    protocol: str | None,
    recipe: str,
    text: TextSpec | None,
) -> Description:
    named = any(name.startswith("video_validation_") for name in annotations.videos)
    return Description(
        name=folder.name.removesuffix("-Annotations"),
        annotations="annotations.json",
        subsets=_roles(annotations),
        labels="video" if all(v.video_labels is not None for v in annotations) else "instances",
        features=specs,
        length="first",
        short_features="keep" if any(map(_beyond, annotations)) else "refuse",
        protocol=protocol or ("wtal-snippet" if named else "activitynet"),
        recipe=recipe,
        text=text or TextSpec(),
    )


def write_annotations(path: Path, annotations: Annotations) -> None:
    """Write annotations in ActivityNet's form, with class order, video labels and frame rates."""
    document = {"classes": list(annotations.classes), "database": {v.name: _entry(v) for v in annotations}}
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _entry(v: AnnotatedVideo) -> dict[str, Any]:
    segments = [(s.start, s.end, s.label) for s in v.instances] + [(a, b, AMBIGUOUS) for a, b in v.ambiguous]
    entry: dict[str, Any] = {"subset": v.subset, "duration": v.duration}
    if v.fps:
        entry["fps"] = v.fps
    if v.video_labels is not None:
        entry["labels"] = list(v.video_labels)
    return {**entry, "annotations": [{"segment": [a, b], "label": label} for a, b, label in segments]}


def _beyond(v: AnnotatedVideo) -> bool:
    """Return whether an instance ends after its video, where no features reach, as in five videos of THUMOS14."""
    return bool(v.duration) and max((s.end for s in v.instances), default=0.0) > v.duration


def _annotations_folder(source: Path) -> Path:
    if (source / "segments.npy").exists():
        return source
    inside = sorted(p.parent for p in source.glob("*/segments.npy"))
    if len(inside) != 1:
        what = ", ".join(p.name for p in inside) or "none"
        raise DataError(f"{source}: needs one folder of npy annotations (segments.npy, labels.npy, ...), has {what}")
    return inside[0]


def _clip_folders(source: Path) -> list[Path]:
    return sorted({p.parent.parent for role in ("train", "test") for p in source.glob(f"*/{role}/*.npy")})


def _only(candidates: Sequence[Path], what: str, option: str) -> Path | None:
    if len(candidates) > 1:
        raise DataError(f"more than one of {what}: {', '.join(map(str, candidates))}; choose one with {option}")
    return candidates[0] if candidates else None


def _roles(annotations: Annotations) -> dict[Role, str]:
    """Assign subsets to roles.

    THUMOS14 trains on validation and tests on test; ActivityNet trains on training and tests on validation.
    """
    present = {v.subset for v in annotations}
    for train, test in (("training", "validation"), ("train", "test"), ("validation", "test")):
        if {train, test} <= present:
            return {"train": train, "test": test}
    raise DataError(f"{annotations.source}: cannot tell which subset is for training: {', '.join(sorted(present))}")


def _split(
    path: Path, annotations: Annotations, output: Path, rgb: int | None, progress: Progress | None
) -> FeatureSpec:
    """Split one array of arrays, in order of the videos, into a file for each: RGB first, then flow."""
    rows = read_rows(path)
    if len(rows) != len(annotations):
        raise DataError(f"{path}: has features of {len(rows)} videos, the annotations have {len(annotations)}")
    width = 0
    for i, (name, row) in enumerate(zip(annotations.videos, rows, strict=True)):
        with guarded(f"{path}: video {name!r}", "array of numbers"):
            array = as_float32(np.asarray(row))
        width = width or (int(array.shape[-1]) if array.ndim else 0)
        if array.ndim != 2 or array.shape[1] != width or not array.size:
            raise DataError(f"{path}: video {name!r} has shape {list(array.shape)}, must be [T, {width}]")
        _save(output / "i3d" / f"{name}.npy", array)
        if progress is not None:
            progress(i + 1, len(rows))
    first = rgb or width // 2
    return FeatureSpec(path="i3d/{name}.npy", streams={"rgb": (0, first), "flow": (first, width)})


def _save(path: Path, array: NDArray[np.float32]) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _archive(source: Path, output: Path) -> Path:
    """Convert an ``.npz`` of videos named CLASS_NUMBER, without times: labels of whole videos."""
    database: dict[str, Any] = {}
    timeline = Timeline(0.0, 0.64, 0.64)
    seen: dict[str, int] = {}
    width = 0
    with ArrayFile(source, "archive of features", limit=memory_limit()) as file:
        for name in file.names or ():
            array, label = file.read(name), name.rpartition("_")[0]
            if not label or array.ndim != 2 or not array.size or width not in (0, array.shape[1]):
                raise DataError(f"{source}: {name!r} of shape {list(array.shape)} is not CLASS_NUMBER, [T, D]")
            width = int(array.shape[1])
            seen[label] = seen.get(label, 0) + 1
            subset = "train" if seen[label] % _TEST_EVERY else "test"
            duration = round(float(timeline.right(len(array))), 6)
            database[name] = {"subset": subset, "duration": duration, "labels": [label], "annotations": []}
    if not database:
        raise DataError(f"{source}: holds no named arrays, one a video")
    write_text(output / "annotations.json", json.dumps({"classes": sorted(seen), "database": database}, indent=1))
    half = width // 2
    spec = FeatureSpec(
        path=os.path.relpath(source, output), key="{name}", streams={"rgb": (0, half), "flow": (half, width)}
    )
    description = Description(
        name=source.stem,
        annotations="annotations.json",
        subsets={"train": "train", "test": "test"},
        labels="video",
        features=[spec],
    )
    write_description(output / "data.yaml", description)
    return output / "data.yaml"
