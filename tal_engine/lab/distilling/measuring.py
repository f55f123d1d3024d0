"""How well a student does on videos that it was not trained on: against its teacher, and against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...annotations.labels import VideoLabels, read_labels
from ...engine import TALEngine
from ...errors import DataError
from ...metrics import WTAL_TIOUS, evaluate
from ...plan.archive import Plan
from ...records import Segment
from ...vocabulary import Vocabulary
from .targets import VideoTargets

#: Everything that a plan finds, with raw scores: what mAP is of.
EVERYTHING: Mapping[str, Any] = {"min_score": -np.inf, "top_k": 0, "calibrated": False}

Found = Mapping[str, Sequence[Segment]]


def labels_of(labels: Path | None, data: Path, videos: Sequence[Path]) -> dict[Path, VideoLabels]:
    """Read labels by the resolved path of their video; none without a file. To be asked before the teacher's long pass.

    Raises:
        DataError: the labels cannot be read, or name none of the videos.
    """
    if labels is None:
        return {}
    known = {v.path.resolve(): v for v in read_labels(labels, data) if v.path is not None}
    if not any(path.resolve() in known for path in videos):
        raise DataError(f"{labels}: names none of the {len(videos)} videos of {data}")
    return known


def true_segments(
    labels: Path | None, known: Mapping[Path, VideoLabels], videos: Sequence[VideoTargets]
) -> dict[str, list[Segment]] | None:
    """Return the true segments of some videos by name, or None without a file of labels.

    Raises:
        DataError: the labels say of none of the videos where its actions are.
    """
    if labels is None:
        return None
    truth = {}
    for video in videos:
        found = known.get(video.path.resolve())
        if found is not None and (found.segments or found.background):
            truth[video.name] = list(found.segments)
    if not any(truth.values()):
        raise DataError(f"{labels}: has no segments of the held-out videos, such as {videos[0].name}")
    return truth


def measured(student: Plan, held_out: Sequence[VideoTargets], truth: Found | None) -> dict[str, Any]:
    """Let a student see videos and score what it finds.

    Returns:
        "agreement": mAP of the student's segments where what the teacher shows is taken for true, None where it shows
        none; "teacher" and "student": mAP of both against the truth, None without one. Each is the mean over tIoU 0.1
        to 0.7, in percent.
    """
    engine, words = TALEngine(student, "cpu", threads=1), Vocabulary(student.manifest.vocabulary)
    found = {v.name: list(engine.localize(v.path, **EVERYTHING)) for v in held_out}
    shown = {v.name: list(v.finals) for v in held_out}
    figures: dict[str, Any] = {"videos": len(held_out), "agreement": _score(shown, found, words)}
    figures |= {"teacher": None, "student": None}
    if truth is not None:
        every = {v.name: v.segments for v in held_out if v.name in truth}
        figures["teacher"] = _score(truth, every, words)
        figures["student"] = _score(truth, {n: found[n] for n in truth}, words)
    return figures


def _score(truth: Found, found: Found, words: Vocabulary) -> float | None:
    if not any(truth.values()):
        return None
    return round(100 * evaluate(truth, found, words, tious=WTAL_TIOUS).average, 2)
