"""Live streams: frames pushed one by one, events with a promise. Composes stages; owns buffering and settling."""

from .localizer import StreamingLocalizer
from .scheduler import StreamScheduler
from .state import Gap, Ready, StreamState
from .window import Pace, Row, Window

__all__ = ["Gap", "Pace", "Ready", "Row", "StreamScheduler", "StreamState", "StreamingLocalizer", "Window"]
