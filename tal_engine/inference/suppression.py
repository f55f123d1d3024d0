"""Proposals -> fewer proposals: non-maximum suppression in the C++ core."""

from __future__ import annotations

from .. import ops
from ..options import NmsOptions
from ..records import Proposals


def suppress(proposals: Proposals, options: NmsOptions) -> Proposals:
    """Suppress overlapping proposals of the same class; best first, scores decayed."""
    data = proposals.data
    kept = ops.suppress_columns(data["start"], data["end"], data["score"], data["label"], options)
    out = data[kept.rows]
    out["score"] = kept.score
    return Proposals(out, proposals.duration)
