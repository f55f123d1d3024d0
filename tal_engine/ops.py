"""The C++ core for NumPy: arrays in, arrays out; neither torch nor a plan is needed.

>>> from tal_engine import ops
>>> kept = ops.suppress([[1.0, 4.0], [1.2, 4.1], [8.0, 9.0]], [0.9, 0.8, 0.3], kind="hard", threshold=0.5)
>>> kept.rows.tolist()
[0, 2]

All calls take whole batches: `offsets` [videos + 1] says where each video begins in arrays that
hold the videos one after the other; without it there is one video. They release the GIL and leave
their inputs alone, and `threads` never changes a result. Input that is not finite, an interval that
ends before it starts, shapes that do not fit and options that make no sense raise ValueError.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .errors import UsageError
from .options import NmsOptions, ProposalOptions, SourceOptions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Proposed(NamedTuple):
    """Proposals of videos: start and end in snippets, half open; those of video v are rows offsets[v]:offsets[v + 1].

    start, end, score [n] float64; label [n] int32; offsets [videos + 1] int64.
    """

    start: Floats
    end: Floats
    score: Floats
    label: NDArray[np.int32]
    offsets: Ints


class Kept(NamedTuple):
    """What suppression left, best first in each video: rows of the input, their scores, and video borders.

    rows [m] int64; score [m] float64, after decay; offsets [videos + 1] int64.
    """

    rows: Ints
    score: Floats
    offsets: Ints


class Clusters(NamedTuple):
    """One contiguous cluster a point: bounds [N + 1], medoids [N] (frames), cost before and after each sweep."""

    bounds: Ints
    medoids: Ints
    cost: Floats


def propose(
    cas: ArrayLike,
    attention: ArrayLike | None = None,
    options: ProposalOptions | None = None,
    *,
    video: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    threads: int = 1,
) -> Proposed:
    """Groups of consecutive snippets above thresholds, scored by outer-inner contrast or by maximum.

    Args:
        cas: class activations [T, C], float32; the last column is background unless options say otherwise.
        attention: foreground attention [T], for sources of "attention".
        options: thresholds, scaling, scoring; PVLR's without it.
        video: class probabilities [videos, C] or, of one video, [C]; by the options' rule from the
            CAS without it.
        offsets: where videos begin; see the module.
        threads: of the core.

    Source: methods.md 1.5, 1.6 and 1.8; O(T) for each class and threshold.
    """
    values = _matrix(cas, "cas")
    focus = None if attention is None else np.asarray(attention, np.float32)
    where = _offsets(offsets, len(values))
    known = None if video is None else np.atleast_2d(np.asarray(video, np.float64))
    native = native_proposal_options(options)
    return Proposed(*_core.propose(values, focus, where, native, video=known, threads=threads))


def video_scores(
    cas: ArrayLike,
    options: ProposalOptions | None = None,
    *,
    offsets: ArrayLike | None = None,
    threads: int = 1,
) -> Floats:
    """Class probabilities [videos, classes] from the means of each class's largest activations (methods.md 1.8)."""
    values = _matrix(cas, "cas")
    return _core.video_scores(values, _offsets(offsets, len(values)), native_proposal_options(options), threads=threads)


def suppress(
    segments: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike | None = None,
    options: NmsOptions | None = None,
    *,
    offsets: ArrayLike | None = None,
    threads: int = 1,
    **changes: Any,
) -> Kept:
    """Non-maximum suppression of intervals: hard, linear, gaussian, or suppressor decay.

    Order: by score, ties by start, end, then position in the input; so the result depends on the
    order of the input only where two rows are the same.

    Args:
        segments: start and end [n, 2], any unit.
        scores: [n].
        labels: [n] int; one class without it.
        options: the rule; `NmsOptions()` without it. Published rules: `tal_engine.options.NMS_RULES`.
        offsets: where videos begin; see the module.
        threads: of the core.
        changes: fields of `NmsOptions` that differ from `options`.
    """
    both = np.asarray(segments, np.float64)
    both = both if both.size else both.reshape(-1, 2)
    if both.ndim != 2 or both.shape[1] != 2:
        raise UsageError(f"segments has shape {both.shape}, must be [n, 2]")
    rule = options or NmsOptions()
    try:
        rule = replace(rule, **changes) if changes else rule
    except TypeError:
        known = ", ".join(asdict(rule))
        raise UsageError(
            f"{', '.join(sorted(set(changes) - set(asdict(rule))))}: not an option; known: {known}"
        ) from None
    return suppress_columns(both[:, 0], both[:, 1], scores, labels, rule, offsets=offsets, threads=threads)


