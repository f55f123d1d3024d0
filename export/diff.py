"""Two plans, or two detection files, side by side: tensors, segments, manifest fields, mAP.

Runs plans as users do, on the CPU. What counts as the same segment is said in `matching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.names import distinct_names
from ..annotations import Annotations
from ..annotations.tables import Table
from ..engine import TALEngine
from ..errors import FeatureError, ParityError, UsageError
from ..metrics import WTAL_TIOUS, evaluate_tables, protocol
from ..plan.archive import Plan
from ..records import PROPOSAL, Segment
from ..results import Localization
from . import gate
from .matching import match, moved, rescored
from .variant import runnable

#: Form of `Difference.document`; fields may be added under the same name.
SCHEMA = "tal.diff/1"
#: Fields of a manifest that say when and by whom, or follow from the files.
_IGNORED = ("schema", "producer", "provenance", "parity", "members", "engines")


@dataclass(frozen=True)
class TensorDifference:
    """Of one output over all inputs: the worst difference, relative to 1 + the largest magnitude, and the mean one."""

    worst: float
    mean: float


@dataclass(frozen=True)
class SegmentDifference:
    """Segments of a source in A alone (vanished), in B alone (appeared), and in both: [from A, to B]."""

    total: int = 0
    vanished: Sequence[Segment] = ()
    appeared: Sequence[Segment] = ()
    moved: Sequence[tuple[Segment, Segment, float]] = ()
    rescored: Sequence[tuple[Segment, Segment, float]] = ()
    #: As the gate counts under the limits it was given.
    changed: int = 0


@dataclass
class Difference:
    """All of it. `tensors` and `fields` are empty for detection files, `mean_ap` without truth."""

    tensors: dict[str, TensorDifference] = field(default_factory=dict)
    segments: dict[str, SegmentDifference] = field(default_factory=dict)
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    mean_ap: dict[str, tuple[float, float]] = field(default_factory=dict)
    limits: gate.Limits = gate.FP32

    @property
    def counts(self) -> tuple[int, int]:
        """Segments of both sides, and how many of them the gate counts as changed."""
        parts = self.segments.values()
        return sum(s.total for s in parts), sum(s.changed for s in parts)

    @property
    def document(self) -> dict[str, Any]:
        """For machines: every field by its name, with the schema's."""
        return {"schema": SCHEMA, **asdict(self)}

    def refuse(self, what: str) -> None:
        """Apply the gate to the differences.

        Args:
            what: name of the comparison in messages.

        Raises:
            ParityError: tensors or segments differ by more than `limits`.
        """
        for name, t in self.tensors.items():
            if not t.worst <= self.limits.tensor:
                raise ParityError(f"{what}: {name} differs by {t.worst:.3g}, allowed is {self.limits.tensor:g}")
        total, changed = self.counts
        if changed > self.limits.changed_share * max(total, 1):
            share = self.limits.changed_share
            raise ParityError(f"{what}: {changed} of {total} segments differ, allowed is a share of {share:g}")


def compare_plans(a: Plan, b: Plan, sources: Sequence[Path] = (), truth: Annotations | None = None) -> Difference:
    """Run both plans on videos or feature files; on random features if there are none.

    The limits are those of the narrower precision of the two.

    Raises:
        UsageError: plans whose heads read other streams, or truth without sources.
        PlanError, FeatureError, VideoError: a source cannot be used.
    """
    if truth is not None and not sources:
        raise UsageError("truth is given without videos or features: random features have no actions")
    if a.manifest.streams != b.manifest.streams:
        raise UsageError(f"the plans read other streams: {a.manifest.streams} and {b.manifest.streams}")
    precisions = {a.manifest.precision, b.manifest.precision}
    narrow = next(p for p in ("int8", "bf16", "fp16", "fp32") if p in precisions)
    difference = Difference(fields=_fields(a, b), limits=gate.LIMITS[narrow])
    engines = tuple(TALEngine(runnable(p), "cpu") for p in (a, b))
    sums: dict[str, list[tuple[float, float, int]]] = {}
    results: tuple[dict[str, Sequence[Segment]], dict[str, Sequence[Segment]]] = ({}, {})
    for name, given in _inputs(a, sources):
        both = [_run(e, given) for e in engines]
        for output, pair in _paired(both).items():
            sums.setdefault(output, []).append(_tensor(f"{name}: {output}", *pair))
        segments = [list(result) for _, result in both]
        difference.segments[name] = compare_segments(segments[0], segments[1], difference.limits)
        for side, value in zip(results, segments, strict=True):
            side[name] = value
    for output, parts in sums.items():
        count = sum(n for *_, n in parts)
        difference.tensors[output] = TensorDifference(
            max(w for w, *_ in parts), sum(s for _, s, _ in parts) / max(count, 1)
        )
    if truth is not None:
        tables = (Table.of_segments(r, n).called_as(truth.videos) for r, n in zip(results, "AB", strict=True))
        difference.mean_ap = _mean_ap(truth, *tables)
    return difference


