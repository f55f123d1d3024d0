"""Point labels: one moment of each instance, with its class (point-level supervision)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .._util.untrusted import read_csv, read_text
from ..errors import DataError
from .entries import Findings, shown, text
from .entries import number as finite
from .readers import read_json
from .truth import AnnotatedVideo


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A moment of an action, in seconds of the video."""

    seconds: float
    label: str


#: Point labels of each video, in the order of time.
Points = Mapping[str, tuple[Point, ...]]

#: Where in an instance a drawn point lies: anywhere, or around its middle.
Draw = Literal["uniform", "gaussian"]
#: Standard deviation of "gaussian", in durations: both ends are three of them away (our choice).
_DEVIATION = 1 / 6


def read_points(
    path: str | Path, fps: Mapping[str, float] | None = None, *, annotator: int | None = None, seed: int = 0
) -> dict[str, tuple[Point, ...]]:
    """Read point labels.

    Args:
        path: LACP's ``.csv`` (columns class, video_id, point: frames of the original video); SF-Net's ``.txt``
            (video, seconds, class); or a folder of the latter, one file an annotator.
        fps: frames a second of the original videos, for the csv (LACP's fps_dict.json).
        annotator: which file of a folder, from 1; None draws one for each video, as SF-Net does.
        seed: of that draw.

    Raises:
        DataError: missing or malformed, a video of the csv without a frame rate, or a point that is there twice.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path, annotator, seed)
    rows = {".csv": lambda: _csv(path, fps or {}), ".txt": lambda: _txt(path)}
    if path.suffix not in rows:
        raise DataError(f"{path}: point labels are a .csv, a .txt or a folder of .txt files")
    return _sorted(rows[path.suffix](), path)


def read_fps(path: str | Path) -> dict[str, float]:
    """Read frames per second by video from a JSON object (LACP's fps_dict.json).

    Raises:
        DataError: missing or malformed.
    """
    path = Path(path)
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: needs an object of video names and frames a second")
    findings, found = Findings(path), {}
    for name, value in document.items():
        try:
            found[name] = finite(value)
            if found[name] <= 0:
                raise ValueError("must be positive")
        except ValueError as e:
            findings.wrong.append(f"{name!r} has {shown(value)} frames a second, {e}")
    findings.settle()
    return found


def points_outside(points: Points, videos: Iterable[AnnotatedVideo]) -> list[tuple[str, Point]]:
    """List the points that lie in no instance of their class; both ends of an instance belong to it."""
    out = []
    for v in videos:
        for p in points.get(v.name, ()):
            if not any(s.label == p.label and s.start <= p.seconds <= s.end for s in v.instances):
                out.append((v.name, p))
    return out


def draw_points(videos: Iterable[AnnotatedVideo], how: Draw, seed: int = 0) -> dict[str, tuple[Point, ...]]:
    """Draw one point in each instance, with a seed; a video's points depend on its name, not on the other videos.

    Point supervision is studied in this way where nobody has clicked: the segments are read for this alone.
    """
    out = {}
    for v in videos:
        rng = np.random.default_rng([seed, zlib.crc32(v.name.encode())])
        n = len(v.instances)
        at = rng.uniform(size=n) if how == "uniform" else np.clip(rng.normal(0.5, _DEVIATION, n), 0, 1)
        points = (Point(float(s.start + x * (s.end - s.start)), s.label) for s, x in zip(v.instances, at, strict=True))
        out[v.name] = tuple(sorted(points))
    return out


def _sorted(rows: Iterable[tuple[str, Point]], path: Path) -> dict[str, tuple[Point, ...]]:
    found: dict[str, list[Point]] = {}
    for video, point in rows:
        if point in found.setdefault(video, []):
            raise DataError(f"{path}: {video} has the point {point.seconds:g} s {point.label} twice")
        found[video].append(point)
    if not found:
        raise DataError(f"{path}: holds no point labels")
    return {video: tuple(sorted(of)) for video, of in found.items()}


def _folder(path: Path, annotator: int | None, seed: int) -> dict[str, tuple[Point, ...]]:
    files = sorted(path.glob("*.txt"))
    if not files:
        raise DataError(f"{path}: no .txt files of point labels in this folder")
    if annotator is not None and not 1 <= annotator <= len(files):
        raise DataError(f"{path}: annotator is {annotator}, must be in 1..{len(files)}")
    if annotator is not None:
        return _sorted(_txt(files[annotator - 1]), files[annotator - 1])
    by_file = [_sorted(_txt(f), f) for f in files]
    out = {}
    for video in sorted(set().union(*by_file)):
        having = [of[video] for of in by_file if video in of]
        rng = np.random.default_rng([seed, zlib.crc32(video.encode())])  # of the name: not of what else is there
        out[video] = having[int(rng.integers(len(having)))]
    return out


def _csv(path: Path, fps: Mapping[str, float]) -> list[tuple[str, Point]]:
    findings, out = Findings(path), []
    for number, row in read_csv(path, "list of point labels", required=("class", "video_id", "point")):
        try:
            video, frame = text(row["video_id"], "video_id"), finite(row["point"])
            if not fps.get(video, 0.0) > 0:
                raise ValueError(f"points are frames, and video {video!r} has no frame rate")
            out.append((video, _point(frame / fps[video], row["class"])))
        except ValueError as e:
            findings.wrong.append(f"line {number}: {e}")
    findings.settle()
    return out


def _txt(path: Path) -> list[tuple[str, Point]]:
    findings, out = Findings(path), []
    for number, line in enumerate(read_text(path, "list of point labels").splitlines(), 1):
        if not line.strip():
            continue
        try:
            video, seconds, label = (part.strip() for part in line.split(","))
            out.append((video, _point(finite(seconds), label)))
        except ValueError as e:
            findings.wrong.append(f"line {number}: {line.strip()[:80]!r} is not: video, seconds, class ({e})")
    findings.settle()
    return out


def _point(seconds: float, label: object) -> Point:
    if not (seconds >= 0 and isinstance(label, str) and label):
        raise ValueError(f"point {seconds} of class {label!r} is not 0 or more seconds")
    return Point(seconds, label)