def suppress_columns(
    start: ArrayLike,
    end: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike | None,
    options: NmsOptions,
    *,
    offsets: ArrayLike | None = None,
    threads: int = 1,
) -> Kept:
    """As `suppress`, for starts [n] and ends [n] that are columns already, as `propose` gives them: no copy."""
    n = np.size(start)
    label = np.zeros(n, np.int32) if labels is None else labels
    native = native_nms_options(options)
    return Kept(*_core.suppress(start, end, scores, label, _offsets(offsets, n), native, threads=threads))


def average_precision(
    truth: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike],
    detections: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike, ArrayLike],
    *,
    tious: tuple[float, ...],
    classes: int,
    videos: int,
    matching: str = "best_free",
    rule: str = "interpolated",
    inclusive: bool = True,
    true_first: bool = False,
    ignorable: ArrayLike | None = None,
    threads: int = 1,
) -> Floats:
    """Average precision [tious, classes], all overlaps in one pass; `tal_engine.metrics` adds protocols and counts.

    Args:
        truth: columns video, label (int, from 0), start, end.
        detections: the same and score.
        tious: overlaps, at most 64.
        classes, videos: how many there are; ids are below.
        matching: "best_free" (ActivityNet) or "truth_first" (THUMOS14 development kit).
        rule: "interpolated" or "plain".
        inclusive: an overlap of exactly the threshold is enough.
        true_first: among equal scores true positives count first.
        ignorable: [n] bool; detections that are no false positives.
        threads: of the core.

    Returns:
        0 for a class without detections, NaN for one without truth.
    """
    native = _core.ApOptions(
        thresholds=list(tious),
        matching=getattr(_core.Matching, matching),
        rule=getattr(_core.ApRule, rule),
        inclusive=inclusive,
        true_first=true_first,
    )
    video, label, start, end, score = detections
    return _core.average_precision(
        truth_video=truth[0], truth_label=truth[1], truth_start=truth[2], truth_end=truth[3],
        video=video, label=label, start=start, end=end, score=score,
        ignorable=None if ignorable is None else np.asarray(ignorable, np.uint8),
        classes=classes, videos=videos, options=native, threads=threads,
    )  # fmt: skip


def average_recall(
    truth: tuple[ArrayLike, ArrayLike, ArrayLike],
    proposals: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike],
    *,
    tious: tuple[float, ...],
    videos: int,
    max_average: float = 0.0,
    steps: int = 100,
    threads: int = 1,
) -> tuple[Floats, Floats]:
    """Recall [tious, steps] and the average number of proposals a video [steps] (AR@AN, ActivityNet toolkit).

    Args:
        truth: columns video, start, end.
        proposals: columns video, start, end, score.
        tious: overlaps.
        videos: how many there are.
        max_average: proposals a video at the right end; 0 takes all.
        steps: points of the curve.
        threads: of the core.
    """
    video, start, end, score = proposals
    return _core.average_recall(
        truth_video=truth[0], truth_start=truth[1], truth_end=truth[2],
        video=video, start=start, end=end, score=score,
        videos=videos, thresholds=list(tious), max_average=max_average, steps=steps, threads=threads,
    )  # fmt: skip


