"""How heads are trained: one file a method. Methods know heads and `nn`, never each other."""

from .protocol import (
    METHODS,
    Method,
    Remembering,
    earlier_of,
    has_views,
    load_method,
    milestones_of,
    mixes,
    uses_points,
    uses_segments,
    views_of,
)

__all__ = [
    "METHODS", "Method", "Remembering", "earlier_of", "has_views", "load_method", "milestones_of", "mixes",
    "uses_points", "uses_segments", "views_of",
]  # fmt: skip
