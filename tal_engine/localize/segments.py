"""Proposals -> segments: label ids become names, the operating point is applied."""

from __future__ import annotations

from ..options import SegmentOptions
from ..records import Proposals, Segment
from ..vocabulary import Vocabulary


def to_segments(proposals: Proposals, vocabulary: Vocabulary, options: SegmentOptions) -> list[Segment]:
    """Segments of score >= min_score, best first, at most top_k."""
    rows = proposals.data[proposals.data["score"] >= options.min_score]
    rows = rows[: options.top_k or None]
    return [
        Segment(float(r["start"]), float(r["end"]), vocabulary.name(int(r["label"])), float(r["score"])) for r in rows
    ]
