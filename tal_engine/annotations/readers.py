"""Annotation files in the layouts of the field."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FeatureError
from ..records import Segment
from .npy import read_column
from .truth import AMBIGUOUS, AnnotatedVideo, Annotations, video

#: What an entry of the wrong form raises where it is taken apart; a whole number may be too large for a float.
MALFORMED = (KeyError, IndexError, TypeError, ValueError, OverflowError)


def read_annotations(path: str | Path, *, allow_pickle: bool = False) -> Annotations:
    """Read an annotation file or folder; its layout is recognised by what is in it.

    Args:
        path: a JSON file, a folder of THUMOS14's ``CLASS_test.txt`` files, or a folder of the W-TALC
            npy layout.
        allow_pickle: read the npy layout, whose files are pickles; only plain data is accepted.

    Raises:
        FeatureError: missing, of no known layout, or malformed; the message names the entry.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "segments.npy").exists():
            return _npy(path, allow_pickle)
        # The official archive has a folder for each subset.
        texts = sorted(path.glob("*_*.txt")) or sorted(path.glob("annotation_*/*_*.txt"))
        if texts:
            return _thumos(path, texts)
        raise FeatureError(f"{path}: neither segments.npy nor CLASS_SUBSET.txt files in this folder")
    document = read_json(path)
    if not isinstance(document, dict):
        raise FeatureError(f"{path}: is a JSON {type(document).__name__}, needs an object")
    if "database" in document:
        return _activitynet(path, document)
    if document and all(isinstance(v, dict) and "annotations" in v for v in document.values()):
        return _bmn(path, document)
    raise FeatureError(f"{path}: no known layout: neither a 'database' nor videos with 'annotations'")


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        FeatureError: missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except FileNotFoundError:
        raise FeatureError(f"{path}: no such annotation file") from None
    except (OSError, ValueError, RecursionError) as e:
        raise FeatureError(f"{path}: not JSON ({e})") from e


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two entries with one name, one would be lost in silence."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is there twice")
    return found


def _segments(found: Any) -> list[Segment]:
    """Segments of an entry's annotations; numbers may be texts (LACP's gt.json).

    Raises:
        ValueError: times that are not numbers or not 0 <= start <= end.
    """
    out = []
    for a in found:
        start, end = (float(v) for v in a["segment"])
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
            raise ValueError(f"segment {a['segment']} is not 0 <= start <= end")
        out.append(Segment(start, end, str(a["label"]), 1.0))
    return out


def _activitynet(path: Path, document: dict[str, Any]) -> Annotations:
    """``{"database": {name: {subset, duration, annotations: [{label, segment}]}}}``.

    An entry may have "fps", and "labels" of the whole video.
    """
    database = document["database"]
    if not isinstance(database, dict) or not database:
        raise FeatureError(f"{path}: needs a non-empty 'database' object")
    videos = {}
    for name, entry in database.items():
        try:
            found = _segments(entry["annotations"])
            duration, fps = float(entry.get("duration", 0.0)), float(entry.get("fps", 0.0))
            videos[name] = video(name, str(entry["subset"]), duration, found, entry.get("labels"), fps)
        except (*MALFORMED, AttributeError) as e:
            raise FeatureError(f"{path}: entry {name!r}: {e!r}") from e
    classes = document.get("classes", ())
    if not isinstance(classes, list | tuple) or not all(isinstance(c, str) for c in classes):
        raise FeatureError(f"{path}: 'classes' must be a list of names")
    return Annotations(path, videos, tuple(classes), "activitynet")


def _bmn(path: Path, document: dict[str, Any]) -> Annotations:
    """BMN's and mmaction2's form: videos at the top; subsets in video_info_new.csv beside it, if at all."""
    info = path.with_name("video_info_new.csv")
    subsets: dict[str, str] = {}
    if info.exists():
        try:
            with info.open(newline="", encoding="utf-8") as file:
                subsets = {row["video"]: row["subset"] for row in csv.DictReader(file)}
        except (KeyError, ValueError, OSError, csv.Error) as e:
            raise FeatureError(f"{info}: needs columns video and subset ({e!r})") from e
    videos = {}
    for name, entry in document.items():
        try:
            duration = float(entry.get("duration_second", entry.get("duration", 0.0)))
            subset = str(entry.get("subset", subsets.get(name, "unknown")))
            videos[name] = video(name, subset, duration, _segments(entry["annotations"]))
        except MALFORMED as e:
            raise FeatureError(f"{path}: entry {name!r}: {e!r}") from e
    return Annotations(path, videos, (), "bmn")


