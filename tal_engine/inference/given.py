"""What callers give: sources to localize, and who is told how far a call is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.arrays import ArrayFile
from .._util.names import MOTION_SUFFIXES
from ..errors import TALError, require
from ..features import load_features
from ..limits import Limits
from ..options import SnippetOptions
from ..pose.skeleton_options import SkeletonOptions
from ..records import Features

#: What can be localized: a video file, frames [N, H, W, 3] uint8 or a list of [H, W, 3] (with fps), features as a
#: record, as a file (.npz) or as a mapping stream -> [T, D], or a skeleton file (.bvh, .amc, .csv, .npz).
Source = str | Path | NDArray[Any] | Sequence[NDArray[Any]] | Features | Mapping[str, NDArray[np.float32]]

#: Called with (seconds done, seconds in total or 0 if unknown).
Progress = Callable[[float, float], None]


def is_features(source: Source) -> bool:
    """Return whether a source is features already, or motion that becomes such without a graph; not a video."""
    return isinstance(source, (Mapping, Features)) or (
        isinstance(source, (str, Path)) and Path(source).suffix.lower() in MOTION_SUFFIXES | {".npz", ".csv"}
    )


def is_skeleton(path: str | Path) -> bool:
    """Return whether a path is one of a skeleton file: by its ending, an ``.npz`` by what is in it.

    An ``.npz`` without the record that every feature file has, and with joints, is one; what cannot be read is none.
    """
    if Path(path).suffix.lower() != ".npz":
        return Path(path).suffix.lower() in MOTION_SUFFIXES | {".csv"}
    from ..pose.tables import POINTS

    try:
        with ArrayFile(path) as file:
            names = set(file.names or ())
    except TALError:
        return False
    return "record" not in names and not names.isdisjoint(POINTS)


def read_features(
    path: str | Path, snippet: SnippetOptions, limits: Limits, skeleton: SkeletonOptions | None = None
) -> tuple[Features, list[str]]:
    """Load a feature file, or compute the pose features of a skeleton file and say what was guessed of it.

    Args:
        path: of the file.
        snippet: the grid of snippets, for skeletons.
        limits: how many snippets a skeleton may have.
        skeleton: what a skeleton file leaves open.

    Raises:
        FeatureError, DataError: it cannot be read.
        VideoError: the skeleton has more snippets than the limits allow.
        UsageError: `skeleton` is given for a file of features.
    """
    if not is_skeleton(path):
        require(skeleton is None, "skeleton", skeleton, f"left out: {path} holds features")
        return load_features(path), []
    from .motion import motion_features

    return motion_features(Path(path), snippet, limits, skeleton or SkeletonOptions())
