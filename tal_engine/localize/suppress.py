"""Proposals -> fewer proposals: non-maximum suppression in the C++ core."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..options import NmsOptions
from ..records import Proposals


def suppress(proposals: Proposals, options: NmsOptions) -> Proposals:
    """Suppress overlapping proposals of the same class; best first, scores decayed."""
    data = proposals.data
    kept = ops.suppress(np.stack([data["start"], data["end"]], axis=1), data["score"], data["label"], options)
    out = data[kept.rows]
    out["score"] = kept.score
    return Proposals(out, proposals.duration)
