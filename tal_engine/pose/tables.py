"""Landmarks in arrays (.npz) and tables (.csv): points of a layout, frame by frame.

An ``.npz`` has ``joints`` (or ``keypoints``, ``landmarks``, ``points``), [T, K, 2 or 3], or [T, K, 4] with visibility
last; and may have ``visibility`` (or ``scores``, ``confidence``) [T, K], ``times`` [T] seconds or ``fps``, ``layout``
and ``axes``.

A ``.csv`` has a row a frame, with columns ``NAME_x``, ``NAME_y``, ``NAME_z``, ``NAME_visibility`` (or ``x1``, ``y1``,
``z1``, ``v1`` for points by number from 1), or a row a point, with columns ``landmark``, ``x``, ``y``, ``z``,
``visibility``; and may have ``time`` (seconds) or ``frame``, and ``subject``. Names are the layout's, MediaPipe's
(LEFT_SHOULDER) or numbers from 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._util.arrays import NUMBERS, ArrayFile
from .._util.untrusted import guarded, read_csv
from ..errors import DataError
from .skeleton import LAYOUTS, Poses, canonical
from .skeleton_options import SkeletonOptions

Floats = NDArray[np.float64]

#: Names of arrays of joints.
POINTS, _SEEN = ("joints", "keypoints", "landmarks", "points"), ("visibility", "scores", "confidence")
#: Layouts that their number of points tells; COCO and Human3.6M both have 17.
_BY_COUNT = {15: "canonical", 18: "figure18", 20: "kinect20", 25: "openpose25", 31: "cmu31", 33: "mediapipe"}
_COLUMN = re.compile(r"(.+)[_.](x|y|z|visibility|score|confidence|v|c)", re.IGNORECASE)
_NUMBERED = re.compile(r"(x|y|z|v|c)_?(\d+)", re.IGNORECASE)
_AXIS = {"x": 0, "y": 1, "z": 2, "visibility": 3, "score": 3, "confidence": 3, "v": 3, "c": 3}
#: What columns of seconds, of points in rows of their own, and of persons may be called.
CLOCKS = ("time", "seconds", "timestamp", "t")
_POINTS_IN_ROWS, _PERSONS = ("landmark", "joint", "keypoint", "point"), ("subject", "person", "track")
#: Most frames of a table.
FRAME_LIMIT = 2_000_000


def read_npz(path: Path, options: SkeletonOptions) -> Poses:
    """Read landmarks of an ``.npz``; see the module.

    Raises:
        DataError: missing, malformed, or something that it leaves open is not given.
    """
    what = "skeleton file (.npz)"
    with ArrayFile(path, what, DataError) as file:
        names = file.names or ()
        found = {n: file.read(n, NUMBERS + "U") for n in names}
    with guarded(path, what):
        name = next((n for n in POINTS if n in found), None)
        if name is None or found[name].ndim != 3 or found[name].shape[2] not in (2, 3, 4) or not len(found[name]):
            shapes = ", ".join(f"{n} {list(a.shape)}" for n, a in found.items())
            raise DataError(f"{path}: needs joints [T, K, 2, 3 or 4], it has {shapes or 'nothing'}")
        points = np.asarray(found[name], np.float64)
        seen = next((np.asarray(found[n], np.float64) for n in _SEEN if n in found), None)
        if seen is None and points.shape[2] == 4:
            seen = points[..., 3]
        if seen is not None and seen.shape != points.shape[:2]:
            raise DataError(f"{path}: visibility is {list(seen.shape)}, must be {list(points.shape[:2])} as the joints")
        times = np.asarray(found["times"], np.float64) if "times" in found else None
        fps = float(found["fps"]) if "fps" in found else 0.0
        said = {n: str(found[n]) for n in ("layout", "axes") if n in found}
        return _poses(path, points[..., :3], seen, times, fps, options, said.get("layout", ""), said.get("axes", ""))


def _poses(
    path: Path,
    points: Floats,
    seen: Floats | None,
    times: Floats | None,
    fps: float,
    options: SkeletonOptions,
    layout: str = "",
    axes: str = "",
    frames: Floats | None = None,
) -> Poses:
    """Put the parts of a file together; `frames`: their numbers where not every one has a row."""
    layout = options.layout or layout or _BY_COUNT.get(points.shape[1], "")
    if layout not in LAYOUTS or len(LAYOUTS[layout].names) != points.shape[1]:
        fit = ", ".join(n for n, known in LAYOUTS.items() if len(known.names) == points.shape[1])
        raise DataError(
            f"{path}: layout is {layout!r}, {points.shape[1]} points a frame are {fit or 'no layout that is known'}; "
            "say which: --skeleton layout=NAME"
        )
    rate = options.fps or fps
    if times is None or options.fps:
        if not 0 < rate <= 1000:
            raise DataError(f"{path}: does not say its frame rate: --skeleton fps=30")
        times = (np.arange(len(points)) if frames is None else frames) / rate
    if times.shape != (len(points),) or not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        raise DataError(f"{path}: its times must be one a frame, finite and increasing")
    if times[0] < 0 or len(points) > FRAME_LIMIT:
        raise DataError(
            f"{path}: has {len(points)} frames from {times[0]:g} s, at most {FRAME_LIMIT} from 0 on are read"
        )
    joints, visible = canonical(points, seen, layout, options.axes or axes or None)
    return Poses(joints, visible, times)


def read_table(path: Path, options: SkeletonOptions) -> Poses:
    """Read landmarks of a ``.csv``; see the module.

    Raises:
        DataError: as `read_npz`, or a value is no number; the message names the line.
    """
    rows = read_csv(path, "CSV of landmarks", DataError)
    if not rows:
        raise DataError(f"{path}: has no rows")
    header = list(rows[0][1])
    lower = {h.strip().lower(): h for h in header}
    rows = _of_subject(path, rows, person_column(header), options.subject)
    clock = next((lower[n] for n in CLOCKS if n in lower), None)
    point = next((lower[n] for n in _POINTS_IN_ROWS if n in lower), None)
    if point is not None:
        return _long(path, rows, lower, clock, point, options)
    columns = _columns(header)
    names = list(dict.fromkeys(name for name, _ in columns.values()))
    layout, order = _order(path, names, options)
    values = np.full((len(rows), len(LAYOUTS[layout].names), 4), np.nan)
    for i, (line, row) in enumerate(rows):
        for column, (name, axis) in columns.items():
            values[i, order[name], axis] = _number(path, line, column, row[column])
    times, frames = (
        None if c is None else np.array([_number(path, line, c, row[c]) for line, row in rows])
        for c in (clock, lower.get("frame"))
    )
    return _from_values(path, values, {a for _, a in columns.values()}, times, options, layout, frames)


def _from_values(
    path: Path,
    values: Floats,
    axes: set[int],
    times: Floats | None,
    options: SkeletonOptions,
    layout: str,
    frames: Floats | None,
) -> Poses:
    if not {0, 1} <= axes:
        raise DataError(f"{path}: needs columns of x and y")
    points = values[..., :3] if 2 in axes else values[..., :2]
    return _poses(path, points, values[..., 3] if 3 in axes else None, times, 0.0, options, layout, frames=frames)


def _of_subject(
    path: Path, rows: list[tuple[int, dict[str, str | None]]], column: str | None, wanted: str
) -> list[tuple[int, dict[str, str | None]]]:
    """Pick the rows of one person."""
    if column is None:
        return rows
    there = list(dict.fromkeys(str(row[column]) for _, row in rows))
    if not wanted and len(there) == 1:
        return rows
    if wanted not in there:
        shown = ", ".join(there[:10])
        raise DataError(f"{path}: shows {len(there)} persons ({shown}): say which: --skeleton subject={there[0]}")
    return [r for r in rows if str(r[1][column]) == wanted]


def person_column(header: Sequence[str]) -> str | None:
    """Return the column of a table of landmarks that says whose they are.

    Args:
        header: names of the columns.
    """
    lower = {h.strip().lower(): h for h in header}
    return next((lower[n] for n in _PERSONS if n in lower), None)


def holds_points(header: Sequence[str]) -> bool:
    """Whether a table has columns of points, x and y at least.

    Args:
        header: names of the columns.
    """
    lower = {h.strip().lower() for h in header}
    in_rows = bool(lower & set(_POINTS_IN_ROWS))
    return {0, 1} <= ({_AXIS[n] for n in lower if n in _AXIS} if in_rows else {a for _, a in _columns(header).values()})


def _columns(header: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return the columns that hold points: name of the point, and which number of it."""
    found: dict[str, tuple[str, int]] = {}
    for column in header:
        text = column.strip()
        if match := _NUMBERED.fullmatch(text):
            found[column] = (str(int(match[2][:6]) - 1), _AXIS[match[1].lower()])
        elif match := _COLUMN.fullmatch(text):
            found[column] = (match[1], _AXIS[match[2].lower()])
    return found


