"""Pose features of skeleton files."""

from __future__ import annotations

from pathlib import Path

from ..limits import Limits
from ..options import SnippetOptions
from ..pose.files import read_skeleton, remarks
from ..pose.skeleton_options import SkeletonOptions
from ..pose.windows import features_of
from ..records import Features


def motion_features(
    path: Path, snippet: SnippetOptions, limits: Limits, options: SkeletonOptions
) -> tuple[Features, list[str]]:
    """Compute the features of a skeleton file, and say what was guessed of it.

    Args:
        path: of the file.
        snippet: the grid of snippets.
        limits: how many there may be.
        options: what the file leaves open.

    Raises:
        DataError: it cannot be read.
        VideoError: it has more snippets than the limits allow.
    """
    poses = read_skeleton(path, options)
    features = features_of(poses, snippet, limits=limits, name=str(path))
    return features, [f"{path}: {r}" for r in remarks(path, options, poses)]
