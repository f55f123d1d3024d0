"""Activations -> proposals: multi-threshold grouping in the C++ core, then seconds."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from .. import _core
from ..errors import FeatureError
from ..options import ProposalOptions, SourceOptions
from ..records import PROPOSAL, Activations, Proposals


def native_options(options: ProposalOptions) -> _core.ProposalOptions:
    """The same options as the C++ struct."""
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


def propose(activations: Activations, options: ProposalOptions) -> Proposals:
    """Proposals of a video in seconds, clipped to its duration.

    Raises:
        FeatureError: the activations are NaN or infinite.
    """
    try:
        start, end, value, label, _ = _core.propose(
            activations.cas, activations.attention, np.array([0, len(activations)]), native_options(options)
        )
    except ValueError as e:
        raise FeatureError(f"activations: {e}") from e
    data = np.empty(len(start), PROPOSAL)
    time = activations.timeline
    data["start"], data["end"] = time.left(start), time.right(end)
    np.clip(data["end"], None, activations.duration, out=data["end"])
    data["score"], data["label"] = value, label
    return Proposals(data[data["start"] < data["end"]], activations.duration)
