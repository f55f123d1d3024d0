"""The C++ core for NumPy: arrays in, arrays out; neither torch nor a plan is needed.

>>> from tal_engine import ops
>>> kept = ops.suppress([[1.0, 4.0], [1.2, 4.1], [8.0, 9.0]], [0.9, 0.8, 0.3], kind="hard", threshold=0.5)
>>> kept.rows.tolist()
[0, 2]

All calls take whole batches: `offsets` [videos + 1] says where each video begins in arrays that hold the videos one
after the other; without it there is one video. Calls release the GIL and leave their inputs unchanged, and `threads`
never changes a result. Input that is not finite, an interval that ends before it starts, shapes that do not match and
options out of range raise ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    >>> from tal_engine import ops
    >>> ops.propose([[9.0, 0.0], [0.0, 9.0]], [0.9, 0.1]).offsets.tolist()  # one video
    [0, 19]
    """

    start: Floats
    end: Floats
    score: Floats
    label: NDArray[np.int32]
    offsets: Ints


class Kept(NamedTuple):
    """Result of suppression, best first in each video: rows of the input, their scores, and video borders.

    rows [m] int64; score [m] float64, after decay; offsets [videos + 1] int64.

    >>> from tal_engine import ops
    >>> ops.suppress([[8.0, 9.0], [1.0, 4.0]], [0.3, 0.9], kind="hard")
    Kept(rows=array([1, 0]), score=array([0.9, 0.3]), offsets=array([0, 2]))
    """

    rows: Ints
    score: Floats
    offsets: Ints


class Clusters(NamedTuple):
    """One contiguous cluster per point: bounds [N + 1], medoids [N] (frames), cost before and after each sweep.

    >>> from tal_engine import ops
    >>> clusters = ops.constrained_kmedoids([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], [0, 2])
    >>> clusters.bounds.tolist()
    [0, 2, 3]
    """

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
    """Group consecutive snippets above thresholds and score the groups by outer-inner contrast or by maximum.

    Args:
        cas: class activations [T, C], float32; the last column is background unless options say otherwise.
        attention: foreground attention [T], for sources of "attention".
        options: thresholds, scaling, scoring; default: PVLR's.
        video: class probabilities [videos, C] or, for one video, [C]; default: computed from the CAS by the options.
        offsets: where videos begin; see the module.
        threads: of the core.

    Source: the public code of CO2-Net, BaS-Net and LACP, which agree; O(T) for each class and threshold.

    >>> import numpy as np
    >>> from tal_engine import ProposalOptions, ops
    >>> from tal_engine.options import SourceOptions
    >>> cas = np.array([[0, 9], [8, 0], [8, 0], [0, 9]])  # one class and background
    >>> source = SourceOptions(of="attention", thresholds=(0.5,))
    >>> found = ops.propose(cas, [0.1, 0.9, 0.9, 0.1], ProposalOptions(sources=(source,)))
    >>> found.start.tolist(), found.end.tolist(), found.label.tolist()
    ([1.0], [3.0], [0])
    """
    values = _matrix(cas, "cas")
    attention_values = None if attention is None else np.asarray(attention, np.float32)
    borders = _offsets(offsets, len(values))
    probabilities = None if video is None else np.atleast_2d(np.asarray(video, np.float64))
    native = native_proposal_options(options)
    return Proposed(*_core.propose(values, attention_values, borders, native, video=probabilities, threads=threads))


