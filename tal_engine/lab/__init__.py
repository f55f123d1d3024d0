"""The lab: networks, heads, methods, data sets and training. Needs torch; nothing outside of it imports it.

``from tal_engine.lab import fit`` is the whole way: ``fit("videos/", labels="labels.csv", output="mine.plan")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["fit"]

if TYPE_CHECKING:
    from .fitting.run import fit


def __getattr__(name: str) -> Any:
    """Load `fit` when it is asked for: the rest of the lab does without."""
    if name != "fit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .fitting.run import fit

    globals()["fit"] = fit
    return fit
