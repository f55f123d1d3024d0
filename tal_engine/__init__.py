"""Temporal action localization you can deploy: a video in, labelled time segments out.

>>> from tal_engine import TALEngine
>>> for segment in TALEngine.load("pvlr.plan").localize("my.mp4"):  # doctest: +SKIP
...     print(segment.start, segment.end, segment.label, segment.score)  # seconds

Importing the package loads nothing heavy; the names below load what they need on first use.
"""

# Without `from __future__ import annotations`, which would be what `from tal_engine import annotations` finds.

import importlib
from typing import TYPE_CHECKING, Any

from . import _former

__version__ = "0.2.0"

__all__ = [
    "BackendError",
    "CheckpointError",
    "DataError",
    "Event",
    "ExportError",
    "FeatureError",
    "Features",
    "FlowError",
    "GraphTimeoutError",
    "Limits",
    "LiveOptions",
    "LiveSource",
    "Localization",
    "MissingExtraError",
    "NmsOptions",
    "ParityError",
    "Plan",
    "PlanError",
    "ProposalOptions",
    "Segment",
    "SegmentOptions",
    "SinkError",
    "SnapshotError",
    "SnippetOptions",
    "SourceError",
    "StateError",
    "StreamOptions",
    "StreamScheduler",
    "StreamingLocalizer",
    "TALEngine",
    "TALError",
    "Timeline",
    "TrainingError",
    "UsageError",
    "VideoError",
    "Vocabulary",
    "__version__",
    "load_features",
    "open_live",
    "open_video",
    "read_plan",
    "save_features",
]

if TYPE_CHECKING:
    from .engine import TALEngine
    from .errors import (
        BackendError,
        CheckpointError,
        DataError,
        ExportError,
        FeatureError,
        FlowError,
        GraphTimeoutError,
        MissingExtraError,
        ParityError,
        PlanError,
        SinkError,
        SnapshotError,
        SourceError,
        StateError,
        TALError,
        TrainingError,
        UsageError,
        VideoError,
    )
    from .events import Event
    from .features import load_features, save_features
    from .limits import Limits
    from .live.live_source import LiveSource, open_live
    from .options import LiveOptions, NmsOptions, ProposalOptions, SegmentOptions, SnippetOptions, StreamOptions
    from .plan.archive import Plan, read_plan
    from .records import Features, Segment
    from .results import Localization
    from .streaming import StreamingLocalizer, StreamScheduler
    from .timeline import Timeline
    from .video import open_video
    from .vocabulary import Vocabulary

#: Module -> names that are found in it.
_NAMES = {
    "engine": "TALEngine",
    "results": "Localization",
    "records": "Features Segment",
    "timeline": "Timeline",
    "vocabulary": "Vocabulary",
    "events": "Event",
    "limits": "Limits",
    "options": "LiveOptions NmsOptions ProposalOptions SegmentOptions SnippetOptions StreamOptions",
    "plan.archive": "Plan read_plan",
    "live.live_source": "LiveSource open_live",
    "video": "open_video",
    "streaming": "StreamScheduler StreamingLocalizer",
    "features": "load_features save_features",
    "errors": (
        "BackendError CheckpointError DataError ExportError FeatureError FlowError GraphTimeoutError "
        "MissingExtraError ParityError PlanError SinkError SnapshotError SourceError StateError TALError "
        "TrainingError UsageError VideoError"
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

_former.install()


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
