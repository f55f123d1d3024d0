"""BORIS projects (.boris): an observation a video, an event for each start and stop.

Source: boris-behav-obs 8.27.4, `config` (fields), `project_functions.open_project_json`, `events_start_stop`.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..._util.files import write_text
from ..._util.untrusted import TEXT_LIMIT, decode, guarded, listed, parse_json, read_bytes
from ...errors import DataError
from .boris_events import HOLDS, Event, Observation, merged
from .comments import with_score
from .format import Context, Format
from .table import Annotation, AnnotationTable, Media


def read_boris(path: Path, context: Context) -> AnnotationTable:
    """Read all observations of a project. The label is the behaviour; modifiers come into the comment.

    An observation of several media files one after another gives rows of each, in its own time.

    Raises:
        DataError: no project, events of behaviours that the ethogram lacks, wall-clock times without a time offset.
    """
    project = _project(path)
    left_out: Counter[str] = Counter()
    rows: list[Annotation] = []
    media: dict[str, Media] = {}
    wrong: list[str] = []
    with guarded(path, "BORIS project"):
        states = {b["code"]: "state" in b["type"].lower() for b in project["behaviors_conf"].values()}
        for name, o in project["observations"].items():
            observation = _observation(name, o, media)
            rows += observation.rows(_events(name, o, states, wrong), left_out, wrong)
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows, media, [f"{n} x {what}" for what, n in left_out.items()])


def _project(path: Path) -> dict[str, Any]:
    data = read_bytes(path, "BORIS project")
    if path.name.lower().endswith(".gz"):
        with guarded(path, "BORIS project"), gzip.open(path) as file:
            data = file.read(TEXT_LIMIT + 1)
        if len(data) > TEXT_LIMIT:
            raise DataError(f"{path}: unpacks to more than {TEXT_LIMIT} bytes")
    project = parse_json(decode(data, path, "BORIS project"), str(path))
    if not isinstance(project, dict) or not {"behaviors_conf", "observations"} <= project.keys():
        raise DataError(f"{path}: not a BORIS project: it needs behaviors_conf and observations")
    return project


def _observation(name: str, o: dict[str, Any], media: dict[str, Media]) -> Observation:
    """Parse an observation; its media files are entered in `media`."""
    info = o.get("media_info", {})
    files = o.get("file", {}).get("1", []) if isinstance(o.get("file"), dict) else []
    lengths = [(file, float(info.get("length", {}).get(file, 0.0))) for file in files]
    for file, length in lengths:
        fps = info.get("fps", {}).get(file)
        media[PurePath(file).name] = Media(file, length or None, float(fps) if fps else None)
    return Observation(name, lengths, float(o.get("time offset", 0.0) or 0.0))


def _events(name: str, o: dict[str, Any], states: dict[str, bool], wrong: list[str]) -> Iterator[Event]:
    for time, subject, code, modifiers, comment, *_ in o.get("events", []):
        if code not in states:
            wrong.append(f"observation {name!r}: behaviour {code!r} is not in the ethogram")
            continue
        yield Event(float(time), subject, code, modifiers or "", comment or "", "state" if states[code] else "point")


def write_boris(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a project with an observation for each video. Scores go into comments; times are rounded to milliseconds.

    BORIS pairs starts and stops of one subject and behaviour in order of time, so segments of one that overlap are
    merged. A label that has segments and points becomes two behaviours.
    """
    labels = {"state": _labels(table, "segment"), "point": _labels(table, "point")}
    both = labels["state"] & labels["point"]
    names = {(kind, label): f"{label} (point)" if kind == "point" and label in both else label
             for kind, of in labels.items() for label in of}  # fmt: skip
    observations = {}
    for video in table.videos:
        events = list(_written(table.of_video(video), names, both, context))
        observations[Path(video).stem if "/" not in video else video] = _entry(video, table, events)
    codes = sorted((name, kind) for (kind, _), name in names.items())
    project = {
        "time_format": "hh:mm:ss", "project_date": "1970-01-01T00:00:00", "project_name": path.stem,
        "project_description": "", "project_format_version": "7.0",
        "subjects_conf": {str(k): {"key": "", "name": s, "description": ""}
                          for k, s in enumerate(sorted(set(table.subject.tolist()) - {""}))},
        "behaviors_conf": {str(k): _behaviour(name, kind) for k, (name, kind) in enumerate(codes)},
        "observations": observations, "behavioral_categories": [], "independent_variables": {}, "coding_map": {},
        "behaviors_coding_map": [], "converters": {},
    }  # fmt: skip
    write_text(path, json.dumps(project, indent=1) + "\n")


def _labels(table: AnnotationTable, kind: str) -> set[str]:
    return set(table.where(table.kinds == kind).label.tolist())


def _behaviour(name: str, kind: str) -> dict[str, Any]:
    return {"type": f"{kind.capitalize()} event", "key": "", "code": name, "description": "", "color": "",
            "category": "", "modifiers": {}, "excluded": "", "coding map": ""}  # fmt: skip


def _written(
    table: AnnotationTable, names: dict[tuple[str, str], str], both: set[str], context: Context
) -> Iterator[list[Any]]:
    """Yield the events of one video."""
    points = table.where(table.kinds == "point")
    for r in points:
        context.lose("' (point)' added to a label that also has segments", r.label in both)
        yield [_ms(r.start), r.subject, names["point", r.label], "", with_score(r.comment, r.score)]
    states = table.where(table.kinds == "segment")
    for subject, label in sorted(set(zip(states.subject.tolist(), states.label.tolist(), strict=True))):
        rows = list(states.where((states.subject == subject) & (states.label == label)))
        for r in merged(rows, context):
            start, end = _ms(r.start), _ms(r.end)
            yield [start, subject, names["state", label], "", with_score(r.comment, r.score)]
            yield [max(end, round(start + 0.001, 3)), subject, names["state", label], "", ""]


def _ms(seconds: float | None) -> float:
    return round(seconds or 0.0, 3)


def _entry(video: str, table: AnnotationTable, events: list[list[Any]]) -> dict[str, Any]:
    """Create an observation of one media file, with all fields that BORIS requires."""
    media = table.media.get(video, Media())
    file = media.path or video
    ends = float(np.nanmax([0.0, *table.of_video(video).start, *table.of_video(video).end]))
    length = media.duration or ends
    return {
        "file": {str(k): [file] if k == 1 else [] for k in range(1, 9)},
        "type": "MEDIA", "date": "1970-01-01T00:00:00", "description": "", "time offset": 0.0,
        "events": sorted(events, key=lambda e: e[0]), "observation time interval": [0, 0],
        "independent_variables": {}, "visualize_spectrogram": False, "visualize_waveform": False,
        "close_behaviors_between_videos": False, "scan_sampling_time": 0,
        "media_info": {"length": {file: length}, "fps": {file: media.fps or 25.0}, "hasVideo": {file: True},
                       "hasAudio": {file: False}, "offset": {"1": 0.0}},
    }  # fmt: skip


FORMATS = (
    Format("boris", "BORIS project", (".boris", ".boris.gz"), HOLDS, "milliseconds, nearest", read_boris, write_boris),
)  # fmt: skip
