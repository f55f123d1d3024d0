"""Detection mAP under a protocol: prepare truth and detections by its rules, match, average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .. import ops
from .._util.names import Finder
from ..annotations.tables import Table
from ..errors import DataError
from ..records import Segment
from ..vocabulary import Vocabulary
from .compat import average_precision as compat_average_precision
from .protocols import PROTOCOLS, Protocol

#: Ambiguous stretches by video: (start, end) in seconds.
Ambiguous = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Counts:
    """What went into a score, and what did not."""

    videos: int = 0
    instances: int = 0
    detections: int = 0
    excluded_videos: int = 0
    excluded_instances: int = 0
    duplicate_instances: int = 0
    short_instances: int = 0
    empty_instances: int = 0
    ambiguous_detections: int = 0
    foreign_detections: int = 0
    unknown_label_detections: int = 0
    excluded_detections: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Average precision by overlap and class; classes without truth are NaN and left out of means."""

    protocol: Protocol
    labels: tuple[str, ...]
    ap: NDArray[np.float64]
    counts: Counts
    warnings: tuple[str, ...] = ()

    @property
    def mean_ap(self) -> NDArray[np.float64]:
        """mAP at each overlap, in [0, 1]."""
        present = ~np.isnan(self.ap).all(axis=0) if self.ap.size else np.zeros(len(self.labels), bool)
        return np.asarray(self.ap[:, present].mean(axis=1)) if present.any() else np.zeros(len(self.protocol.tious))

    @property
    def average(self) -> float:
        """Mean of the mAPs over all overlaps."""
        return float(self.mean_ap.mean())

    def at(self, tiou: float) -> float:
        """mAP at one of the overlaps."""
        return float(self.mean_ap[self.protocol.tious.index(tiou)])

    def class_ap(self, tiou: float) -> dict[str, float]:
        """Return AP by class at one of the overlaps, for classes with truth."""
        row = self.ap[self.protocol.tious.index(tiou)]
        return {name: float(v) for name, v in zip(self.labels, row, strict=True) if not np.isnan(v)}


@dataclass
class Prepared:
    """Truth and detections after the protocol's rules, in the same names."""

    truth: Table
    detections: Table
    ignorable: NDArray[np.bool_] | None = None
    #: (start, end) of the detections' stretches of doubt, by video, after rounding.
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def evaluate(
    truth: Mapping[str, Sequence[Segment]],
    predictions: Mapping[str, Sequence[Segment]],
    vocabulary: Vocabulary | None = None,
    *,
    protocol: Protocol | None = None,
    tious: Sequence[float] | None = None,
) -> Evaluation:
    """Score segments by video.

    Args:
        truth: true instances by video; a video without any still counts its false positives.
        predictions: segments by video.
        vocabulary: the order of the classes; alphabetical without it.
        protocol: the rules; "activitynet" without it.
        tious: overlaps instead of the protocol's.

    Raises:
        DataError: a value that is not finite, or a segment that ends before it starts.
    """
    names = tuple(vocabulary) if vocabulary is not None else ()
    names = names or tuple(sorted({s.label for segments in truth.values() for s in segments}))
    rules = protocol or PROTOCOLS["activitynet"]
    rules = rules if tious is None else rules.with_tious(tuple(tious))
    return evaluate_tables(
        Table.of_segments(truth, "truth", names), Table.of_segments(predictions, "predictions"), rules
    )


def evaluate_tables(
    truth: Table, detections: Table, protocol: Protocol, *, ambiguous: Ambiguous | None = None, threads: int = 1
) -> Evaluation:
    """Score detections given as columns; see `evaluate`.

    Args:
        truth: its `videos` are the videos of the subset, also those without instances.
        detections: what is scored.
        protocol: the rules.
        ambiguous: stretches that no one could decide.
        threads: of the C++ core; the result does not depend on it.
    """
    p = prepare(truth, detections, protocol, ambiguous or {})
    counts = Counts(videos=len(p.truth.videos), instances=len(p.truth), detections=len(p.detections), **p.counts)
    if protocol.reproduces:
        ap = compat_average_precision(p.truth, p.detections, protocol)
    else:
        ap = _average_precision(p, protocol, threads)
    return Evaluation(protocol, p.truth.labels, ap, counts, tuple(p.warnings))


