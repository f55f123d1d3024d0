"""Features of the videos of a fit: made once and kept in its folder, or made before; some may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._util.names import file_names
from ...annotations.labels import VideoLabels
from ...errors import DataError, TALError
from ...features import differences, load_features
from ...inference.extraction import Extractor, extract_all
from ...records import Features
from .options import Bar


@dataclass(frozen=True)
class Extracted:
    """Features by the name of the video, and why some have none."""

    features: dict[str, Features]
    failed: dict[str, str]
    warnings: dict[str, list[str]]


def extracted(
    videos: Sequence[VideoLabels], folder: Path, extractor: Extractor, bar: Bar, workers: int = 2
) -> Extracted:
    """Make features of videos: those that are there and made of the same are kept.

    Raises:
        DataError: no video can be read.
    """
    names = {v.path: v.name for v in videos if v.path is not None}
    paths = list(names)
    shares: dict[Path, float] = {}

    def progress(path: Path, share: float) -> None:
        shares[path] = share
        done = sum(s >= 1 for s in shares.values())
        bar("features", round(100 * sum(shares.values())), 100 * len(paths), f"{done}/{len(paths)} videos")

    outcome = extract_all(paths, folder, extractor, workers=workers, progress=progress)
    failed = {names[p]: str(e) for p, e in outcome.failed.items()}
    if len(failed) == len(paths):
        raise DataError(f"no video can be read; the first: {next(iter(failed.values()), 'there are none')}")
    files = dict(zip(paths, file_names(paths, folders=True), strict=True))
    made = {names[p]: load_features(folder / f"{files[p]}.npz") for p in paths if names[p] not in failed}
    warned = {names[p]: list(notes) for p, notes in outcome.warnings.items()}
    return Extracted(made, failed, warned)


def stored(videos: Sequence[VideoLabels], folder: Path) -> Extracted:
    """Read features that were made before: ``FOLDER/NAME.npz`` of `tal features extract`.

    Raises:
        DataError: no video has any.
    """
    made, failed = {}, {}
    for v in videos:
        path = folder / f"{v.name}.npz"
        try:
            found = load_features(path)
        except TALError as e:
            failed[v.name] = str(e)
            continue
        if found.duration > 0:
            made[v.name] = found
        else:
            failed[v.name] = f"{path}: the video's duration is {found.duration} s, must be above 0"
    if not made:
        raise DataError(f"{folder}: no video has features; the first: {next(iter(failed.values()), 'there are none')}")
    return Extracted(made, failed, {})


def record_of(features: Mapping[str, Features]) -> dict[str, Any]:
    """Give what made all of these features; {} where one does not say.

    Raises:
        DataError: two were made of something else.
    """
    first = next(iter(features))
    for name, one in features.items():
        if not one.contract:
            return {}
        if differ := differences(one.contract, features[first].contract):
            what, found, wanted = differ[0]
            raise DataError(f"{what} is {found!r} in the features of {name}, {wanted!r} in those of {first}")
    return dict(features[first].contract)