def video_scores(
    cas: ArrayLike,
    options: ProposalOptions | None = None,
    *,
    offsets: ArrayLike | None = None,
    threads: int = 1,
) -> Floats:
    """Compute class probabilities [videos, classes] from the means of each class's largest activations.

    >>> from tal_engine import ops
    >>> ops.video_scores([[0, 0, 1], [9, 0, 0], [0, 0, 1]]).round(3).tolist()  # two classes and background
    [[1.0, 0.0]]
    """
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
    """Suppress overlapping intervals (NMS): hard, linear, gaussian, or suppressor decay.

    Order: by score, ties by start, end, then position in the input; so the result depends on the order of the input
    only where two rows are the same.

    Args:
        segments: start and end [n, 2], any unit.
        scores: [n].
        labels: [n] int; default: one class.
        options: the rule; default: `NmsOptions()`. Published rules: `tal_engine.options.NMS_RULES`.
        offsets: where videos begin; see the module.
        threads: of the core.
        changes: fields of `NmsOptions` that differ from `options`.

    >>> from tal_engine import ops
    >>> kept = ops.suppress([[1.0, 4.0], [1.2, 4.1], [8.0, 9.0]], [0.9, 0.8, 0.3])  # gaussian decay
    >>> kept.rows.tolist(), kept.score.round(2).tolist()
    ([0, 2, 1], [0.9, 0.3, 0.01])
    """
    intervals = np.asarray(segments, np.float64)
    intervals = intervals if intervals.size else intervals.reshape(-1, 2)
    if intervals.ndim != 2 or intervals.shape[1] != 2:
        raise UsageError(f"segments has shape {intervals.shape}, must be [n, 2]")
    rule = options or NmsOptions()
    try:
        rule = replace(rule, **changes) if changes else rule
    except TypeError:
        names = ", ".join(asdict(rule))
        raise UsageError(
            f"{', '.join(sorted(set(changes) - set(asdict(rule))))}: not an option; known: {names}"
        ) from None
    return suppress_columns(intervals[:, 0], intervals[:, 1], scores, labels, rule, offsets=offsets, threads=threads)


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
    """Do the same as `suppress` for starts [n] and ends [n] in separate arrays, as `propose` returns them: no copy.

    >>> import numpy as np
    >>> from tal_engine import NmsOptions, ops
    >>> start, end, score = np.array([1.0, 1.2]), np.array([4.0, 4.1]), np.array([0.9, 0.8])
    >>> ops.suppress_columns(start, end, score, None, NmsOptions(kind="hard", threshold=0.5)).rows.tolist()
    [0]
    """
    n = np.size(start)
    label = np.zeros(n, np.int32) if labels is None else labels
    native = native_nms_options(options)
    return Kept(*_core.suppress(start, end, scores, label, _offsets(offsets, n), native, threads=threads))