def compare_detections(a: Table, b: Table, truth: Annotations | None = None) -> Difference:
    """Compare two sets of detections, video by video, with no tolerance."""
    difference = Difference()
    if truth is not None:
        a, b = (t.called_as(truth.videos) for t in (a, b))
    videos = tuple(dict.fromkeys((*a.videos, *b.videos)))
    before, after = _by_video(a), _by_video(b)
    for video in videos:
        difference.segments[video] = compare_segments(before.get(video, []), after.get(video, []), difference.limits)
    if truth is not None:
        difference.mean_ap = _mean_ap(truth, a, b)
    return difference


def compare_segments(a: Sequence[Segment], b: Sequence[Segment], limits: gate.Limits) -> SegmentDifference:
    """Match the segments of a source and say what became of each."""
    names = {label: i for i, label in enumerate(dict.fromkeys(s.label for s in (*a, *b)))}
    x, y = (_rows(side, names) for side in (a, b))
    matching = match(x, y)
    pairs = [(a[i], b[j]) for i, j in matching.pairs]
    shifts, rises = moved(x, y, matching).tolist(), rescored(x, y, matching).tolist()
    return SegmentDifference(
        total=len(a) + len(b),
        vanished=[a[i] for i in matching.only_a],
        appeared=[b[j] for j in matching.only_b],
        moved=[(*p, s) for p, s in zip(pairs, shifts, strict=True) if s > gate.FP32.move_s],
        rescored=[(*p, r) for p, r in zip(pairs, rises, strict=True) if abs(r) > gate.FP32.score],
        changed=gate.changed_segments(x, y, limits),
    )


def _rows(segments: Sequence[Segment], names: Mapping[str, int]) -> NDArray[np.void]:
    return np.array([(s.start, s.end, s.score, names[s.label]) for s in segments], PROPOSAL)


def _by_video(table: Table) -> dict[str, list[Segment]]:
    segments: dict[str, list[Segment]] = {v: [] for v in table.videos}
    columns = zip(table.video, table.start, table.end, table.label, table.score, strict=True)
    for v, start, end, label, score in columns:
        segments[table.videos[v]].append(Segment(float(start), float(end), table.labels[label], float(score)))
    return segments


def _inputs(a: Plan, sources: Sequence[Path]) -> Iterable[tuple[str, Any]]:
    if sources:
        yield from zip(distinct_names(sources), sources, strict=True)
        return
    for feeds in gate.random_features(a.manifest.head):
        streams = {n: x[0] for n, x in feeds.items()}
        yield f"random, {len(next(iter(streams.values())))} snippets", streams


def _run(engine: TALEngine, source: Any) -> tuple[dict[str, NDArray[np.float32]], Localization]:
    """Return tensors by name, features of videos and then outputs of the head, and all segments."""
    tensors: dict[str, NDArray[np.float32]] = {}
    if isinstance(source, Path) and source.suffix != ".npz":
        source = engine.features(source)
        tensors |= {f"feature {n}": x for n, x in source.streams.items()}
    result = engine.localize(source, min_score=-np.inf, top_k=0)
    given = result.activations
    for name in ("cas", "attention", "video", "start", "end", "embedding"):
        if (value := getattr(given, name, None)) is not None:
            tensors[name] = value
    return tensors, result


def _paired(
    both: Sequence[tuple[dict[str, NDArray[np.float32]], Localization]],
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    a, b = (tensors for tensors, _ in both)
    return {name: (a[name], b[name]) for name in a if name in b}


def _tensor(what: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, float, int]:
    """Return the worst difference, the sum of differences and their count, in units of 1 + the largest magnitude."""
    if a.shape != b.shape:
        raise FeatureError(f"{what} has shape {list(a.shape)} in one plan and {list(b.shape)} in the other")
    away = np.abs(a - b) / (1 + np.abs(a).max(initial=0))
    return float(away.max(initial=0)), float(away.sum()), away.size


def _fields(a: Plan, b: Plan) -> dict[str, tuple[Any, Any]]:
    """List the manifest fields that differ, by their path."""
    x, y = (dict(_flat(p.manifest.model_dump(mode="json", by_alias=True))) for p in (a, b))
    names = [n for n in dict.fromkeys((*x, *y)) if n.split(".")[0] not in _IGNORED]
    return {n: (x.get(n), y.get(n)) for n in names if x.get(n) != y.get(n)}


def _flat(record: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(record, Mapping) and record:
        for key, value in record.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, record


def _mean_ap(truth: Annotations, a: Table, b: Table) -> dict[str, tuple[float, float]]:
    """mAP of both at 0.5 and averaged over 0.1:0.7, on the videos that were localized."""
    videos = [v for v in truth if v.name in {*a.videos, *b.videos}]
    if not videos:
        raise UsageError(f"{truth.source}: has none of the videos that were compared, such as {a.videos[0]!r}")
    labels = tuple(sorted({s.label for v in truth for s in v.instances}))
    wanted = Table.of_segments({v.name: v.instances for v in videos}, str(truth.source), labels)
    rules = protocol("activitynet").with_tious(WTAL_TIOUS)
    scores = [evaluate_tables(wanted, t, rules) for t in (a, b)]
    return {
        "0.5": (scores[0].at(0.5), scores[1].at(0.5)),
        "0.1:0.7": (scores[0].average, scores[1].average),
    }
