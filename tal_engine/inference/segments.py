"""Proposals -> segments: label ids become names, the operating point is applied."""

from __future__ import annotations

from ..records import Proposals, Segment
from ..vocabulary import Vocabulary
from .score_rule import ScoreRule


def to_segments(proposals: Proposals, vocabulary: Vocabulary, rule: ScoreRule) -> list[Segment]:
    """Convert proposals with sufficient scores to segments, best first, at most `top_k`; scores are the shown ones."""
    rows = proposals.data[rule.enough(proposals)]
    rows = rows[: rule.top_k or None]
    return [
        Segment(float(r["start"]), float(r["end"]), vocabulary.name(int(r["label"])), float(r["score"])) for r in rows
    ]
