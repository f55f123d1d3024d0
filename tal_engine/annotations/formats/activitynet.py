"""ActivityNet's JSON, as truth ("database") and as results, and what `read_annotations` and `read_detections` know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..._util.files import write_text
from ..._util.untrusted import first_text
from ..detections import read_detections
from ..readers import read_annotations
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable, Media, objects


def read_activitynet(path: Path, context: Context) -> AnnotationTable:
    """Read annotations: ActivityNet's, ActionFormer's, OpenTAD's, LACP's or BMN's JSON, THUMOS14's folder of texts.

    A label of a video that has no instance of it is a label of the whole video. Results are read too.
    """
    if path.is_file() and '"results"' in first_text(path):
        return read_results(path, context)
    found = read_annotations(path)
    rows, media = [], {}
    for name, video in found.videos.items():
        media[name] = Media(duration=video.duration or None, fps=video.fps or None)
        rows += [Annotation(name, s.label, s.start, s.end) for s in video.instances]
        rows += [Annotation(name, label) for label in video.labels if label not in video.instance_labels]
    return AnnotationTable.of(rows, media, found.notes)


def read_results(path: Path, context: Context) -> AnnotationTable:
    """Read detections: ActivityNet's results, our JSON Lines."""
    found = read_detections(path)
    nothing = objects([""] * len(found))
    return AnnotationTable(
        video=objects(found.videos[i] for i in found.video),
        label=objects(found.labels[i] for i in found.label),
        start=found.start,
        end=found.end,
        subject=nothing,
        score=found.score,
        comment=nothing,
        media={name: Media() for name in found.videos},
    )


def write_activitynet(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a "database" where nothing has a score, else "results", which hold segments alone; six decimals."""
    predicted = bool((table.score == table.score).any())
    if predicted:
        context.lose("a row without a score has score 1", int((table.score != table.score).sum()))
        whole = table.kinds == "video"
        context.drop("a label of a whole video left out: results hold segments", int(whole.sum()))
        table = table.where(~whole)
    videos: dict[str, Any] = {name: [] for name in table.videos}
    for r in table:
        times = {} if r.start is None or r.end is None else {"segment": [round(r.start, 6), round(r.end, 6)]}
        score = {"score": 1.0 if r.score is None else r.score} if predicted else {}
        videos[r.video].append({"label": r.label, **times, **score})
    if not predicted:
        videos = {name: _entry(table, name, rows) for name, rows in videos.items()}
    body = {"results": videos, "external_data": {}} if predicted else {"database": videos}
    write_text(path, json.dumps({"version": "VERSION 1.3", **body}) + "\n")


def _entry(table: AnnotationTable, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    media = table.media.get(name, Media())
    ends = [row["segment"][1] for row in rows if "segment" in row]
    return {"subset": "unknown", "duration": media.duration or max(ends, default=0.0), "annotations": rows}


FORMATS = (
    Format("activitynet", "ActivityNet JSON", (".json",), holds("score", "overlaps", "video_labels"),
           "seconds, 6 decimals", read_activitynet, write_activitynet,
           recognise=lambda head: any(word in head for word in ('"database"', '"results"', '"duration_second"'))),
    Format("jsonl", "tal JSON Lines", (".jsonl",), holds("score", "overlaps"), "seconds, 6 decimals", read_results),
    Format("thumos14", "THUMOS14's folder of texts", (".txt",), holds("overlaps"), "seconds, 6 decimals",
           read_activitynet),
)  # fmt: skip
