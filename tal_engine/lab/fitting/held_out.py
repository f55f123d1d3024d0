"""What a fit measures on held-out videos: figures with spread, by class, and which class is taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...annotations.labels import Kind, VideoLabels
from ...annotations.tables import Table
from ...metrics import WTAL_TIOUS, evaluate_tables, protocol
from ...metrics.segmental import PERCENTS, one_at_a_time, segmental_f1
from ...records import Segment
from .known import known_by, truth_of
from .outcomes import Outcomes, average_precision, mean_ap, outcomes_of

#: Headline figure of each kind of label, and what it can say.
MEASURES: Mapping[Kind, tuple[str, str]] = {
    "video": ("video mAP", "whether a video has an action; labels of videos cannot say how well it is found in time"),
    "point": (
        "point mAP",
        "segments that hold a clicked moment of their class; not where they start and end",
    ),
    "segment": ("mAP@0.1:0.7", "segments by their overlap with the true ones, averaged over tIoU 0.1 to 0.7"),
}


@dataclass(frozen=True)
class HeldOut:
    """Detections on videos, each by a head that was not trained on it.

    fold: of each video. seconds: duration of each video, by name. unknown: (video, class) that no detection can be
    judged for; `judged` leaves out what was detected there.
    """

    found: Table
    videos: tuple[VideoLabels, ...]
    fold: NDArray[np.int64]
    vocabulary: tuple[str, ...]
    kind: Kind
    seconds: Mapping[str, float]
    unknown: frozenset[tuple[str, str]] = frozenset()

    def outcomes(self) -> Outcomes:
        """Judge each detection right or wrong."""
        return outcomes_of(self.found, self.videos, self.vocabulary, self.kind, self.seconds)

    @property
    def hours(self) -> float:
        """Length of all videos."""
        return sum(self.seconds[v.name] for v in self.videos) / 3600

    def hours_of(self, label: str) -> float:
        """Length of the videos of which it is known when a class occurs in them, or that it does not."""
        return sum(self.seconds[v.name] for v in self.videos if (v.name, label) not in self.unknown) / 3600

    @property
    def able(self) -> int:
        """How many videos with actions have all their classes known."""
        bare = {name for name, _ in self.unknown}
        return sum(not v.background and v.name not in bare for v in self.videos)

    def judged(self, kind: Kind) -> HeldOut:
        """Take what labels of a kind can judge: detections of classes that a video knows so, or does not have."""
        unknown = frozenset((v.name, c) for v in self.videos for c in set(v.labels) - known_by(v, kind))
        t = self.found
        rows = np.array([(t.videos[v], t.labels[c]) not in unknown for v, c in zip(t.video, t.label, strict=True)],
                        bool)  # fmt: skip
        truth = tuple(truth_of(v, kind) for v in self.videos)
        return replace(self, found=t.where(rows), videos=truth, kind=kind, unknown=unknown)

    def part(self, keep: NDArray[np.bool_]) -> HeldOut:
        """Take some of the videos."""
        names = {v.name for v, k in zip(self.videos, keep, strict=True) if k}
        rows = np.array([self.found.videos[v] in names for v in self.found.video], bool)
        chosen = tuple(v for v in self.videos if v.name in names)
        return replace(self, found=self.found.where(rows), videos=chosen, fold=self.fold[keep])


def figures(held: HeldOut, outcomes: Outcomes) -> dict[str, Any]:
    """Measure figures by name, each with mean, deviation and values over the folds; and AP by class over all videos."""
    by_fold = [_figures(held.part(held.fold == k)) for k in np.unique(held.fold)]
    out = {}
    for name in by_fold[0]:
        values = [f[name] for f in by_fold if f[name] == f[name]]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        out[name] = {"mean": float(np.mean(values)) if values else None, "sd": sd, "values": values}
    return {"figures": out, "class_ap": class_ap(held, outcomes)}


def by_each_kind(held: HeldOut) -> dict[str, Any]:
    """Measure by every kind of label that some video has: the headline figure of it, and of how many videos."""
    out: dict[str, Any] = {}
    for kind, (name, _) in MEASURES.items():
        part = held.judged(kind)
        if part.able:
            out[kind] = {"measure": name, "videos": part.able, **figures(part, part.outcomes())["figures"][name]}
    return out


def _figures(held: HeldOut) -> dict[str, float]:
    """Measure one fold; NaN where it has nothing to find."""
    name = MEASURES[held.kind][0]
    if held.kind != "segment":
        return {name: mean_ap(held.outcomes(), len(held.vocabulary))}
    if not any(v.segments for v in held.videos):
        return {name: float("nan"), **{f"mAP@{t:g}": float("nan") for t in WTAL_TIOUS}}
    score = evaluate_tables(_truth(held), held.found, protocol("activitynet").with_tious(WTAL_TIOUS), threads=0)
    return {name: score.average, **{f"mAP@{t:g}": float(m) for t, m in zip(WTAL_TIOUS, score.mean_ap, strict=True)}}


def _truth(held: HeldOut) -> Table:
    labels = sorted({s.label for v in held.videos for s in v.segments})
    return Table.of_segments({v.name: v.segments for v in held.videos}, "labels", labels)


def class_ap(held: HeldOut, outcomes: Outcomes) -> dict[str, float | None]:
    """Measure the AP of each class over all held-out videos; None where a class occurs in none."""
    if held.kind == "segment":
        score = evaluate_tables(_truth(held), held.found, protocol("activitynet").with_tious(WTAL_TIOUS), threads=0)
        known = dict(zip(score.labels, score.ap.mean(axis=0).tolist(), strict=True))
        return {c: known.get(c) for c in held.vocabulary}
    found = {c: average_precision(*outcomes.of_class(i)) for i, c in enumerate(held.vocabulary)}
    return {c: None if x != x else x for c, x in found.items()}


def passing(held: HeldOut, probability: NDArray[np.float64], least: Mapping[str, float]) -> dict[str, list[Segment]]:
    """Take detections that reach the threshold of their class, by video, with their probabilities, in order of time.

    probability: of each row of `held.found`.
    """
    out: dict[str, list[Segment]] = {v.name: [] for v in held.videos}
    t = held.found
    for i in range(len(t)):
        label = t.labels[t.label[i]]
        if probability[i] >= least[label]:
            segment = Segment(float(t.start[i]), float(t.end[i]), label, float(probability[i]))
            out[t.videos[t.video[i]]].append(segment)
    return {name: sorted(of) for name, of in out.items()}


def segmental(held: HeldOut, shown: Mapping[str, Sequence[Segment]]) -> dict[str, float]:
    """Measure the segmental F1 of what passes its threshold, by overlap in percent; {} without true segments."""
    if held.kind != "segment":
        return {}
    truth = {v.name: v.segments for v in held.videos}
    single = {name: one_at_a_time(of) for name, of in shown.items()}
    return {str(p): segmental_f1(truth, single, p / 100) for p in PERCENTS}


#: What stands in a confusion for no action.
NOTHING = "(nothing)"


def confusion(held: HeldOut, shown: Mapping[str, Sequence[Segment]]) -> dict[str, Any]:
    """Count what is found where a label is: rows are labels and nothing, columns what passes its threshold and nothing.

    With times each label takes the best detection that is right about the time, whatever its class, its own class
    first. With labels of videos it takes its own class if that was found, else the best other class that is wrong.
    """
    names = [*held.vocabulary, NOTHING]
    at = {c: i for i, c in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for v in held.videos:
        free = sorted(shown.get(v.name, ()), key=lambda s: -s.score)
        if held.kind == "video":
            free = _one_of_each(free)
        for label, fits in _labels_of(v, held.kind):
            near = [s for s in free if fits(s)]
            best = next((s for s in near if s.label == label), near[0] if near else None)
            counts[at[label], at[best.label if best is not None else NOTHING]] += 1
            if best is not None:
                free.remove(best)
        for s in free:
            counts[at[NOTHING], at[s.label]] += 1
    return {"labels": names, "counts": counts.tolist()}


def _one_of_each(ranked: Sequence[Segment]) -> list[Segment]:
    first: dict[str, Segment] = {}
    for s in ranked:
        first.setdefault(s.label, s)
    return list(first.values())


def _labels_of(video: VideoLabels, kind: Kind) -> list[tuple[str, Any]]:
    """List each label of a video, and whether a detection is at its place."""
    if kind == "video":
        return [(c, lambda s, c=c: s.label == c or s.label not in video.labels) for c in video.labels]
    if kind == "point":
        return [(p.label, lambda s, p=p: s.start <= p.seconds <= s.end) for p in video.points]
    return [(t.label, lambda s, t=t: _overlap(s, t) >= 0.5) for t in video.segments]


def _overlap(a: Segment, b: Segment) -> float:
    inter = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    return inter / max((a.end - a.start) + (b.end - b.start) - inter, 1e-9)
