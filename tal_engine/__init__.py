"""Temporal action localization you can deploy: a video in, labelled time segments out.

>>> from tal_engine import TALEngine
>>> for segment in TALEngine.load("pvlr.plan").localize("my.mp4"):
...     print(segment.start, segment.end, segment.label, segment.score)

Importing the package loads nothing heavy; the names below load what they need on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Features", "Localization", "Segment", "TALEngine", "TALError", "Timeline", "__version__"]

if TYPE_CHECKING:
    from .engine import TALEngine
    from .errors import TALError
    from .records import Features, Localization, Segment
    from .timeline import Timeline

_HOME = {
    "TALEngine": "engine",
    "TALError": "errors",
    "Features": "records",
    "Localization": "records",
    "Segment": "records",
    "Timeline": "timeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f".{_HOME[name]}", __name__)
    except ImportError as e:
        if (e.name or "").endswith("_core") or "_core" in str(e):
            e.add_note("The C++ core is missing. Did you forget to compile? Run: pip install -e .")
        raise
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
