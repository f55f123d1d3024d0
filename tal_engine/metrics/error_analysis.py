"""Error analysis: which mistakes cost how much, on what kind of instances (the questions of DETAD).

Source of the questions: Alwassel et al., Diagnosing Error in Temporal Action Detectors, ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..annotations import Annotations
from ..annotations.tables import Table
from ..errors import DataError
from .detection import Evaluation, Prepared, prepare

#: Kinds of false positives, in the order in which they are told apart.
KINDS = ("double detection", "wrong label", "localization", "confusion", "background")

#: An overlap below this is no overlap at all.
_TOUCH = 0.1

#: Upper edges of the buckets (inclusive) and their names, THUMOS14's and ActivityNet's scale.
_BUCKETS = {
    "seconds": {
        "length (s)": ((3, 6, 12, 18), ("0-3", "3-6", "6-12", "12-18", "> 18")),
        "coverage (%)": ((2, 4, 6, 8), ("0-2", "2-4", "4-6", "6-8", "> 8")),
        "instances in the video": ((1, 4, 8, 40), ("1", "2-4", "5-8", "9-40", "> 40")),
    },
    "minutes": {
        "length (s)": ((30, 60, 120, 180), ("0-30", "30-60", "60-120", "120-180", "> 180")),
        "coverage (%)": ((20, 40, 60, 80), ("0-20", "20-40", "40-60", "60-80", "> 80")),
        "instances in the video": ((1, 4, 8, 40), ("1", "2-4", "5-8", "9-40", "> 40")),
    },
}


@dataclass(frozen=True)
class Cut:
    """What the best k * G detections of each class are, G its number of instances."""

    times_truth: int
    detections: int
    right: int
    wrong: dict[str, int]


@dataclass(frozen=True)
class Bucket:
    """Instances of one kind: how many, how many are never found, and the normalised mAP on them."""

    name: str
    instances: int
    missed: float
    normalised_map: float


@dataclass(frozen=True)
class ErrorAnalysis:
    """Everything the report shows.

    tiou: the overlap of all figures. map: plain mAP there. normalised_map: the same with every
    class as frequent as the average one. gain: mAP if mistakes of a kind were not there.
    """

    source: str
    evaluation: Evaluation
    tiou: float
    map: float
    normalised_map: float
    cuts: tuple[Cut, ...]
    gain: dict[str, float]
    characteristics: dict[str, tuple[Bucket, ...]]
    timelines: tuple[tuple[str, float, Table, Table], ...]


def analyse(
    annotations: Annotations, subset: str | None, detections: Table, evaluation: Evaluation, tiou: float = 0.5
) -> ErrorAnalysis:
    """Analyse the mistakes behind an evaluation at one overlap.

    Raises:
        DataError: there is nothing to analyse.
    """
    chosen = annotations.subset(subset)
    ambiguous = {name: v.ambiguous for name, v in chosen.items() if v.ambiguous}
    p = prepare(annotations.table(subset), detections, evaluation.protocol, ambiguous)
    if not len(p.truth):
        raise DataError("no instances, so there are no mistakes to analyse")
    durations = np.array([chosen[v].duration if v in chosen else 0.0 for v in p.truth.videos])
    matched = _Matched(p, tiou)
    return ErrorAnalysis(
        source=str(annotations.source),
        evaluation=evaluation,
        tiou=tiou,
        map=matched.mean_ap(),
        normalised_map=matched.mean_ap(normalised=True),
        cuts=tuple(matched.cut(k) for k in range(1, 11)),
        gain={kind: matched.mean_ap(without=kind) - matched.mean_ap() for kind in KINDS},
        characteristics=_characteristics(matched, p.truth, durations, "minutes" if np.median(durations) > 0 and
                                         np.median(p.truth.end - p.truth.start) > 20 else "seconds"),
        timelines=_timelines(p, durations),
    )  # fmt: skip


@dataclass(frozen=True)
class Matches:
    """What every detection is.

    Attributes:
        kind: [N] -1 for right, else the position in `KINDS`.
        instance: [N] the instance that a right detection found; -1 for others.
    """

    kind: NDArray[np.int8]
    instance: NDArray[np.int64]


def match(truth: Table, detections: Table, tiou: float = 0.5) -> Matches:
    """Match detections to instances, the best first, each instance once.

    Args:
        truth: instances.
        detections: with `videos` and `labels` numbered as in the truth.
        tiou: overlap from which a detection of the same label is right.

    Example:
        >>> truth = Table.of([("v", "jump", 0.0, 2.0, 1.0)], source="truth")
        >>> found = Table.of([("v", "jump", 0.0, 2.2, 0.9), ("v", "jump", 0.0, 2.0, 0.5)], source="found")
        >>> match(truth, found).kind.tolist()
        [-1, 0]
    """
    matched = _Matched(Prepared(truth, detections), tiou)
    return Matches(matched.kind, matched.match)


class _Matched:
    """Detections of each class in order, each right, or wrong in a way."""

    def __init__(self, p: Prepared, tiou: float) -> None:
        self._truth, self._detections, self._tiou = p.truth, p.detections, tiou
        self.kind = np.full(len(p.detections), -1, np.int8)  # -1 right, else position in KINDS
        self.match = np.full(len(p.detections), -1, np.int64)
        self._overlap_match()
        d = p.detections
        order = np.lexsort((d.video, d.end, d.start, -d.score))
        self.ranked = {c: order[d.label[order] == c] for c in range(len(p.truth.labels))}
        self.positives = np.bincount(p.truth.label, minlength=len(p.truth.labels))
        self.classes = [int(c) for c in np.flatnonzero(self.positives)]

    def _overlap_match(self) -> None:
        d, t = self._detections, self._truth
        taken = np.zeros(len(t), bool)
        truth_of = [np.flatnonzero(t.video == v) for v in range(len(t.videos))]
        for i in np.lexsort((d.video, d.end, d.start, -d.score)):
            near = truth_of[d.video[i]] if d.video[i] < len(truth_of) else np.zeros(0, np.intp)
            overlap = _tiou(d.start[i], d.end[i], t.start[near], t.end[near])
            same = t.label[near] == d.label[i]
            free = same & (overlap >= self._tiou) & ~taken[near]
            if free.any():
                best = near[np.argmax(np.where(free, overlap, -1.0))]
                taken[best], self.match[i] = True, best
                continue
            mine = float(overlap[same].max(initial=0.0))
            other = float(overlap[~same].max(initial=0.0))
            self.kind[i] = self._name(mine, other)

    def _name(self, mine: float, other: float) -> int:
        tests = (mine >= self._tiou, other >= self._tiou, mine >= _TOUCH, other >= _TOUCH, True)
        return tests.index(True)

    def cut(self, k: int) -> Cut:
        """Summarise the best k * G detections of each class."""
        rows = np.concatenate([self.ranked[c][: k * self.positives[c]] for c in self.classes])
        kinds = self.kind[rows]
        wrong = {name: int((kinds == i).sum()) for i, name in enumerate(KINDS)}
        return Cut(k, len(rows), int((kinds < 0).sum()), wrong)

    def mean_ap(
        self, *, without: str | None = None, normalised: bool = False, only: NDArray[np.bool_] | None = None
    ) -> float:
        """mAP; optionally as if one kind of mistake, or instances that are not `only`, were not there."""
        values = [self._ap(c, without, normalised, only) for c in self.classes]
        present = [v for v in values if v is not None]
        return float(np.mean(present)) if present else float("nan")

    def _ap(self, c: int, without: str | None, normalised: bool, only: NDArray[np.bool_] | None) -> float | None:
        rows = self.ranked[c]
        if without is not None:
            rows = rows[self.kind[rows] != KINDS.index(without)]
        positives = int(self.positives[c])
        right = self.kind[rows] < 0
        if only is not None:
            positives = int((only & (self._truth.label == c)).sum())
            rows = rows[~right | only[self.match[rows]]]
            right = self.kind[rows] < 0
        if positives == 0:
            return None
        hits, misses = np.cumsum(right), np.cumsum(~right)
        usual = float(self.positives[self.classes].mean()) if normalised else float(positives)
        good = hits / positives * usual
        precision = np.divide(good, good + misses, out=np.zeros(len(rows)), where=good + misses > 0)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(envelope[right].sum() / positives)

    def missed(self, group: NDArray[np.bool_]) -> float:
        """Return the share of a group of instances that no detection matches."""
        matched = np.zeros(len(self._truth), bool)
        matched[self.match[self.match >= 0]] = True
        return float((group & ~matched).sum() / max(int(group.sum()), 1))


def _tiou(start: float, end: float, starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    inter = np.clip(np.minimum(end, ends) - np.maximum(start, starts), 0, None)
    union = (ends - starts) + (end - start) - inter
    return np.asarray(np.divide(inter, union, out=np.zeros(len(starts)), where=union > 0))


def _characteristics(
    matched: _Matched, truth: Table, durations: NDArray[np.float64], scale: str
) -> dict[str, tuple[Bucket, ...]]:
    length = truth.end - truth.start
    count = np.bincount(truth.video, minlength=len(truth.videos))[truth.video].astype(float)
    values = {"length (s)": length, "instances in the video": count}
    if (durations[truth.video] > 0).all():
        values["coverage (%)"] = 100 * length / durations[truth.video]
    out = {}
    for name, (edges, names) in _BUCKETS[scale].items():
        if name in values:
            which = np.searchsorted(np.array(edges), values[name], side="left")
            out[name] = tuple(_bucket(matched, label, which == i) for i, label in enumerate(names))
    return out


def _bucket(matched: _Matched, name: str, group: NDArray[np.bool_]) -> Bucket:
    value = matched.mean_ap(normalised=True, only=group) if group.any() else float("nan")
    return Bucket(name, int(group.sum()), matched.missed(group), value)


def _timelines(
    p: Prepared, durations: NDArray[np.float64], most: int = 4
) -> tuple[tuple[str, float, Table, Table], ...]:
    """Return name, duration, truth and best detections of the videos with the most instances."""
    count = np.bincount(p.truth.video, minlength=len(p.truth.videos))
    out = []
    for v in np.argsort(-count, kind="stable")[:most]:
        truth = p.truth.where(p.truth.video == v)
        mine = np.flatnonzero(p.detections.video == v)
        best = mine[np.argsort(-p.detections.score[mine], kind="stable")][: 2 * len(truth)]
        keep = np.zeros(len(p.detections), bool)
        keep[best] = True
        detections = p.detections.where(keep)
        ends: Sequence[float] = [*truth.end, *detections.end, durations[v], 1e-3]
        out.append((p.truth.videos[v], float(max(ends)), truth, detections))
    return tuple(out)
