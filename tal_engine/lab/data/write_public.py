"""Writes simulated videos as public data sets are published, so that the real readers read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._util.files import whole_file
from .convert_layouts import convert
from .description import TextSpec
from .synthetic import SimulatedVideo, SimulatorOptions, World, simulate


def write_simulation(output: Path, options: SimulatorOptions) -> Path:
    """Simulate, write the W-TALC layout under ``OUTPUT/public``, and convert that to ``OUTPUT/data.yaml``.

    Returns:
        The description.
    """
    videos = simulate(options)
    write_public(output / "public", videos, World(options).names)
    return convert(
        output / "public",
        output,
        allow_pickle=True,
        protocol="wtal-seconds",
        recipe="simulator",
        text=TextSpec(tower="hashed", dim=options.joint, seed=options.text_seed),
        rgb=options.rgb,
    )


def write_public(folder: Path, videos: Sequence[SimulatedVideo], classes: Sequence[str]) -> None:
    """Write pickled lists of annotations, one joint array of I3D features, and a CLIP file per video by subset."""
    columns: dict[str, Any] = {
        "videoname": np.array([v.name.encode() for v in videos]),
        "subset": np.array([v.subset.encode() for v in videos]),
        "duration": np.array([[v.duration] for v in videos]),
        "extracted_fps": np.full(len(videos), 25),
        "original_fps": np.full(len(videos), 25.0),
        "classlist": np.array([c.encode() for c in classes]),
        "segments": _objects([[[s.start, s.end] for s in v.instances] for v in videos]),
        "labels": _objects([[s.label for s in v.instances] for v in videos]),
        "labels_all": _objects([list(v.labels) for v in videos]),
    }
    for name, column in columns.items():
        _save(folder / "Simulated-Annotations" / f"{name}.npy", column)
    joint = _objects([np.concatenate([v.streams["rgb"], v.streams["flow"]], axis=1) for v in videos])
    _save(folder / "Simulated-I3D-JOINTFeatures.npy", joint)
    for v in videos:
        _save(folder / "CLIP" / ("test" if v.subset == "test" else "train") / f"{v.name}.npy", v.streams["clip"])


def _objects(rows: Sequence[Any]) -> Any:
    """Build an object array of rows of any lengths."""
    out = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        out[i] = row
    return out


def _save(path: Path, array: Any) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=True)
