"""Activations -> proposals: groups above thresholds, or pairs of boundaries that a graph scores; then seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..backends import Backend
from ..errors import FeatureError, UsageError
from ..options import BoundaryOptions, ProposalOptions
from ..records import PROPOSAL, Activations, Boundaries, Proposals

#: Scores [P, C] of proposals: from an embedding [T, D] and the places [P, points] of it where they are read.
Evaluator = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def evaluator_of(graph: Backend) -> Evaluator:
    """A loaded graph as an evaluator."""
    return lambda embedding, positions: graph.run({"embedding": embedding, "positions": positions})["score"]


def propose(
    activations: Activations | Boundaries,
    options: ProposalOptions | BoundaryOptions,
    evaluator: Evaluator | None = None,
) -> Proposals:
    """Proposals of a video in seconds, clipped to its duration.

    Args:
        activations: what the head gave.
        options: of the kind that fits them.
        evaluator: scores pairs of boundaries.

    Raises:
        FeatureError: the activations are NaN or infinite.
        UsageError: activations, options and evaluator do not fit each other.
    """
    try:
        found = _found(activations, options, evaluator)
    except UsageError:
        raise
    except ValueError as e:
        raise FeatureError(f"activations: {e}") from e
    data = np.empty(len(found.start), PROPOSAL)
    time = activations.timeline
    data["start"], data["end"] = time.left(found.start), time.right(found.end)
    np.clip(data["end"], None, activations.duration, out=data["end"])
    data["score"], data["label"] = found.score, found.label
    return Proposals(data[data["start"] < data["end"]], activations.duration)


def _found(
    a: Activations | Boundaries, options: ProposalOptions | BoundaryOptions, evaluator: Evaluator | None
) -> ops.Proposed:
    if isinstance(a, Boundaries) and isinstance(options, BoundaryOptions) and evaluator is not None:
        return paired(a.start, a.end, a.embedding, options, evaluator)
    if isinstance(a, Activations) and isinstance(options, ProposalOptions):
        return ops.propose(a.cas, a.attention, options, video=a.video)
    what = f"{type(a).__name__}, {type(options).__name__} and evaluator {evaluator}"
    raise UsageError(f"{what} do not make proposals together")


def paired(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    embedding: NDArray[np.float32],
    options: BoundaryOptions,
    evaluator: Evaluator,
) -> ops.Proposed:
    """Likely pairs of boundaries, each with every class that it may be: [s, e) of a start at s and an end at e.

    Args:
        start, end, embedding: of one video, see `Boundaries`.
        options: which pairs, and where they are read.
        evaluator: their scores by class; a proposal's is that times both boundaries' probabilities (BSN's product).
    """
    o = options
    starts, ends, likely = ops.boundary_pairs(
        start, end, peak_share=o.peak_share, d_min=o.d_min, d_max=o.d_max, top_k=o.top_k
    )
    scores = np.empty((0, 0), np.float32)
    if len(starts):
        places = ops.sampling_positions(starts, ends, points=o.points, margin=o.margin)
        scores = evaluator(embedding, places.astype(np.float32))
    row, label = np.nonzero(scores >= o.min_score)
    return ops.Proposed(
        start=starts[row].astype(np.float64),
        end=ends[row].astype(np.float64),
        score=scores[row, label].astype(np.float64) * likely[row],
        label=label.astype(np.int32),
        offsets=np.array([0, len(row)]),
    )
