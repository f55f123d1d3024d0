"""Data sets' own files: COCO-like JSON, moments with a text, EPIC-KITCHENS and Ego4D.

All but the COCO-like are read only. A moment's text is its label.

Source: the data sets' public annotation files and their descriptions.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..._util.files import write_text
from ..._util.untrusted import guarded, listed, parse_json, read_json, read_text
from ...errors import DataError
from .format import Context, Format, Reader, holds
from .lines import interval, rows_of
from .table import Annotation, AnnotationTable, Media

#: What gives (row, where it stands) or raises ValueError.
Entry = tuple[str, Callable[[], Annotation]]


def _table(path: Path, what: str, entries: Iterator[Entry], media: dict[str, Media] | None = None) -> AnnotationTable:
    """Build a table of entries; one error names all that cannot be read."""
    rows, wrong = list[Annotation](), list[str]()
    with guarded(path, what):
        for name, make in entries:
            try:
                rows.append(make())
            except (ValueError, TypeError, KeyError) as e:
                wrong.append(f"{name}: {e}")
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, media)


def _row(video: str, label: str, times: Any, score: Any = None) -> Annotation:
    start, end = times
    a, b = interval(str(start), str(end))
    if not label:
        raise ValueError("it has no label")
    return Annotation(video, label, a, b, score=None if score is None else float(score))


# --- COCO-like


def read_coco(path: Path, context: Context) -> AnnotationTable:
    """Read {"videos", "categories", "annotations"}; an annotation has `segment` [start, end] in seconds."""
    document = read_json(path, "COCO-like file")
    media: dict[str, Media] = {}

    def entries() -> Iterator[Entry]:
        names, labels = {}, {c["id"]: str(c["name"]) for c in document["categories"]}
        for v in document["videos"]:
            names[v["id"]] = name = str(v.get("file_name") or v.get("name") or v["id"])
            media[name] = Media(duration=v.get("duration"), fps=v.get("fps"))
        for a in document["annotations"]:

            def make(a: dict[str, Any] = a) -> Annotation:
                return _row(names[a["video_id"]], labels[a["category_id"]], a["segment"], a.get("score"))

            yield f"annotation {a.get('id')}", make

    return _table(path, "COCO-like file", entries(), media)


def write_coco(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write the same; six decimals."""
    videos = {name: k for k, name in enumerate(table.videos, 1)}
    labels = {name: k for k, name in enumerate(table.labels, 1)}
    annotations = []
    for k, r in enumerate(table, 1):
        times = [round(r.start or 0.0, 6), round(r.end or 0.0, 6)]
        entry: dict[str, Any] = {"id": k, "video_id": videos[r.video], "category_id": labels[r.label], "segment": times}
        annotations.append(entry | ({} if r.score is None else {"score": r.score}))
    about = [(name, k, table.media.get(name, Media())) for name, k in videos.items()]
    document = {
        "videos": [{"id": k, "file_name": name, "duration": m.duration, "fps": m.fps} for name, k, m in about],
        "categories": [{"id": k, "name": name} for name, k in labels.items()],
        "annotations": annotations,
    }
    write_text(path, json.dumps(document) + "\n")


# --- moments with a text


def read_qvhighlights(path: Path, context: Context) -> AnnotationTable:
    """Read JSON Lines of {"vid", "query", "relevant_windows"}, or of predictions (`pred_relevant_windows`)."""

    def entries() -> Iterator[Entry]:
        for number, line in enumerate(read_text(path, "QVHighlights file").splitlines(), 1):
            if not line.strip():
                continue
            o = parse_json(line, f"{path}, line {number}")
            for window in o.get("relevant_windows") or o.get("pred_relevant_windows") or []:

                def make(o: dict[str, Any] = o, window: list[float] = window) -> Annotation:
                    return _row(str(o["vid"]), str(o["query"]), window[:2], window[2] if len(window) > 2 else None)

                yield f"line {number}", make

    return _table(path, "QVHighlights file", entries())


_CHARADES = re.compile(r"(\S+)\s+(\S+)\s+(\S+)\s*##(.+)")