def _average_precision(p: Prepared, rules: Protocol, threads: int) -> NDArray[np.float64]:
    t, d = p.truth, p.detections
    return ops.average_precision(
        (t.video, t.label, t.start, t.end),
        (d.video, d.label, d.start, d.end, d.score),
        tious=rules.tious,
        classes=len(t.labels),
        videos=len(d.videos),
        matching=rules.matching,
        rule=rules.ap,
        inclusive=rules.inclusive,
        ties=rules.ties if rules.ties in ("true_first", "true_last") else "ranked",
        rank=None if rules.ties == "total" else _rank(d),
        ignorable=p.ignorable,
        threads=threads,
    )


def _rank(d: Table) -> NDArray[np.int64]:
    """Rank the detections by score, then name of the video, then position in the input."""
    place = {name: i for i, name in enumerate(sorted(d.videos))}
    by_name = np.array([place[name] for name in d.videos], np.int64)
    rank = np.empty(len(d), np.int64)
    rank[np.lexsort((by_name[d.video], -d.score))] = np.arange(len(d))
    return rank


def prepare(truth: Table, detections: Table, rules: Protocol, ambiguous: Ambiguous) -> Prepared:
    """Apply everything that comes before matching."""
    if not truth.labels:
        raise DataError("the truth has no instances, so there is nothing to score")
    detections = detections.called_as(truth.videos)
    truth, detections, counts, warnings = _excluded(truth, detections, rules)
    truth = _clean_truth(truth, rules, counts)
    if rules.round_s:
        truth, detections = (_rounded(t, rules.round_s) for t in (truth, detections))
        ambiguous = {
            v: [(_round(s, rules.round_s), _round(e, rules.round_s)) for s, e in a] for v, a in ambiguous.items()
        }
    counts["empty_instances"] = int((truth.end <= truth.start).sum())
    detections = _in_terms_of(truth, detections, rules, counts, warnings)
    doubtful = _touches(detections, ambiguous) if rules.ambiguous != "keep" else np.zeros(len(detections), bool)
    counts["ambiguous_detections"] = int(doubtful.sum())
    if rules.ambiguous == "drop":
        return Prepared(truth, detections.where(~doubtful), None, counts, warnings)
    return Prepared(truth, detections, doubtful if rules.ambiguous == "ignore" else None, counts, warnings)


def _excluded(truth: Table, detections: Table, rules: Protocol) -> tuple[Table, Table, dict[str, int], list[str]]:
    """Leave out the videos that the protocol leaves out."""
    find = Finder(truth.videos)
    gone = {find(name) or name for name in rules.exclude}
    kept = tuple(v for v in truth.videos if v not in gone)
    counts = {"excluded_videos": len(truth.videos) - len(kept)}
    remaining, present = truth.renamed(kept, truth.labels)
    counts["excluded_instances"] = int((~present).sum())
    stays = np.array([v not in gone for v in detections.videos], bool)
    keep = stays[detections.video] if len(detections) else np.zeros(0, bool)
    counts["excluded_detections"] = int((~keep).sum())
    return remaining, detections.where(keep), counts, []


def _clean_truth(truth: Table, rules: Protocol, counts: dict[str, int]) -> Table:
    keep = np.ones(len(truth), bool)
    if rules.min_instance_s >= 0:
        keep = truth.end - truth.start >= rules.min_instance_s
    counts["short_instances"] = int((~keep).sum())
    truth = truth.where(keep)
    if rules.duplicate_s >= 0:
        repeated = _repeated(truth, rules.duplicate_s)
        counts["duplicate_instances"] = int(repeated.sum())
        truth = truth.where(~repeated)
    return truth