def _order(path: Path, names: list[str], options: SkeletonOptions) -> tuple[str, dict[str, int]]:
    """Find the layout that has all these points, and where each is in it."""
    numbers = all(n.isdigit() for n in names)
    candidates = [options.layout] if options.layout else list(LAYOUTS)
    if numbers and not options.layout:
        candidates = [_BY_COUNT[len(names)]] if len(names) in _BY_COUNT else []
    for layout in candidates:
        known = LAYOUTS[layout].names
        index = {str(i): i for i in range(len(known))} if numbers else {_plain(n): i for i, n in enumerate(known)}
        order = {n: index.get(n if numbers else _plain(n), -1) for n in names}
        if order and min(order.values()) >= 0:
            return layout, order
    shown = ", ".join(names[:6]) or "none"
    raise DataError(
        f"{path}: its points ({len(names)}: {shown}...) are of no layout that is known: --skeleton layout=NAME"
    )


def _plain(name: str) -> str:
    """Reduce the name of a point: LEFT_SHOULDER, LeftShoulder and shoulder_l are the same; so is the foot's index."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    side = {"left": "l", "right": "r"}
    words = [side.get(w, w) for w in words if w != "outer" or "eye" in words]
    words = [w for w in words if not (w == "index" and "foot" in words)]
    return "_".join(sorted(words))


def _long(
    path: Path,
    rows: list[tuple[int, dict[str, str | None]]],
    lower: dict[str, str],
    clock: str | None,
    point: str,
    options: SkeletonOptions,
) -> Poses:
    """Read a table with a row for each point."""
    if (frame := clock or lower.get("frame")) is None:
        raise DataError(f"{path}: needs a column time or frame beside {point!r}")
    axes = {lower[n]: axis for n, axis in _AXIS.items() if n in lower}
    names = list(dict.fromkeys(str(row[point]).strip() for _, row in rows))
    layout, order = _order(path, names, options)
    moments = np.array([_number(path, line, frame, row[frame]) for line, row in rows])
    every, at = np.unique(moments, return_inverse=True)
    values = np.full((len(every), len(LAYOUTS[layout].names), 4), np.nan)
    for i, (line, row) in zip(at, rows, strict=True):
        for column, axis in axes.items():
            values[i, order[str(row[point]).strip()], axis] = _number(path, line, column, row[column])
    return _from_values(path, values, set(axes.values()), every if clock else None, options, layout,
                        None if clock else every)  # fmt: skip


def _number(path: Path, line: int, column: str, text: str | None) -> float:
    """Parse a value; an empty one is a point that was not seen."""
    if text is None or not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}, line {line}: {column} is {text[:40]!r}, must be a number") from None
