"""Detection files in the layouts of the field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .._util.names import without_ending
from .._util.untrusted import parse_json, read_csv, read_text
from ..errors import DataError
from ..events import Event
from .class_numbers import ClassNumbers, numbering
from .entries import Findings, shown, text
from .readers import read_json
from .tables import Table

Row = tuple[str, str, float, float, float]


def read_detections(path: str | Path, *, classes: ClassNumbers | None = None, score_key: str = "score") -> Table:
    """Read a detection file.

    By its ending: ``.json`` ActivityNet results (``{"results": {video: [{label, score,
    segment}]}}``), ``.txt`` THUMOS14 (video, start, end, class number, score), ``.csv``
    (``video,label,start,end,score``), ``.jsonl`` (what ``tal localize`` writes).

    Args:
        path: the file.
        classes: what the class numbers of a ``.txt`` file mean, such as the truth's `Annotations.numbers`. Without it
            they must fit one of THUMOS14's two numberings only.
        score_key: the key, or the column, that holds the scores; not for ``.txt``.

    Raises:
        DataError: missing or malformed; the message names every row that is, up to a number of them.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path, Findings], Iterator[Row]]] = {
        ".json": partial(_activitynet, score_key=score_key),
        ".txt": partial(_thumos, classes=classes),
        ".csv": partial(_csv, score_key=score_key),
        ".jsonl": partial(_jsonl, score_key=score_key),
    }
    if path.suffix not in readers:
        raise DataError(f"{path}: cannot tell the form of a {path.suffix!r} file; known: {', '.join(readers)}")
    if not path.exists():
        raise DataError(f"{path}: no such detection file").missing(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder, not a detection file")
    findings = Findings(path)
    rows = list(readers[path.suffix](path, findings))
    findings.settle()
    table = Table.of(rows, source=str(path))
    return table if path.suffix == ".json" else table.shortened()


def align_names(detections: Table, videos: tuple[str, ...]) -> tuple[Table, str]:
    """Rename detections by the truth's videos: matched by `Table.called_as`, or up to ActivityNet's ``v_``.

    Returns:
        The detections, and what was done about ``v_`` ("" for nothing).

    Raises:
        DataError: two of the detections' videos are one of the truth; the message names both.
    """
    known = set(videos)
    renamed = detections.called_as(videos, "detections")
    detections = detections if renamed.videos == detections.videos else renamed
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


def _missing_score(keys: Iterable[object], score_key: str) -> str:
    names = [str(k) for k in keys]
    have = ", ".join(repr(n) for n in names[:20]) or "none"
    return f"has no {score_key!r}, only {have}; choose one with --score-key"


def _activitynet(path: Path, findings: Findings, score_key: str) -> Iterator[Row]:
    document = read_json(path)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, dict):
        raise DataError(f"{path}: needs a 'results' object")
    for video, found in results.items():
        if not isinstance(found, list):
            findings.wrong.append(f"video {video!r}: needs a list of detections")
            continue
        for i, d in enumerate(found):
            with _named(findings, f"video {video!r}, detection {i}"):
                d = _object(d)
                segment = _field(d, "segment")
                if not isinstance(segment, list | tuple) or len(segment) != 2:
                    raise ValueError(f"segment is {shown(segment)}, must be [start, end]")
                yield text(video, "video"), _label(d), *_floats(*segment, _score(d, score_key))


@contextmanager
def _named(findings: Findings, where: str) -> Iterator[None]:
    """Name what a detection lacks, and go on with the next one."""
    try:
        yield
    except (ValueError, OverflowError) as e:
        findings.wrong.append(f"{where}: {e}")


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"is {shown(value)}, must be an object")
    return value


def _field(found: dict[str, Any], name: str) -> Any:
    if found.get(name) is None:
        raise ValueError(f"{name!r} is missing")
    return found[name]


def _score(found: dict[str, Any], key: str) -> Any:
    if key not in found:
        raise ValueError(_missing_score(found, key))
    return _field(found, key)


def _label(found: dict[str, Any]) -> str:
    return text(_field(found, "label"), "label")


def _floats(*values: object) -> tuple[float, float, float]:
    """Start, end and score; whether they are finite and in order is for the table to say."""
    if any(isinstance(v, bool) or not isinstance(v, str | int | float) for v in values):
        raise ValueError(f"start, end and score are {', '.join(map(shown, values))}, must be numbers")
    start, end, score = (float(v) for v in values)  # type: ignore[arg-type]
    return start, end, score


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(read_text(path, "detection file").split("\n"), 1):
        if line.strip():
            yield number, line


def _thumos(path: Path, findings: Findings, classes: ClassNumbers | None) -> Iterator[Row]:
    rows: list[tuple[str, int, float, float, float]] = []
    lines: dict[int, int] = {}
    for number, line in _lines(path):
        with _named(findings, f"line {number}: {line.strip()[:80]!r}"):
            fields = line.split()
            if len(fields) != 5:
                raise ValueError("needs: video, start, end, class number, score")
            video, start, end, label, score = fields
            rows.append((without_ending(video), int(label), *_floats(start, end, score)))
            lines.setdefault(int(label), number)
    if rows:
        names = numbering(lines, classes, path).names
        yield from ((video, names[label], start, end, score) for video, label, start, end, score in rows)


def _csv(path: Path, findings: Findings, score_key: str) -> Iterator[Row]:
    rows = read_csv(path, "detection file", required=("video", "label", "start", "end"))
    for number, row in rows:
        if score_key not in row:
            raise DataError(f"{path}: {_missing_score(row, score_key)}")
        with _named(findings, f"line {number}"):
            video = text(row["video"], "video")
            yield video, text(row["label"], "label"), *_floats(row["start"], row["end"], row[score_key])


def _jsonl(path: Path, findings: Findings, score_key: str) -> Iterator[Row]:
    for number, line in _lines(path):
        found = parse_json(line, f"{path}: line {number}", finite=False)
        with _named(findings, f"line {number}"):
            d = _object(found)
            if d.get("schema") == Event.schema:
                raise ValueError("is an event of a stream: tal eval --online scores its finals")
            former = d.get("schema") == "tal.segment/1" or "start_time" in d
            start, end = ("start_time", "end_time") if former else ("start", "end")
            times = _floats(_field(d, start), _field(d, end), _score(d, score_key))
            yield text(_field(d, "source"), "source"), _label(d), *times
