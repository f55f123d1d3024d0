"""What would help most, in sentences: from the learning curve, from confusions, and from what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...annotations.labels import Kind
from .held_out import NOTHING

_UNIT: Mapping[Kind, str] = {"video": "videos", "point": "clicks", "segment": "segments"}
#: A gain of AP between half of the videos and all that is more than noise of small sets.
_GAIN = 0.03
#: Expected calibration error that is aimed at.
_ERROR = 0.05
#: Above this probability by chance an error may be luck.
_LUCK = 0.05
#: A class whose AP is below is not found.
_POOR = 0.3


def next_steps(document: Mapping[str, Any]) -> list[str]:
    """Write sentences for the user, what helps most first, from a report's document; the last says how to go on."""
    kind: Kind = document["kind"]
    out = [*_not_usable(document), *_more_labels(document, kind), *_confused(document), *_not_found(document)]
    if kind == "video":
        out.append(
            "Click one moment of each action (video,time,label): labels of videos cannot say where actions start and "
            "end, and nothing here measures it."
        )
    out += _scores(document)
    out.append(f"tal localize new.mp4 --plan {document['output']}")
    return out


def _more_labels(document: Mapping[str, Any], kind: Kind) -> list[str]:
    curve = document.get("curve")
    if not curve:
        return []
    gains = {
        c: (whole - half, half, whole)
        for c, (half, whole) in curve["class_ap"].items()
        if half is not None and whole is not None
    }
    best = sorted((c for c in gains if gains[c][0] >= _GAIN), key=lambda c: -gains[c][0])
    if not best:
        return ["More labels of the same kind would help little: half of them give the same."] if gains else []
    first, (gain, half, whole) = best[0], gains[best[0]]
    rest = f", then {', '.join(repr(c) for c in best[1:3])}" if len(best) > 1 else ""
    return [
        f"Twice the {_UNIT[kind]} of {first!r} would help most{rest}: from half of the videos to all its AP went from "
        f"{100 * half:.0f} to {100 * whole:.0f} ({100 * gain:+.0f})."
    ]


def _confused(document: Mapping[str, Any]) -> list[str]:
    labels, counts = document["confusion"]["labels"], document["confusion"]["counts"]
    out = []
    for i, name in enumerate(labels):
        total = sum(counts[i])
        for j, other in enumerate(labels):
            if NOTHING not in (name, other) and i != j and total and counts[i][j] >= max(2, 0.3 * total):
                out.append(
                    f"{name!r} is taken for {other!r} in {counts[i][j]} of {total}: add videos that show how they "
                    "differ, or make them one class."
                )
    return out


def _not_usable(document: Mapping[str, Any]) -> list[str]:
    """Name classes of which nothing was found on held-out videos."""
    labels = {c["name"]: c["labels"] for c in document["classes"]}
    names = [f"{name!r} ({labels[name]} labels)" for name in document["not_usable"]]
    if not names:
        return []
    return [
        f"Not usable yet: {', '.join(names)}. Nothing of it was found on held-out videos: look whether its labels are "
        "right and whether one can see it, add videos of it, or take its rows out."
    ]


def _not_found(document: Mapping[str, Any]) -> list[str]:
    poor = [c["name"] for c in document["classes"] if c["ap"] is not None and c["ap"] < _POOR]
    poor = [name for name in poor if name not in document["not_usable"]]
    if not poor:
        return []
    return [f"Hardly found: {', '.join(map(repr, poor))} (AP below {100 * _POOR:.0f}). Do not rely on them yet."]


def _off(error: Mapping[str, Any], which: str) -> list[str]:
    """Say that scores are off, and whether that may be the luck of few detections."""
    if error["found"] is None or error["found"] <= _ERROR:
        return []
    what = (
        f"Scores of the {error['outcomes']} detections {which} are off by {100 * error['found']:.0f} points on average "
        f"on held-out videos (aimed at {100 * _ERROR:.0f})"
    )
    if error["p"] > _LUCK:
        return [f"{what}, where luck alone makes {100 * error['by_chance']:.0f}: more videos would tell."]
    return [f"{what}, and luck makes {100 * error['by_chance']:.0f}: do not read them as probabilities yet."]


def _scores(document: Mapping[str, Any]) -> list[str]:
    out, scores = [], document["scores"]
    out += _off(scores["shown"], "that reach their threshold")
    out += [] if out else _off(scores["whole"], "of all scores")
    wanted, least = scores["false_alarms_per_hour"], 1 / max(document["hours"], 1e-9)
    if wanted is not None and wanted < 3 * least:
        out.append(
            f"{wanted:g} false alarms an hour cannot be told from none on {60 * document['hours']:.0f} minutes of "
            f"video, where one alarm is {least:.0f} an hour: label {3 / max(wanted, 1e-9):.0f} hours of video, "
            "most of it without actions, or watch the first days."
        )
    return out