def boundary_pairs(
    start: ArrayLike, end: ArrayLike, *, peak_share: float = 0.5, d_min: int = 1, d_max: int = 0, top_k: int = 0
) -> tuple[Ints, Ints, Floats]:
    """Pairs of likely starts and ends of one video (BSN's rule, as APN uses it).

    Args:
        start, end: boundary probabilities [T].
        peak_share: a place is a candidate at a strict local peak or above this share of the largest value.
        d_min, d_max: allowed durations in snippets, both included; d_max 0 allows all.
        top_k: at most so many, by start probability * end probability; 0 keeps all.

    Returns:
        start [n], end [n] (snippets) and their score [n]; best first if capped, by place if not.
    """
    options = _core.BoundaryOptions(peak_share=peak_share, d_min=d_min, d_max=d_max, top_k=top_k)
    return _core.boundary_pairs(start, end, options)


def sampling_positions(start: ArrayLike, end: ArrayLike, *, points: int = 32, margin: float = 0.1) -> Floats:
    """Evenly spaced positions [n, points] over proposals widened by margin * duration on each side (methods.md 7)."""
    return _core.sampling_positions(start, end, points=points, margin=margin)


def constrained_kmedoids(features: ArrayLike, points: ArrayLike, *, max_sweeps: int = 100) -> Clusters:
    """One contiguous cluster a labelled point, by cosine distance (methods.md 7.3); O(T D) a sweep.

    Args:
        features: [T, D] float32.
        points: [N] frames, strictly rising.
        max_sweeps: a sweep is a forward and a backward pass.
    """
    return Clusters(*_core.constrained_kmedoids(_matrix(features, "features"), points, max_sweeps=max_sweeps))


def mine_actions(
    features: ArrayLike,
    points: ArrayLike,
    clusters: Clusters,
    *,
    anchors: ArrayLike | None = None,
    kappa: float = 0.5,
    floor: float = 1e-3,
) -> tuple[Ints, Ints]:
    """The action inside of each cluster, the rest being background: start [N], end [N], half open (methods.md 7.3).

    Args:
        features: [T, D] float32.
        points: [N] frames, strictly rising.
        clusters: of `constrained_kmedoids`.
        anchors: [N, D], from which the distances of a cluster's frames are taken; its medoid's frame without.
        kappa, floor: the outside of a profile is background if its mean distance is above the inside's by more than
            kappa standard deviations + floor.
    """
    return _core.mine_actions(
        _matrix(features, "features"), points, clusters.bounds, clusters.medoids, kappa=kappa, floor=floor,
        anchors=None if anchors is None else _matrix(anchors, "anchors"),
    )  # fmt: skip


def _matrix(values: ArrayLike, name: str) -> NDArray[np.float32]:
    out = np.asarray(values, np.float32)
    if out.ndim != 2:
        raise UsageError(f"{name} has shape {out.shape}, must have two dimensions")
    return out


def _offsets(offsets: ArrayLike | None, n: int) -> ArrayLike:
    return np.array([0, n]) if offsets is None else offsets


def native_proposal_options(options: ProposalOptions | None) -> _core.ProposalOptions:
    """The same options as the C++ struct."""
    options = options or ProposalOptions()
    fields = asdict(options)
    fields["sources"] = [_native_source(s) for s in options.sources]
    fields["class_score"] = getattr(_core.ClassScore, options.class_score)
    return _core.ProposalOptions(**fields)


def _native_source(s: SourceOptions) -> _core.SourceOptions:
    return _core.SourceOptions(
        of=getattr(_core.Of, s.of),
        thresholds=s.thresholds,
        scale=getattr(_core.Scale, s.scale),
        score_scale=getattr(_core.Scale, s.score_scale),
        scoring=getattr(_core.Scoring, s.scoring),
        outer_ratio=s.outer_ratio,
        class_weight=s.class_weight,
    )


@lru_cache(maxsize=64)
def native_nms_options(options: NmsOptions) -> _core.NmsOptions:
    """The same options as the C++ struct; kept, since making one takes as long as suppressing a hundred intervals."""
    return _core.NmsOptions(**{**asdict(options), "kind": getattr(_core.NmsKind, options.kind)})
