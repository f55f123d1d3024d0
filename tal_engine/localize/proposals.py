"""Activations -> proposals: multi-threshold grouping in the C++ core, then seconds."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..errors import FeatureError
from ..options import ProposalOptions
from ..records import PROPOSAL, Activations, Proposals


def propose(activations: Activations, options: ProposalOptions) -> Proposals:
    """Proposals of a video in seconds, clipped to its duration.

    Raises:
        FeatureError: the activations are NaN or infinite.
    """
    try:
        found = ops.propose(activations.cas, activations.attention, options, video=activations.video)
    except ValueError as e:
        raise FeatureError(f"activations: {e}") from e
    data = np.empty(len(found.start), PROPOSAL)
    time = activations.timeline
    data["start"], data["end"] = time.left(found.start), time.right(found.end)
    np.clip(data["end"], None, activations.duration, out=data["end"])
    data["score"], data["label"] = found.score, found.label
    return Proposals(data[data["start"] < data["end"]], activations.duration)
