"""The labels of a project as files that `tal fit` and every reader of labels take (docs/labels.md)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from .findings import Findings
from .labels import Label
from .state import State

_COLUMNS = ("video", "start", "end", "label", "subject", "note")


def as_csv(state: State) -> str:
    """Format all labels as a table: a segment has an end, a point none; a video that was looked at as a whole and has
    none of the actions has a row without a label.

    Stretches in which nothing happens are in `as_json` alone: no table of labels has a word for them.
    """  # noqa: D205 - one sentence
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(_COLUMNS)
    for video in sorted(state.videos.values(), key=lambda v: v.name):
        labels = [x for x in state.of_video(video.id) if x.kind != "nothing"]
        for x in labels:
            end = "" if x.kind == "point" else _seconds(x.end)
            write([video.name, _seconds(x.start), end, x.label, x.subject, x.note])
        known = {x.label for x in labels}
        for told in video.told:
            if told not in known:
                write([video.name, "", "", told, "", ""])
        if video.done and not labels and not video.told:
            write([video.name, "", "", "", "", ""])
    return out.getvalue()


def as_json(state: State) -> str:
    """Format all labels as ActivityNet's JSON, with what it has no field for beside: who, when, notes, nothing."""
    database = {v.name: _video(state, v.id) for v in sorted(state.videos.values(), key=lambda v: v.name)}
    kept = {name: of for name, of in database.items() if of}
    document = {"revision": state.revision, "classes": state.class_names, "database": kept}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _video(state: State, video: str) -> dict[str, Any]:
    known, labels = state.videos[video], state.of_video(video)
    timed = [x for x in labels if x.kind != "nothing"]
    out: dict[str, Any] = {}
    if timed or known.told:
        out["annotations"] = [*map(_annotation, timed), *({"label": c} for c in known.told)]
    elif known.done:
        out["labels"] = []
    if nothing := [[x.start, x.end] for x in labels if x.kind == "nothing"]:
        out["nothing"] = nothing
        out.setdefault("annotations", [])
    if known.note:
        out["note"] = known.note
    if known.done:
        out["done"] = True
    return out


def _annotation(x: Label) -> dict[str, Any]:
    times = {"time": x.start} if x.kind == "point" else {"segment": [x.start, x.end]}
    about = {"id": x.id, "subject": x.subject, "note": x.note, "author": x.author, "edited": x.edited}
    return {"label": x.label, **times, **{k: v for k, v in about.items() if v}}


def suggestions_as_csv(findings: Findings, state: State) -> str:
    """Format the suggestions that reach their threshold as a table of segments with scores."""
    out, least = io.StringIO(), findings.thresholds(state)
    write = csv.writer(out, lineterminator="\n").writerow
    write(("video", "start", "end", "label", "score"))
    for video in sorted(state.videos.values(), key=lambda v: v.name):
        for s in sorted(findings.suggestions(video.id)["segments"], key=lambda s: (s["start"], s["end"])):
            if s["score"] >= least[s["label"]]:
                write([video.name, _seconds(s["start"]), _seconds(s["end"]), s["label"], s["score"]])
    return out.getvalue()


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