def read_charades_sta(path: Path, context: Context) -> AnnotationTable:
    """Read lines of ``VIDEO START END##TEXT``."""

    def parse(line: str) -> Annotation:
        if (m := _CHARADES.match(line)) is None:
            raise ValueError("must be VIDEO START END##TEXT")
        return _row(m[1], m[4].strip(), (m[2], m[3]))

    return rows_of(path, "Charades-STA file", parse)


def read_captions(path: Path, context: Context) -> AnnotationTable:
    """Read ActivityNet Captions: {video: {"duration", "timestamps", "sentences"}}."""
    document = read_json(path, "file of captions")
    media = {}

    def entries() -> Iterator[Entry]:
        for video, o in document.items():
            media[video] = Media(duration=float(o["duration"]))
            for k, (times, text) in enumerate(zip(o["timestamps"], o["sentences"], strict=True)):

                def make(video: str = video, times: Any = times, text: str = text) -> Annotation:
                    return _row(video, text.strip(), times)

                yield f"{video}, moment {k}", make

    return _table(path, "file of captions", entries(), media)


# --- first-person data sets


def _clock(text: str) -> float:
    """Parse seconds of HH:MM:SS.ff."""
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def read_epic(path: Path, context: Context) -> AnnotationTable:
    """Read EPIC-KITCHENS-100's table: the label is "VERB NOUN", the subject the participant."""
    text = read_text(path, "EPIC-KITCHENS table")

    def entries() -> Iterator[Entry]:
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):

            def make(row: dict[str, str] = row) -> Annotation:
                a, b = _clock(row["start_timestamp"]), _clock(row["stop_timestamp"])
                if b <= a:
                    raise ValueError(
                        f"its stop {row['stop_timestamp']} is not after its start {row['start_timestamp']}"
                    )
                label = f"{row['verb']} {row['noun']}"
                return Annotation(
                    row["video_id"], label, a, b, row.get("participant_id", ""), None, row.get("narration", "")
                )

            yield f"line {number}", make

    return _table(path, "EPIC-KITCHENS table", entries())


def read_ego4d(path: Path, context: Context) -> AnnotationTable:
    """Read Ego4D's moments: videos, their clips, annotators and labels; times are of the video."""
    document = read_json(path, "Ego4D file")

    def entries() -> Iterator[Entry]:
        for video in document["videos"]:
            for clip in video["clips"]:
                for annotation in clip["annotations"]:
                    for o in annotation["labels"]:

                        def make(name: str = video["video_uid"], o: dict[str, Any] = o) -> Annotation:
                            return _row(str(name), str(o["label"]), (o["video_start_time"], o["video_end_time"]))

                        yield f"{video['video_uid']}, clip {clip.get('clip_uid')}", make

    return _table(path, "Ego4D file", entries())


def _only(name: str, title: str, ending: str, read: Reader, told: Callable[[str], bool]) -> Format:
    return Format(name, title, (ending,), holds("score", "overlaps"), "seconds", read, recognise=told)


def _has(*words: str) -> Callable[[str], bool]:
    return lambda head: all(f'"{word}"' in head for word in words)


FORMATS = (
    Format("coco", "COCO-like JSON", (".json",), holds("score", "overlaps"), "seconds, 6 decimals",
           read_coco, write_coco, by_name=True,
           recognise=lambda head: _has("categories")(head) or _has("videos", "file_name")(head)),
    _only("qvhighlights", "QVHighlights", ".jsonl", read_qvhighlights, _has("query", "vid")),
    _only("charades-sta", "Charades-STA", ".txt", read_charades_sta, lambda head: bool(_CHARADES.match(head))),
    _only("captions", "ActivityNet Captions", ".json", read_captions, _has("sentences", "timestamps")),
    _only("epic-kitchens", "EPIC-KITCHENS-100", ".csv", read_epic, lambda head: "start_timestamp" in head[:500]),
    _only("ego4d", "Ego4D moments", ".json", read_ego4d, _has("video_uid")),
)  # fmt: skip
