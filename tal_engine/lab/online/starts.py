"""Chooses when starts are told: weights of the evidence, and its threshold for so many false alarms an hour.

The weights are those that make the evidence the probability that a start told now would be right and soon: what goes
on for longer is no start any more, and is left to its final. They are pulled towards `GIVEN`, so that a few videos move
them little; being five numbers of many snippets, they are fitted on the videos that the threshold is fitted on. Where
the hours at hand are too few to count the rate that is asked for, the threshold is taken from the tail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...annotations.tables import Table
from ...inference.online_machine import DECIMALS, Decision
from ...inference.online_scoring import decided
from ...inference.start_evidence import LEAST, MOST
from ...metrics.starts import EARLY_S, StartEvaluation, evaluate_starts
from ...plan.online_fields import LEAST_START, OnlineOptions, StartEvidence
from ...records import OnlineActivations
from ...vocabulary import Vocabulary

Floats = NDArray[np.float64]

#: A start is soon if it is told within so many seconds of the true one.
SOON_S = 2.0
#: What the weights are without any data.
GIVEN = StartEvidence()
#: How strongly they are pulled there: as if so many snippets of doubt and log-odds 1 said so.
PULL = 10.0
#: Rows of activations below that are no start, whatever else is said, and teach nothing.
_LIKELY = 0.1
#: So many false alarms are counted; of fewer, the rate is taken from the tail that so many show.
ENOUGH = 10
#: Log-odds of the thresholds that are tried.
_STEP = 0.15
_TRIED = tuple(float(z) for z in np.arange(np.log(LEAST_START / (1 - LEAST_START)), 9.0, _STEP))


@dataclass(frozen=True)
class Starting:
    """The rule with its evidence and threshold, and what starts are worth by it.

    expected: false alarms in these hours, as the tail says; None where they were counted. found: what the videos gave.
    """

    options: OnlineOptions
    threshold: float
    expected: float | None
    found: StartEvaluation

    def figures(self) -> dict[str, object]:
        """Return what is told of it, ready for JSON."""
        found = self.found
        return {
            "threshold": round(self.threshold, 5), "false_alarms": found.false_alarms, "recall": round(found.recall, 4),
            "from_the_tail": self.expected is not None, "delay_s": {k: round(v, 3) for k, v in found.delay.items()},
        }  # fmt: skip


def fit_starts(
    activations: Mapping[str, OnlineActivations],
    truth: Table,
    vocabulary: Vocabulary,
    options: OnlineOptions,
    per_hour: float,
) -> Starting:
    """Fit evidence, and the lowest threshold with so few false alarms.

    Args:
        activations: of each video.
        truth: what counts as true in them.
        vocabulary: the classes.
        options: all other numbers of the rule.
        per_hour: false alarms.
    """
    weights = fit_evidence(activations, truth, vocabulary, options.look_ahead)
    options, seconds = replace(options, evidence=weights), sum(a.duration for a in activations.values())
    alone = replace(options, guesses=())
    worths: dict[float, StartEvaluation] = {}

    def worth(z: float) -> StartEvaluation:
        start = 1 / (1 + float(np.exp(-z)))
        told = {v: decided(a, alone.starting_at(start)) for v, a in activations.items()}
        return evaluate_starts(truth, starts_table(activations, told, vocabulary), seconds)

    asked, wrong = per_hour * seconds / 3600, 0
    surest = max((_surest(a, weights, options.look_ahead) for a in activations.values()), default=0.0)
    for z in reversed(_TRIED):
        if z > surest + 2 * _STEP and z != _TRIED[0]:
            continue  # nothing is told there
        worths[z] = worth(z)
        wrong = max(wrong, worths[z].false_alarms)
        if wrong >= ENOUGH and wrong > asked:
            break
    counts = {z: w.false_alarms for z, w in worths.items()}
    z, expected = lowest_threshold(counts, asked)
    threshold = max(1 / (1 + float(np.exp(-z))), LEAST_START)
    return Starting(options.starting_at(threshold), threshold, expected, worth(z))


def lowest_threshold(counts: Mapping[float, int], asked: float) -> tuple[float, float | None]:
    """Find the lowest threshold with so few false alarms, by what each gave.

    Where fewer than `ENOUGH` are asked for, counting them says little. What exceeds a threshold by more and more gets
    rarer exponentially, with the mean excess of the false alarms above it: of the highest threshold that `ENOUGH` or
    more exceed (peaks over a threshold; Coles, An Introduction to Statistical Modeling of Extreme Values, 2001).

    Args:
        counts: false alarms, by threshold as log-odds; thresholds are equally far apart.
        asked: so many at most.

    Returns:
        The log-odds, and the false alarms that the tail expects there; None where they were counted.

    >>> lowest_threshold({0.0: 40, 1.0: 15, 2.0: 5}, 20)
    (1.0, None)
    >>> z, expected = lowest_threshold({0.0: 40, 1.0: 15, 2.0: 5, 3.0: 1}, 1)
    >>> 2 < z < 4, expected
    (True, 1)
    """
    tried = sorted(counts, reverse=True)
    most = np.maximum.accumulate([counts[z] for z in tried])  # a lower threshold may tell fewer: that is chance
    fine = np.flatnonzero(most <= asked)
    if asked >= ENOUGH or not most[-1]:
        return (tried[fine[-1]] if len(fine) else tried[0]), None
    above = int(np.argmax(most >= min(ENOUGH, most[-1])))
    if most[above] <= asked:
        return tried[-1], None
    step = tried[0] - tried[1] if len(tried) > 1 else 1.0
    excess = step * (0.5 + float(most[:above].sum()) / float(most[above]))
    return tried[above] + excess * float(np.log(most[above] / asked)), asked


def fit_evidence(
    activations: Mapping[str, OnlineActivations], truth: Table, vocabulary: Vocabulary, look_ahead: int
) -> StartEvidence:
    """Fit weights by Newton's method to whether a start told at a snippet would be right, and soon.

    Args:
        activations: of each video.
        truth: what counts as true.
        vocabulary: the classes.
        look_ahead: snippets that delayed activations come after their own.
    """
    given = np.array([GIVEN.now, GIVEN.before, GIVEN.seen, GIVEN.rival, GIVEN.offset])
    pull = np.diag([PULL / 4] * 4 + [1e-3])
    rows = [_rows(video, a, truth, vocabulary, look_ahead) for video, a in activations.items()]
    x, right = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    w = given.copy()
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + pull
        move = np.linalg.solve(hessian, x.T @ (right - p) - pull @ (w - given))
        most = float(np.abs(move).max())
        w = w + move / max(most, 1.0)  # whole steps may overshoot from far away
        if most < 1e-9:
            break
    now, before, seen, rival, offset = (round(float(v), 4) for v in w)
    return StartEvidence(now=now, before=before, seen=seen, rival=rival, offset=offset)


def _rows(
    video: str, a: OnlineActivations, truth: Table, vocabulary: Vocabulary, look_ahead: int
) -> tuple[Floats, Floats]:
    """Return the log-odds of likely classes at a video's snippets with a 1 behind, [n, 5], and who is right, [n]."""
    now, odds = np.asarray(a.now, np.float64).round(DECIMALS), _odds(a, look_ahead)
    moment = np.minimum(a.timeline.right(np.arange(1, len(now) + 1, dtype=np.float64)), a.duration)
    right = np.zeros(now.shape, bool)
    for i in np.flatnonzero(truth.video == truth.videos.index(video)):
        until = min(truth.end[i], truth.start[i] + SOON_S)
        inside = (truth.start[i] - EARLY_S <= moment) & (moment < until)
        right[inside, vocabulary.id(truth.labels[truth.label[i]])] = True
    likely = now >= _LIKELY
    return np.concatenate([odds[likely], np.ones((likely.sum(), 1))], axis=1), right[likely].astype(np.float64)


def _odds(a: OnlineActivations, look_ahead: int) -> Floats:
    """Return what evidence weighs at a video's snippets, as `Evidence` computes it one by one, [T, C, 4]."""
    now, seen = (np.asarray(v, np.float64).round(DECIMALS) for v in (a.now, a.cas))
    late = np.concatenate([now[:look_ahead], seen[: max(len(now) - look_ahead, 0)]])
    order = np.sort(now, axis=1)
    best = order[:, -1:]
    other = np.where(now == best, order[:, -2:-1], best) if now.shape[1] > 1 else np.zeros_like(now)
    said = np.stack([now, np.concatenate([now[:1], now[:-1]]), late, other], axis=2).clip(LEAST, MOST)
    return np.asarray(np.log(said / (1 - said)))


def _surest(a: OnlineActivations, w: StartEvidence, look_ahead: int) -> float:
    """Return the largest log-odds that evidence has in a video."""
    weights = np.array([w.now, w.before, w.seen, w.rival])
    return float((_odds(a, look_ahead) @ weights).max(initial=-np.inf)) + w.offset


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
