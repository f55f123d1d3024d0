"""How heads are trained: one file a method. Methods know heads and `nn`, never each other."""

from .protocol import (
    METHODS,
    Method,
    Remembering,
    has_views,
    load_method,
    milestones_of,
    uses_points,
    views_of,
)

__all__ = [
    "METHODS", "Method", "Remembering", "has_views", "load_method", "milestones_of", "uses_points", "views_of",
]  # fmt: skip
