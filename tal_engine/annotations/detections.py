"""Detection files in the layouts of the field."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import FeatureError
from ..tables import Table
from .readers import MALFORMED, read_json

Row = tuple[str, str, float, float, float]

#: Class numbers of THUMOS14's detection task.
THUMOS14_CLASSES = {
    7: "BaseballPitch", 9: "BasketballDunk", 12: "Billiards", 21: "CleanAndJerk", 22: "CliffDiving",
    23: "CricketBowling", 24: "CricketShot", 26: "Diving", 31: "FrisbeeCatch", 33: "GolfSwing", 36: "HammerThrow",
    40: "HighJump", 45: "JavelinThrow", 51: "LongJump", 68: "PoleVault", 79: "Shotput", 85: "SoccerPenalty",
    92: "TennisSwing", 93: "ThrowDiscus", 97: "VolleyballSpiking",
}  # fmt: skip


def read_detections(path: str | Path) -> Table:
    """Read a detection file.

    By its ending: ``.json`` ActivityNet results (``{"results": {video: [{label, score,
    segment}]}}``), ``.txt`` THUMOS14 (video, start, end, class number, score), ``.csv``
    (``video,label,start,end,score``), ``.jsonl`` (what ``tal localize`` writes).

    Raises:
        FeatureError: missing or malformed; the message names the row.
    """
    path = Path(path)
    readers = {".json": _activitynet, ".txt": _thumos, ".csv": _csv, ".jsonl": _jsonl}
    if path.suffix not in readers:
        raise FeatureError(f"{path}: cannot tell the form of a {path.suffix!r} file; known: {', '.join(readers)}")
    if not path.is_file():
        raise FeatureError(f"{path}: no such detection file")
    try:
        return Table.of(readers[path.suffix](path), source=str(path))
    except UnicodeDecodeError as e:
        raise FeatureError(f"{path}: not a text file ({e})") from e


def align_names(detections: Table, videos: tuple[str, ...]) -> tuple[Table, str]:
    """Detections under the truth's video names, where the two differ by ActivityNet's ``v_`` alone.

    Returns:
        The detections, and what was done about their names ("" for nothing).
    """
    known = set(videos)
    if not detections.videos or known & set(detections.videos):
        return detections, ""
    for what, rename in (
        ("'v_' was put before", lambda n: f"v_{n}"),
        ("'v_' was taken from", lambda n: n.removeprefix("v_")),
    ):
        names = tuple(rename(n) for n in detections.videos)
        if known & set(names):
            return replace(detections, videos=names), f"{what} the names of the detections' videos"
    return detections, ""


def _activitynet(path: Path) -> Iterator[Row]:
    document = read_json(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise FeatureError(f"{path}: needs a 'results' object")
    for video, found in results.items():
        if not isinstance(found, list):
            raise FeatureError(f"{path}: video {video!r}: needs a list of detections")
        for i, d in enumerate(found):
            try:
                start, end = d["segment"]
                yield str(video), str(d["label"]), float(start), float(end), float(d["score"])
            except MALFORMED as e:
                raise FeatureError(f"{path}: video {video!r}, detection {i}: {e!r}") from e


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _thumos(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        try:
            video, start, end, label, score = line.split()
            yield video.removesuffix(".mp4"), THUMOS14_CLASSES[int(label)], float(start), float(end), float(score)
        except (KeyError, ValueError) as e:
            raise FeatureError(f"{path}: line {number}: {line.strip()!r} ({e!r})") from e


def _csv(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = {"video", "label", "start", "end", "score"} - set(rows.fieldnames or ())
        if missing:
            raise FeatureError(f"{path}: column {sorted(missing)[0]!r} is missing")
        for row in rows:
            try:
                yield _stem(row["video"]), row["label"], float(row["start"]), float(row["end"]), float(row["score"])
            except (TypeError, ValueError) as e:
                raise FeatureError(f"{path}: line {rows.line_num}: {e!r}") from e


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        try:
            d: Any = json.loads(line)
            yield _stem(d["source"]), str(d["label"]), float(d["start_time"]), float(d["end_time"]), float(d["score"])
        except (*MALFORMED, RecursionError) as e:
            raise FeatureError(f"{path}: line {number}: {e!r}") from e


def _stem(source: str) -> str:
    return Path(source).stem
