"""Annotation files in the layouts of the field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .._util import untrusted
from ..errors import DataError
from ..records import Segment
from .class_numbers import class_list_of
from .entries import Findings, entry_of, interval, shown
from .npy import read_column
from .truth import AMBIGUOUS, AnnotatedVideo, Annotations, video


def read_annotations(path: str | Path, *, allow_pickle: bool = False) -> Annotations:
    """Read an annotation file or folder; its layout is recognised by what is in it.

    Args:
        path: a JSON file, a folder of THUMOS14's ``CLASS_test.txt`` files, or a folder of the W-TALC
            npy layout.
        allow_pickle: read the npy layout, whose files are pickles; only plain data is accepted.

    Raises:
        DataError: missing, of no known layout, or malformed; the message names the entry.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "segments.npy").exists():
            return _npy(path, allow_pickle)
        # The official archive has a folder for each subset.
        texts = sorted(path.glob("*_*.txt")) or sorted(path.glob("annotation_*/*_*.txt"))
        if texts:
            return _thumos(path, texts)
        raise DataError(f"{path}: neither segments.npy nor CLASS_SUBSET.txt files in this folder")
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: is a JSON {type(document).__name__}, needs an object")
    if "database" in document:
        return _activitynet(path, document)
    if any(isinstance(v, dict) and "annotations" in v for v in document.values()):
        return _bmn(path, document)
    raise DataError(f"{path}: no known layout: neither a 'database' nor videos with 'annotations'")


def read_json(path: Path) -> Any:
    """Read a JSON file, with or without a byte order mark. NaN passes: readers name the entry that has it.

    Raises:
        DataError: missing, not JSON, or two entries of one name.
    """
    return untrusted.read_json(path, "annotation file", finite=False)


def _activitynet(path: Path, document: dict[str, Any]) -> Annotations:
    """Read ``{"database": {name: {subset, duration, annotations: [{label, segment}]}}}``.

    An entry may have "fps", and "labels" of the whole video.
    """
    database = document["database"]
    if not isinstance(database, dict) or not database:
        raise DataError(f"{path}: needs a non-empty 'database' object")
    classes = document.get("classes", ())
    if not isinstance(classes, list | tuple) or not all(isinstance(c, str) for c in classes):
        raise DataError(f"{path}: 'classes' must be a list of names")
    findings = Findings(path)
    videos = {name: entry_of(name, entry, findings) for name, entry in database.items()}
    return _settled(path, videos, findings, tuple(classes), "activitynet")


def _settled(
    path: Path, videos: dict[str, AnnotatedVideo | None], findings: Findings, classes: tuple[str, ...], form: str
) -> Annotations:
    """Build the annotations of the videos, once nothing is wrong with any of them."""
    notes = findings.settle()
    return Annotations(path, {n: v for n, v in videos.items() if v is not None}, classes, form, notes)


def _bmn(path: Path, document: dict[str, Any]) -> Annotations:
    """Read BMN's and mmaction2's format: videos at the top; subsets in video_info_new.csv beside it, if at all."""
    info = path.with_name("video_info_new.csv")
    subsets: dict[str | None, str | None] = {}
    if info.exists():
        rows = untrusted.read_csv(info, "table of videos", required=("video", "subset"))
        subsets = {row["video"]: row["subset"] for _, row in rows}
    findings = Findings(path)
    videos: dict[str, AnnotatedVideo | None] = {}
    for name, entry in document.items():
        if isinstance(entry, dict) and "duration_second" in entry:
            entry = {**entry, "duration": entry["duration_second"]}
        videos[name] = entry_of(name, entry, findings, subsets.get(name, "unknown"))
    return _settled(path, videos, findings, (), "bmn")


