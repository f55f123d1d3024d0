"""Chooses when an online head's actions are told: thresholds of starts and finals for so many false alarms an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...annotations.tables import Table
from ...errors import DataError, require
from ...inference.online_machine import Decision
from ...inference.online_scoring import decided
from ...inference.operating_point import overlap
from ...metrics.starts import evaluate_starts
from ...plan.online_fields import OnlineOptions
from ...plan.score_fields import ScoreThresholds
from ...records import Features, OnlineActivations, Segment
from ...vocabulary import Vocabulary
from ..fitting.thresholds import for_false_alarms
from .network import OnlineHead
from .stem import TeacherStem

#: Thresholds of starts that are tried, the lowest that is good enough is taken.
STARTS = (*(round(0.3 + 0.05 * i, 2) for i in range(14)), 0.97, 0.98, 0.99, 1.0)
#: Overlap from which a final is of an instance.
SAME = 0.3


@dataclass(frozen=True)
class FittedRule:
    """The rule's options, the least scores of finals, and what both gave on the videos they were fitted on.

    figures: "hours", "videos", "false_alarms_per_hour" as asked for, "starts" and "finals" with their threshold, false
    alarms and recall.
    """

    options: OnlineOptions
    thresholds: ScoreThresholds
    figures: dict[str, object]


def fit_rule(
    activations: Mapping[str, OnlineActivations],
    reference: Mapping[str, Sequence[Segment]],
    vocabulary: Vocabulary,
    options: OnlineOptions,
    false_alarms_per_hour: float,
    fitted_on: str,
) -> FittedRule:
    """Find the lowest thresholds with so few false alarms on videos that the head was not trained on.

    Args:
        activations: of each video.
        reference: what counts as true: the truth, or what the teacher shows.
        vocabulary: the classes.
        options: all other numbers of the rule.
        false_alarms_per_hour: of starts, and again of finals.
        fitted_on: says what the videos are.

    Raises:
        DataError: there are no videos, or nothing in them counts as true.
    """
    require(0 < false_alarms_per_hour < 1e6, "false_alarms_per_hour", false_alarms_per_hour, "positive")
    truth = Table.of_segments(reference, "reference", tuple(vocabulary))
    if not activations or not len(truth):
        raise DataError(
            f"{fitted_on}: {len(activations)} videos with {len(truth)} actions: nothing to fit thresholds on"
        )
    seconds = sum(a.duration for a in activations.values())
    hours = seconds / 3600
    chosen = None
    for start in STARTS:
        told = {v: decided(a, options.starting_at(start)) for v, a in activations.items()}
        chosen = start, evaluate_starts(truth, starts_table(activations, told, vocabulary), seconds)
        if chosen[1].false_alarms <= false_alarms_per_hour * hours:
            break
    assert chosen is not None  # noqa: S101 - there are thresholds
    start, starts = chosen
    options = options.starting_at(start)
    score, right = _finals(activations, {v: decided(a, options) for v, a in activations.items()}, reference, vocabulary)
    found = for_false_alarms(score, right, len(truth), hours, false_alarms_per_hour)
    least = min(found.score, 1.0)
    thresholds = ScoreThresholds(
        classes=dict.fromkeys(vocabulary, least), chosen_for="false_alarms_per_hour",
        false_alarms_per_hour=false_alarms_per_hour, fitted_on=fitted_on, videos=len(activations),
    )  # fmt: skip
    figures: dict[str, object] = {
        "videos": len(activations),
        "hours": round(hours, 3),
        "false_alarms_per_hour": false_alarms_per_hour,
        "starts": {"threshold": start, "false_alarms": starts.false_alarms, "recall": round(starts.recall, 4),
                   "delay_s": {k: round(v, 3) for k, v in starts.delay.items()}},
        "finals": {"threshold": round(least, 4), "false_alarms": found.wrong, "recall": round(found.recall, 4)},
    }  # fmt: skip
    return FittedRule(options, thresholds, figures)


def read_video(net: OnlineHead, stem: TeacherStem, features: Features) -> OnlineActivations:
    """Let a head read a whole video, in torch; it is followed by what stands for the end of a stream."""
    ahead, count = net.config.look_ahead, len(features)
    with torch.no_grad():
        each, scalars, _ = net(torch.from_numpy(stem(features, ahead))[None])
    classes, some = torch.sigmoid(each[0]).numpy(), torch.sigmoid(scalars[0]).numpy()
    late = some[ahead:]
    return OnlineActivations(
        classes[ahead:, :, 0], late[:, 0], features.timeline, features.duration, None,
        now=classes[:count, :, 1], start=late[:, 1], end=late[:, 2], hazard=some[:count, 3],
    )  # fmt: skip


def starts_table(
    activations: Mapping[str, OnlineActivations], told: Mapping[str, Sequence[Decision]], vocabulary: Vocabulary
) -> Table:
    """List started events with the moment at which each is told, as if the whole video were a stream."""
    rows = []
    for video, a in activations.items():
        time = a.timeline
        for d in told[video]:
            if d.kind == "started":
                moment = min(float(time.right(d.at + 1)), a.duration)
                onset = min(max(time.start + d.start * time.step + time.width / 2, 0.0), moment)
                rows.append((video, vocabulary.name(d.label), onset, moment, d.score))
    return Table.of(rows, source="starts", videos=tuple(activations), labels=tuple(vocabulary))


def _finals(
    activations: Mapping[str, OnlineActivations],
    told: Mapping[str, Sequence[Decision]],
    reference: Mapping[str, Sequence[Segment]],
    vocabulary: Vocabulary,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the scores of all finals and whether each has found an instance that no better one found."""
    scores, right = [], []
    for video, a in activations.items():
        time, free = a.timeline, list(reference.get(video, ()))
        finals = sorted((d for d in told[video] if d.kind == "final"), key=lambda d: -d.score)
        for d in finals:
            begin = max(time.start + d.start * time.step + time.width / 2, 0.0)
            end = min(time.start + (d.end or 0.0) * time.step + time.width / 2, a.duration)
            mine = Segment(begin, max(end, begin), vocabulary.name(d.label), d.score)
            near = [(overlap(mine, s), i) for i, s in enumerate(free) if s.label == mine.label]
            best = max(near, default=(0.0, -1))
            scores.append(d.score)
            right.append(best[0] >= SAME)
            if right[-1]:
                del free[best[1]]
    return np.array(scores, np.float64), np.array(right, bool)