def scaled_picture(
    planes: Sequence[Any],
    lines: Sequence[int],
    stored: tuple[int, int],
    scaled: tuple[int, int],
    crop: tuple[int, int, int, int],
    colours: tuple[float, float, float, float, float, float],
) -> NDArray[np.uint8]:
    """Scale a stored 8-bit 4:2:0 frame and convert it to RGB, in one pass: pixels [rows, columns, 3].

    Each sample is the mean of what its pixel covers; both steps are linear, so the order changes rounding alone.

    Args:
        planes: Y, U and V, or Y and UV by turns; anything with a buffer of bytes. Chroma has half the rows and columns,
            rounded up.
        lines: bytes from one row of each plane to its next.
        stored: height and width of the frame.
        scaled: height and width of the whole picture.
        crop: its first row and column, and how many rows and columns are made.
        colours: code of black, and weights of luma in all colours, of V in red, of U and of V in green, of U in blue.

    >>> import numpy as np
    >>> from tal_engine import ops
    >>> y, chroma = np.full((4, 4), 200, np.uint8), np.full((2, 2), 128, np.uint8)
    >>> grey = (0.0, 1.0, 1.402, -0.344, -0.714, 1.772)
    >>> ops.scaled_picture([y, chroma, chroma], [4, 2, 2], (4, 4), (2, 2), (0, 0, 1, 2), grey).tolist()
    [[[200, 200, 200], [200, 200, 200]]]
    """
    return _core.scaled_picture(planes, lines, stored, scaled, crop, colours)


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
    ties: str = "ranked",
    rank: ArrayLike | None = None,
    ignorable: ArrayLike | None = None,
    threads: int = 1,
) -> Floats:
    """Compute average precision [tious, classes]; `tal_engine.metrics` adds protocols and counts.

    Args:
        truth: columns video, label (int, from 0), start, end.
        detections: the same and score.
        tious: overlaps, at most 64, all computed in one pass.
        classes: number of classes; labels are below.
        videos: number of videos; their ids are below.
        matching: "best_free" (ActivityNet) or "truth_first" (THUMOS14's kits).
        rule: "interpolated", "plain" (THUMOS14's later kit) or "eleven_point" (its first kit).
        inclusive: an overlap of exactly the threshold is enough.
        ties: where true positives stand among equal scores: "ranked" as the order says, "true_first" or "true_last".
        rank: [n] int; the order of detections, smallest first, higher scores before lower ones. Default: by score,
            then start, end, video and position.
        ignorable: [n] bool; detections that do not count as false positives.
        threads: of the core.

    Returns:
        0 for a class without detections, NaN for one without truth.

    >>> from tal_engine import ops
    >>> truth = [0, 0], [0, 0], [1.0, 6.0], [4.0, 9.0]
    >>> detections = [0, 0], [0, 0], [1.0, 6.0], [4.0, 7.0], [0.9, 0.8]
    >>> ops.average_precision(truth, detections, tious=(0.3, 0.5), classes=1, videos=1).tolist()
    [[1.0], [0.5]]
    """
    native = _core.ApOptions(
        thresholds=list(tious),
        matching=getattr(_core.Matching, matching),
        rule=getattr(_core.ApRule, rule),
        inclusive=inclusive,
        ties=getattr(_core.Ties, ties),
    )
    video, label, start, end, score = detections
    return _core.average_precision(
        truth_video=truth[0], truth_label=truth[1], truth_start=truth[2], truth_end=truth[3],
        video=video, label=label, start=start, end=end, score=score, rank=rank,
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
    """Compute recall [tious, steps] at average numbers of proposals per video [steps] (AR@AN, ActivityNet toolkit).

    Args:
        truth: columns video, start, end.
        proposals: columns video, start, end, score.
        tious: overlaps.
        videos: number of videos.
        max_average: proposals per video at the right end; 0 takes all.
        steps: points of the curve.
        threads: of the core.

    >>> from tal_engine import ops
    >>> truth, proposals = ([0], [1.0], [4.0]), ([0, 0], [8.0, 1.0], [9.0, 4.0], [0.9, 0.8])
    >>> recall, average = ops.average_recall(truth, proposals, tious=(0.5,), videos=1, steps=2)
    >>> recall.tolist(), average.tolist()  # the second of two proposals matches
    ([[0.0, 1.0]], [1.0, 2.0])
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
    """Pair likely starts and ends of one video (BSN's rule, as APN uses it).

    Args:
        start: start probabilities [T].
        end: end probabilities [T].
        peak_share: a place is a candidate at a strict local peak or above this share of the largest value.
        d_min: shortest duration in snippets, included.
        d_max: longest duration in snippets, included; 0 allows all.
        top_k: keep at most this many, by start probability * end probability; 0 keeps all.

    Returns:
        start [n], end [n] (snippets) and their score [n]; best first if capped, by place if not.

    >>> from tal_engine import ops
    >>> start, end, score = ops.boundary_pairs([0, 0.9, 0, 0, 0], [0, 0, 0, 0.8, 0], top_k=1)
    >>> start.tolist(), end.tolist(), score.round(2).tolist()
    ([1], [3], [0.72])
    """
    options = _core.BoundaryOptions(peak_share=peak_share, d_min=d_min, d_max=d_max, top_k=top_k)
    return _core.boundary_pairs(start, end, options)


def sampling_positions(start: ArrayLike, end: ArrayLike, *, points: int = 32, margin: float = 0.1) -> Floats:
    """Space positions [n, points] evenly over proposals widened by margin * duration on each side.

    >>> from tal_engine import ops
    >>> ops.sampling_positions([2.0], [6.0], points=3, margin=0.25).tolist()
    [[1.0, 4.0, 7.0]]
    """
    return _core.sampling_positions(start, end, points=points, margin=margin)


def constrained_kmedoids(features: ArrayLike, points: ArrayLike, *, max_sweeps: int = 100) -> Clusters:
    """Cluster snippets into one contiguous cluster per labelled point, by cosine distance; O(T D) a sweep.

    Args:
        features: [T, D] float32.
        points: [N] frames, strictly rising.
        max_sweeps: a sweep is a forward and a backward pass.

    >>> from tal_engine import ops
    >>> features = [[1.0, 0.0], [1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0], [0.0, 1.0]]
    >>> ops.constrained_kmedoids(features, [1, 4]).bounds.tolist()
    [0, 3, 6]
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
    """Find the action inside each cluster, the rest being background: start [N], end [N], half open.

    Args:
        features: [T, D] float32.
        points: [N] frames, strictly rising.
        clusters: of `constrained_kmedoids`.
        anchors: [N, D], from which the distances of a cluster's frames are measured; default: its medoid's frame.
        kappa: standard deviations by which the mean distance outside of an action exceeds that inside.
        floor: distance that is added to kappa standard deviations.

    >>> from tal_engine import ops
    >>> features = [[0, 1], [1, 0], [1, 0.1], [0, 1], [-1, 0], [-1, 0.1], [-1, 0], [0, -1]]
    >>> start, end = ops.mine_actions(features, [1, 5], ops.constrained_kmedoids(features, [1, 5]))
    >>> start.tolist(), end.tolist()
    ([1, 4], [3, 7])
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
    """Convert the options to the C++ struct.

    >>> from tal_engine import ops
    >>> ops.native_proposal_options(None).topk_ratio
    20
    """
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
    """Convert the options to the C++ struct. Cached: creating one takes as long as suppressing 100 intervals.

    >>> from tal_engine import NmsOptions, ops
    >>> ops.native_nms_options(NmsOptions(sigma=0.3)).sigma
    0.3
    """
    return _core.NmsOptions(**{**asdict(options), "kind": getattr(_core.NmsKind, options.kind)})
