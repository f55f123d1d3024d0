"""Live streams: frames pushed one by one, events with a promise. Composes stages; owns buffering and settling."""

from .localizer import StreamingLocalizer
from .marks import Gap, PendingSnippet
from .scheduler import StreamScheduler
from .stream_state import StreamState
from .window import FeatureVector, StreamTiming, Window

__all__ = [
    "FeatureVector",
    "Gap",
    "PendingSnippet",
    "StreamScheduler",
    "StreamState",
    "StreamTiming",
    "StreamingLocalizer",
    "Window",
]
