"""Skeleton files: BVH, AMC with its ASF, arrays and tables of landmarks, to poses; one person a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from .amc import FPS, read_amc
from .bvh import read_bvh
from .features import SEEN
from .skeleton import LAYOUTS, Poses, turned
from .skeleton_options import SkeletonOptions
from .tables import read_npz, read_table

#: Endings of skeleton files; ``.asf`` belongs to ``.amc``.
SKELETON_SUFFIXES = frozenset([".bvh", ".amc", ".npz", ".csv"])


def read_skeleton(path: str | Path, options: SkeletonOptions | None = None) -> Poses:
    """Read the poses of a skeleton file.

    Args:
        path: a ``.bvh``, ``.amc``, ``.npz`` or ``.csv``.
        options: what the file leaves open.

    Returns:
        The poses, from 0 s or later.

    Raises:
        DataError: missing, malformed, or too large; or something that the file leaves open is not given.

    >>> read_skeleton("no.bvh")
    Traceback (most recent call last):
    tal_engine.errors.MissingDataError: no.bvh: no such BVH file
    """
    path, options = Path(path), options or SkeletonOptions()
    kind = path.suffix.lower()
    if kind == ".npz":
        return read_npz(path, options)
    if kind == ".csv":
        return read_table(path, options)
    if kind == ".bvh":
        joints, fps = read_bvh(path)
    elif kind == ".amc":
        joints, fps = read_amc(path), FPS
    else:
        raise DataError(f"{path}: not a skeleton file, which end in {', '.join(sorted(SKELETON_SUFFIXES))}")
    fps = options.fps or fps
    placed = turned(joints, options.axes or LAYOUTS["cmu31"].axes)
    if not np.isfinite(placed).all():
        raise DataError(f"{path}: a joint is farther away than numbers go")
    return Poses(placed, np.ones(placed.shape[:2], np.float32), np.arange(len(placed)) / fps)


def remarks(path: Path, options: SkeletonOptions, poses: Poses) -> list[str]:
    """List what was guessed or is missing in a skeleton file, for warnings."""
    found = []
    if path.suffix.lower() == ".amc" and not options.fps:
        found.append(f"AMC files do not say their frame rate; {FPS:g} a second are assumed (--skeleton fps=60)")
    seen = poses.visibility >= SEEN
    if not seen.any():
        found.append(f"no joint is seen in any of {len(poses)} frames: nobody is in it")
    elif not np.ptp(poses.joints[seen][:, 2]):
        found.append("points have no depth: features are those of a flat person, who turned away looks like another")
    return found
