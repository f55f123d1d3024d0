"""Video to snippets. Knows containers, pixels and time; knows nothing of features or plans."""

from .opener import open_video
from .snippet import cut
from .source import VideoSource

__all__ = ["VideoSource", "cut", "open_video"]
