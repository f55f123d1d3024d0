"""The lab: networks, heads, methods, data sets and training. Needs torch; nothing outside of it imports it.

``from tal_engine.lab import fit`` is the whole way: ``fit("videos/", labels="labels.csv", output="mine.plan")``.
``distill("mine.plan", "videos/", "student.plan")`` makes a plan that costs less of one that is there (docs/distill.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["distill", "fit"]

if TYPE_CHECKING:
    from .distilling.run import distill
    from .fitting.run import fit

#: Modules of what is public here.
_HOMES = {"distill": ".distilling.run", "fit": ".fitting.run"}


def __getattr__(name: str) -> Any:
    """Load what is public when it is asked for: the rest of the lab does without."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = found
    return found
