"""Activations -> proposals: groups above thresholds, pairs of boundaries that a graph scores, moments; then seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..backends import Backend
from ..errors import FeatureError, UsageError
from ..options import BoundaryOptions, ProposalOptions, PyramidOptions
from ..plan.online_fields import OnlineOptions
from ..records import PROPOSAL, Activations, Boundaries, OnlineActivations, Proposals, Pyramid, Scored
from .online_machine import BEGIN
from .online_scoring import decided
from .pyramid import decoded

#: Scores [P, C] of proposals: from an embedding [T, D] and the places [P, points] of it where they are read.
Evaluator = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def evaluator_of(graph: Backend) -> Evaluator:
    """Wrap a loaded graph as an evaluator."""
    return lambda embedding, positions: graph.run({"embedding": embedding, "positions": positions})["score"]


def propose(
    activations: Scored,
    options: ProposalOptions | BoundaryOptions | PyramidOptions | OnlineOptions,
    evaluator: Evaluator | None = None,
) -> Proposals:
    """Turn a video's activations into proposals in seconds, clipped to its duration.

    Args:
        activations: output of the head.
        options: of the kind that matches the activations.
        evaluator: scores pairs of boundaries.

    Raises:
        FeatureError: the activations are NaN or infinite.
        UsageError: activations, options and evaluator do not match.
    """
    try:
        proposed = _found(activations, options, evaluator)
    except UsageError:
        raise
    except ValueError as e:
        raise FeatureError(f"activations: {e}") from e
    data = np.empty(len(proposed.start), PROPOSAL)
    time = activations.timeline
    data["start"], data["end"] = time.left(proposed.start), time.right(proposed.end)
    np.clip(data["end"], None, activations.duration, out=data["end"])
    data["score"], data["label"] = proposed.score, proposed.label
    return Proposals(data[data["start"] < data["end"]], activations.duration)


def _found(
    a: Scored,
    options: ProposalOptions | BoundaryOptions | PyramidOptions | OnlineOptions,
    evaluator: Evaluator | None,
) -> ops.Proposed:
    if isinstance(a, OnlineActivations) and isinstance(options, OnlineOptions):
        return told(a, options)
    if isinstance(a, Boundaries) and isinstance(options, BoundaryOptions) and evaluator is not None:
        return paired(a.start, a.end, a.embedding, options, evaluator)
    if isinstance(a, Activations) and isinstance(options, ProposalOptions):
        return ops.propose(a.cas, a.attention, options, video=a.video)
    if isinstance(a, Pyramid) and isinstance(options, PyramidOptions):
        return decoded(a.score, a.distance, options, a.timeline)
    what = f"{type(a).__name__}, {type(options).__name__} and evaluator {evaluator}"
    raise UsageError(f"{what} do not make proposals together")


def told(activations: OnlineActivations, options: OnlineOptions) -> ops.Proposed:
    """Return the finals that a stream of the video would tell, best first: middles of snippets become edges."""
    finals = [d for d in decided(activations, options) if d.kind == "final"]
    finals.sort(key=lambda d: -d.score)
    time = activations.timeline
    half = time.width / (2 * time.step)
    return ops.Proposed(
        start=np.array([0.0 if d.start <= BEGIN else max(d.start + half, 0.0) for d in finals], np.float64),
        end=np.array([min(d.end + 1 - half if d.end is not None else np.inf, len(activations)) for d in finals]),
        score=np.array([d.score for d in finals], np.float64),
        label=np.array([d.label for d in finals], np.int32),
        offsets=np.array([0, len(finals)]),
    )


def paired(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    embedding: NDArray[np.float32],
    options: BoundaryOptions,
    evaluator: Evaluator,
) -> ops.Proposed:
    """Pair likely boundaries with every class: [s, e) of a start at s and an end at e.

    Args:
        start: start probabilities [T] of one video, see `Boundaries`.
        end: end probabilities [T].
        embedding: the video's embedding [T, D].
        options: which pairs, and where they are sampled.
        evaluator: class scores of pairs; a proposal's score is that times both boundary probabilities (BSN's product).
    """
    o = options
    starts, ends, likely = ops.boundary_pairs(
        start, end, peak_share=o.peak_share, d_min=o.d_min, d_max=o.d_max, top_k=o.top_k
    )
    scores = np.empty((0, 0), np.float32)
    if len(starts):
        places = ops.sampling_positions(starts, ends, points=o.points, margin=o.margin)
        scores = evaluator(embedding, places.astype(np.float32))
        if not np.isfinite(scores).all():  # NaN would be below every threshold, and its class lost without a word
            raise FeatureError("the evaluator gave scores that are NaN or infinite")
    row, label = np.nonzero(scores >= o.min_score)
    return ops.Proposed(
        start=starts[row].astype(np.float64),
        end=ends[row].astype(np.float64),
        score=scores[row, label].astype(np.float64) * likely[row],
        label=label.astype(np.int32),
        offsets=np.array([0, len(row)]),
    )