def _thumos(path: Path, texts: list[Path]) -> Annotations:
    """Read THUMOS14's text files: one per class and subset, with lines of video, start and end in seconds."""
    found: dict[str, tuple[str, list[Segment]]] = {}
    classes = []
    for file in texts:
        match = re.fullmatch(r"(\w+?)_(test|val)", file.stem)
        if match is None:
            continue
        label, subset = match[1], {"val": "validation"}.get(match[2], match[2])
        classes += [label] if label != AMBIGUOUS else []
        for name, start, end in _thumos_lines(file):
            found.setdefault(name, (subset, []))[1].append(Segment(start, end, label, 1.0))
    if not found:
        raise DataError(f"{path}: no CLASS_test.txt or CLASS_val.txt with instances")
    videos = {name: video(name, subset, 0.0, segments) for name, (subset, segments) in sorted(found.items())}
    return Annotations(path, videos, tuple(sorted(set(classes))), "thumos14", numbers=class_list_of(path))


def _thumos_lines(file: Path) -> list[tuple[str, float, float]]:
    """Parse video, start and end of each line.

    Raises:
        DataError: naming every malformed line.
    """
    findings, out = Findings(file), []
    for number, line in enumerate(untrusted.read_text(file, "list of instances").splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, *times = line.split()
            out.append((name, *interval(times)))
        except ValueError as e:
            findings.wrong.append(f"line {number}: {line.strip()[:80]!r} ({e})")
    findings.settle()
    return out


#: Columns that a folder of the npy layout must have, and may have.
_COLUMNS = ("videoname", "subset", "segments", "labels", "duration")
_MORE_COLUMNS = ("url", "labels_all", "original_fps")


def _npy(path: Path, allow_pickle: bool) -> Annotations:
    """Read the W-TALC layout ("Thumos14reduced"): one npy per column; pickled lists of segments and labels."""
    if not allow_pickle:
        raise DataError(f"{path}: the npy layout is made of pickles; read it with allow_pickle (--allow-pickle)")
    names = [*_COLUMNS, *(n for n in _MORE_COLUMNS if (path / f"{n}.npy").exists())]
    columns = {n: read_column(path / f"{n}.npy") for n in names}
    count = len(columns["videoname"])
    short = [n for n, c in columns.items() if len(c) != count]
    if short:
        raise DataError(f"{path}: {short[0]}.npy has {len(columns[short[0]])} rows, videoname.npy {count}")
    doubtful, findings = _ambiguous(path), Findings(path)
    videos: dict[str, AnnotatedVideo | None] = {}
    for i in range(count):
        name, made = _npy_row({n: c[i] for n, c in columns.items()}, doubtful, findings)
        if name in videos:
            findings.wrong.append(f"entry {name!r} is there twice")
        videos[name] = made
    classes = tuple(str(c) for c in read_column(path / "classlist.npy"))
    return _settled(path, videos, findings, classes, "w-talc npy")


def _npy_row(
    row: dict[str, Any], doubtful: dict[str, list[tuple[float, float]]], findings: Findings
) -> tuple[str, AnnotatedVideo | None]:
    # ActivityNet's npy files number their videos; the name that others use is in the address.
    name = str(row["url"]).rpartition("v=")[2] if "url" in row else str(row["videoname"])
    segments, labels = row["segments"], row["labels"]
    if not (isinstance(segments, list) and isinstance(labels, list) and len(segments) == len(labels)):
        findings.wrong.append(f"entry {name!r}: segments {shown(segments)} and labels {shown(labels)} are no two lists")
        return name, None
    items = [{"segment": s, "label": label} for s, label in zip(segments, labels, strict=True)]
    items += [{"segment": s, "label": AMBIGUOUS} for s in doubtful.get(name, ())]
    more = {"duration": _first(row["duration"]), "fps": _first(row.get("original_fps", 0.0))}
    entry = {"subset": row["subset"], "labels": row.get("labels_all"), "annotations": items, **more}
    return name, entry_of(name, entry, findings)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _ambiguous(path: Path) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for file in path.glob("Ambiguous_*.txt"):
        for name, start, end in _thumos_lines(file):
            found.setdefault(name, []).append((start, end))
    return found
