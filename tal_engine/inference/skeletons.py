"""Skeleton files in the place of videos: the same features, and nothing to decode."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._util.names import MOTION_SUFFIXES
from ..errors import UsageError
from ..pose.features import POSE_SNIPPETS, STREAM
from ..pose.files import SKELETON_SUFFIXES
from ..pose.skeleton_options import SkeletonOptions
from ..pose.windows import pose_contract
from .extraction import Extraction, Extractor
from .motion import motion_features


@dataclass(frozen=True)
class SkeletonExtractor(Extractor):
    """Makes pose features of skeleton files, and hands videos on to the encoders that it was made with, if any."""

    skeletons: SkeletonOptions = field(default_factory=SkeletonOptions)

    @property
    def contract(self) -> dict[str, Any]:
        """What makes these features: that of the encoders, where there are some."""
        return super().contract if self.encoders else pose_contract(self.snippet)

    def __call__(self, path: Path, progress: Callable[[float, float], None] | None = None) -> Extraction:
        """Compute the features of a skeleton file, or of a video.

        Raises:
            DataError: a skeleton file cannot be read.
            VideoError: a video cannot be read, or either is too long.
        """
        if path.suffix.lower() not in SKELETON_SUFFIXES:
            return super().__call__(path, progress)
        began = time.perf_counter()
        features, said = motion_features(path, self.snippet, self.limits, self.skeletons)
        if progress is not None:
            progress(features.duration, features.duration)
        return Extraction(features, {"encode": time.perf_counter() - began}, said)


def skeleton_extractor(limits: Any, options: SkeletonOptions, extractor: Extractor | None = None) -> SkeletonExtractor:
    """Create an extractor for skeleton files, and for the videos of another extractor.

    Raises:
        UsageError: the other one makes other streams too, which a skeleton does not have.
    """
    if extractor is None:
        return SkeletonExtractor(POSE_SNIPPETS, (), limits=limits, skeletons=options)
    others = [e.spec.stream for e in extractor.encoders if e.spec.stream != STREAM]
    if others:
        raise UsageError(f"skeleton files give the stream {STREAM!r} only, {others[0]!r} is asked for too")
    return SkeletonExtractor(extractor.snippet, extractor.encoders, limits=limits, skeletons=options)


def skeletons_in(sources: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Separate skeleton files from sources of videos.

    In a folder, ``.bvh`` and ``.amc`` are skeletons; ``.npz`` and ``.csv`` are where it has neither these nor anything
    else but such files, since beside videos they are features and labels. An ``.asf`` beside an ``.amc`` belongs to it,
    although videos may end so too.

    Args:
        sources: files and folders.

    Returns:
        Skeleton files in order, and the sources that remain; a folder of skeletons is none of them.
    """
    found: list[Path] = []
    rest: list[Path] = []
    for source in sources:
        if not source.is_dir():
            (found if source.suffix.lower() in SKELETON_SUFFIXES else rest).append(source)
            continue
        files = [p for p in sorted(source.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        bodies = [p for p in files if p.suffix.lower() in MOTION_SUFFIXES]
        others = [p for p in files if p.suffix.lower() not in SKELETON_SUFFIXES | {".asf", ".txt", ".md"}]
        if not bodies and not others:
            bodies = [p for p in files if p.suffix.lower() in SKELETON_SUFFIXES]
        found += bodies
        if others or not bodies:
            rest.append(source)
    return list(dict.fromkeys(found)), rest