def _repeated(truth: Table, tolerance: float) -> NDArray[np.bool_]:
    """Mark instances within a tolerance, at both ends, of an earlier kept one of their video and class."""
    out = np.zeros(len(truth), bool)
    kept: dict[tuple[int, int], list[int]] = {}
    for i in range(len(truth)):
        earlier = kept.setdefault((int(truth.video[i]), int(truth.label[i])), [])
        near = (
            abs(truth.start[i] - truth.start[j]) <= tolerance and abs(truth.end[i] - truth.end[j]) <= tolerance
            for j in earlier
        )
        if any(near):
            out[i] = True
        else:
            earlier.append(i)
    return out


def _round(seconds: float, unit: float) -> float:
    return float(np.rint(seconds / unit) * unit)


def _rounded(t: Table, unit: float) -> Table:
    return replace(t, start=np.rint(t.start / unit) * unit, end=np.rint(t.end / unit) * unit)


def _in_terms_of(
    truth: Table, detections: Table, rules: Protocol, counts: dict[str, int], warnings: list[str]
) -> Table:
    """Renumber detections by the truth's names; count and report names that only they have."""
    labels = truth.labels
    if rules.unknown_labels == "collide":
        detections = _collided(detections, labels)
    known_label = np.array([name in set(labels) for name in detections.labels], bool)
    unknown = ~known_label[detections.label] if len(detections) else np.zeros(0, bool)
    counts["unknown_label_detections"] = int(unknown.sum())
    if unknown.any():
        name = detections.labels[int(detections.label[int(np.argmax(unknown))])]
        warnings.append(f"{int(unknown.sum())} detections of classes without truth are left out, first: {name!r}")
    detections = detections.where(~unknown)
    strangers = tuple(v for v in detections.videos if v not in set(truth.videos))
    videos = truth.videos + strangers if rules.foreign_videos == "count" else truth.videos
    renumbered, present = detections.renamed(videos, labels)
    foreign = int((renumbered.video >= len(truth.videos)).sum()) + int((~present).sum())
    counts["foreign_detections"] = foreign
    if foreign:
        fate = "count as wrong" if rules.foreign_videos == "count" else "are left out"
        warnings.append(f"{foreign} detections in {len(strangers)} videos that the truth does not list {fate}, "
                        f"first: {strangers[0]!r}")  # fmt: skip
    return renumbered


def _collided(detections: Table, labels: tuple[str, ...]) -> Table:
    """Renumber as ActionFormer does: raw number -> position among the true classes, or else unchanged.

    Raw numbers are positions in the sorted list of all names.
    """
    every = sorted({*labels, *detections.labels})
    number = {name: i for i, name in enumerate(every)}
    became = {number[name]: i for i, name in enumerate(labels)}
    names = []
    for name in detections.labels:
        index = became.get(number[name], number[name])
        names.append(labels[index] if index < len(labels) else name)
    merged = tuple(dict.fromkeys(names))
    place = {name: i for i, name in enumerate(merged)}
    at = np.array([place[n] for n in names], np.int32)
    return replace(detections, labels=merged, label=at[detections.label] if len(detections) else detections.label)


def _touches(detections: Table, ambiguous: Ambiguous) -> NDArray[np.bool_]:
    """Mark detections that overlap an ambiguous stretch of their video."""
    out = np.zeros(len(detections), bool)
    at = {name: i for i, name in enumerate(detections.videos)}
    for name, stretches in ambiguous.items():
        if name not in at:
            continue
        mine = np.flatnonzero(detections.video == at[name])
        for start, end in stretches:
            inter = np.minimum(detections.end[mine], end) - np.maximum(detections.start[mine], start)
            out[mine[inter > 0]] = True
    return out
