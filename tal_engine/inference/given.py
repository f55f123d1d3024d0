"""What callers give: sources to localize, and who is told how far a call is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.names import MOTION_SUFFIXES
from ..features import load_features
from ..limits import Limits
from ..options import SnippetOptions
from ..records import Features

#: What can be localized: a video file, frames [N, H, W, 3] uint8 or a list of [H, W, 3] (with fps), features as a
#: record, as a file (.npz) or as a mapping stream -> [T, D], or a file of motion capture (.bvh, .amc).
Source = str | Path | NDArray[Any] | Sequence[NDArray[Any]] | Features | Mapping[str, NDArray[np.float32]]

#: Called with (seconds done, seconds in total or 0 if unknown).
Progress = Callable[[float, float], None]


def is_features(source: Source) -> bool:
    """Return whether a source is features already, or motion that becomes such without a graph; not a video."""
    return isinstance(source, (Mapping, Features)) or (
        isinstance(source, (str, Path)) and (Path(source).suffix == ".npz" or is_motion(source))
    )


def is_motion(source: str | Path) -> bool:
    """Return whether a path is one of motion capture, by its ending."""
    return Path(source).suffix.lower() in MOTION_SUFFIXES


def read_features(path: str | Path, snippet: SnippetOptions, limits: Limits) -> tuple[Features, list[str]]:
    """Load a feature file, or compute the pose features of a file of motion capture and say what was guessed of it.

    Raises:
        FeatureError: it cannot be read.
        VideoError: the motion has more snippets than the limits allow.
    """
    if not is_motion(path):
        return load_features(path), []
    from ..pose.skeleton_options import SkeletonOptions
    from .motion import motion_features

    return motion_features(Path(path), snippet, limits, SkeletonOptions())