def _thumos(path: Path, texts: list[Path]) -> Annotations:
    """THUMOS14's text files: one a class and subset, lines of video, start and end in seconds."""
    found: dict[str, tuple[str, list[Segment]]] = {}
    classes = []
    for text in texts:
        match = re.fullmatch(r"(\w+?)_(test|val)", text.stem)
        if match is None:
            continue
        label, subset = match[1], {"val": "validation"}.get(match[2], match[2])
        classes += [label] if label != AMBIGUOUS else []
        for name, start, end in _thumos_lines(text):
            found.setdefault(name, (subset, []))[1].append(Segment(start, end, label, 1.0))
    if not found:
        raise FeatureError(f"{path}: no CLASS_test.txt or CLASS_val.txt with instances")
    videos = {name: video(name, subset, 0.0, segments) for name, (subset, segments) in sorted(found.items())}
    return Annotations(path, videos, tuple(sorted(set(classes))), "thumos14")


def _thumos_lines(text: Path) -> Iterator[tuple[str, float, float]]:
    try:
        lines = text.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as e:
        raise FeatureError(f"{text}: not a text file ({e})") from e
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _thumos_line(text, number, line)


def _thumos_line(text: Path, number: int, line: str) -> tuple[str, float, float]:
    fields = line.split()
    try:
        name, start, end = fields[0], float(fields[1]), float(fields[2])
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end and len(fields) == 3):
            raise ValueError("needs: video, start <= end")
    except (IndexError, ValueError) as e:
        raise FeatureError(f"{text}: line {number}: {line.strip()!r} ({e})") from e
    return name, start, end


#: Columns that a folder of the npy layout must have, and may have.
_COLUMNS = ("videoname", "subset", "segments", "labels", "duration")
_MORE_COLUMNS = ("url", "labels_all", "original_fps")


def _npy(path: Path, allow_pickle: bool) -> Annotations:
    """The W-TALC layout ("Thumos14reduced"): one npy a column; pickled lists of segments and labels."""
    if not allow_pickle:
        raise FeatureError(f"{path}: the npy layout is made of pickles; read it with allow_pickle (--allow-pickle)")
    names = [*_COLUMNS, *(n for n in _MORE_COLUMNS if (path / f"{n}.npy").exists())]
    columns = {n: read_column(path / f"{n}.npy") for n in names}
    count = len(columns["videoname"])
    short = [n for n, c in columns.items() if len(c) != count]
    if short:
        raise FeatureError(f"{path}: {short[0]}.npy has {len(columns[short[0]])} rows, videoname.npy {count}")
    doubtful = _ambiguous(path)
    videos: dict[str, AnnotatedVideo] = {}
    for i in range(count):
        v = _npy_row(path, {n: c[i] for n, c in columns.items()}, doubtful)
        if v.name in videos:
            raise FeatureError(f"{path}: video {v.name!r} is there twice")
        videos[v.name] = v
    classes = tuple(str(c) for c in read_column(path / "classlist.npy"))
    return Annotations(path, videos, classes, "w-talc npy")


def _npy_row(path: Path, row: dict[str, Any], doubtful: dict[str, list[tuple[float, float]]]) -> AnnotatedVideo:
    # ActivityNet's npy files number their videos; the name that others use is in the address.
    name = str(row["url"]).rpartition("v=")[2] if "url" in row else str(row["videoname"])
    try:
        pairs = zip(row["segments"], row["labels"], strict=True)
        found = _segments([{"segment": s, "label": label} for s, label in pairs])
        found += [Segment(s, e, AMBIGUOUS, 1.0) for s, e in doubtful.get(name, ())]
        duration, fps = float(_first(row["duration"])), float(_first(row.get("original_fps", 0.0)))
        return video(name, str(row["subset"]), duration, found, row.get("labels_all"), fps)
    except MALFORMED as e:
        raise FeatureError(f"{path}: video {name!r}: {e!r}") from e


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _ambiguous(path: Path) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for text in path.glob("Ambiguous_*.txt"):
        for name, start, end in _thumos_lines(text):
            found.setdefault(name, []).append((start, end))
    return found
