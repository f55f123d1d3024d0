"""Chooses when an online head's actions are told: thresholds of starts and finals for so many false alarms an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...annotations.tables import Table
from ...errors import DataError, require
from ...inference.online_machine import Decision
from ...inference.online_scoring import decided
from ...inference.operating_point import overlap
from ...metrics import WTAL_TIOUS, evaluate, protocol
from ...plan.online_fields import OnlineOptions
from ...plan.score_fields import ScoreThresholds
from ...records import Features, OnlineActivations, Segment
from ...vocabulary import Vocabulary
from ..fitting.thresholds import for_false_alarms
from .network import OnlineHead
from .starts import fit_starts
from .stem import TeacherStem

#: Rules of the mean mAP that shares are chosen by.
RULES = protocol("activitynet").with_tious(WTAL_TIOUS)
#: Overlap from which a final is of an instance.
SAME = 0.3
#: Shares of the peak at which actions may begin and end, and how many snippets below it end none, beside what the
#: options say. Another than the given one has to be better by so much in mean mAP: less may be chance on few videos.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
CONFIRMS = (0,)
_BETTER = 0.02
#: Where further guesses at an action lie between its share and its peak, and what their scores are worth: so little
#: that they come after nearly all that is told once, and hardly pass a threshold (docs/online.md has what was tried).
GUESSES = (0.2, 0.55)
DISCOUNT = 0.1

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class FittedRule:
    """The rule's options, the least scores of finals, and what both gave on the videos they were fitted on.

    figures: "share" with the mean mAP of each that was tried and of the best at each `confirm`, "hours", "videos",
    "false_alarms_per_hour" as asked for, "starts" and "finals" with their threshold, false alarms and recall.
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
    shares: Sequence[float] = SHARES,
) -> FittedRule:
    """Find where actions begin and end, and the lowest thresholds with so few false alarms.

    The videos are others than those that the head was trained on.

    Args:
        activations: of each video.
        reference: what counts as true: the truth, or what the teacher shows.
        vocabulary: the classes.
        options: all other numbers of the rule.
        shares: of the peak, that are tried; none: the options' share, `confirm` and guesses stand.
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
    options, cut = _cut_at(activations, reference, vocabulary, options, shares)
    hours = sum(a.duration for a in activations.values()) / 3600
    starts = fit_starts(activations, truth, vocabulary, options, false_alarms_per_hour)
    options = starts.options
    score, right = _finals(activations, {v: decided(a, options) for v, a in activations.items()}, reference, vocabulary)
    found = for_false_alarms(score, right, len(truth), hours, false_alarms_per_hour)
    least = min(found.score, 1.0)
    thresholds = ScoreThresholds(
        classes=dict.fromkeys(vocabulary, least), chosen_for="false_alarms_per_hour",
        false_alarms_per_hour=false_alarms_per_hour, fitted_on=fitted_on, videos=len(activations),
    )  # fmt: skip
    figures: dict[str, object] = {
        "share": cut,
        "videos": len(activations),
        "hours": round(hours, 3),
        "false_alarms_per_hour": false_alarms_per_hour,
        "starts": starts.figures(),
        "finals": {"threshold": round(least, 4), "false_alarms": found.wrong, "recall": round(found.recall, 4)},
    }  # fmt: skip
    return FittedRule(options, thresholds, figures)


def _cut_at(
    activations: Mapping[str, OnlineActivations],
    reference: Mapping[str, Sequence[Segment]],
    vocabulary: Vocabulary,
    options: OnlineOptions,
    shares: Sequence[float],
) -> tuple[OnlineOptions, dict[str, object]]:
    """Choose how long a dip in an action may be, the share, and guesses above it; tell the mAP of what was tried."""
    if not shares:
        return options, {"chosen": options.share}

    def worth(confirm: int, share: float) -> float:
        how = replace(options, confirm=confirm, share=share, guesses=())
        found = {v: _segments(a, decided(a, how), vocabulary) for v, a in activations.items()}
        return evaluate(reference, found, vocabulary, protocol=RULES).average

    tried = {c: {s: worth(c, s) for s in shares} for c in dict.fromkeys((options.confirm, *CONFIRMS))}
    top = {c: max(by_share.values()) for c, by_share in tried.items()}
    confirm = _unless_better(top, options.confirm)
    share = _unless_better(tried[confirm], options.share)
    guesses = tuple(round(share + g * (1 - share), 3) for g in GUESSES)
    chosen = replace(options, confirm=confirm, share=share, guesses=guesses, discount=DISCOUNT)
    return chosen, {
        "chosen": share, "map": {f"{s:g}": round(w, 4) for s, w in tried[confirm].items()},
        "confirm": confirm, "map_of_confirm": {f"{c}": round(w, 4) for c, w in top.items()},
    }  # fmt: skip


def _unless_better(worth: Mapping[_Number, float], given: _Number) -> _Number:
    """Return the best number, or the given one if that is nearly as good."""
    best = max(worth, key=lambda x: worth[x])
    return given if given in worth and worth[best] < worth[given] + _BETTER else best


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


def _segments(a: OnlineActivations, told: Sequence[Decision], vocabulary: Vocabulary) -> list[Segment]:
    """Return the finals of a video."""
    time, found = a.timeline, []
    for d in told:
        if d.kind == "final":
            begin = max(time.start + d.start * time.step + time.width / 2, 0.0)
            end = min(time.start + (d.end or 0.0) * time.step + time.width / 2, a.duration)
            found.append(Segment(begin, max(end, begin), vocabulary.name(d.label), d.score))
    return found


def _finals(
    activations: Mapping[str, OnlineActivations],
    told: Mapping[str, Sequence[Decision]],
    reference: Mapping[str, Sequence[Segment]],
    vocabulary: Vocabulary,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the scores of all finals and whether each has found an instance that no better one found."""
    scores, right = [], []
    for video, a in activations.items():
        free = list(reference.get(video, ()))
        for mine in sorted(_segments(a, told[video], vocabulary), key=lambda s: -s.score):
            near = [(overlap(mine, s), i) for i, s in enumerate(free) if s.label == mine.label]
            best = max(near, default=(0.0, -1))
            scores.append(mine.score)
            right.append(best[0] >= SAME)
            if right[-1]:
                del free[best[1]]
    return np.array(scores, np.float64), np.array(right, bool)
