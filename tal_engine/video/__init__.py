"""Video to snippets. Knows containers, pixels and time; knows nothing of features or plans."""

from .snippet import cut
from .source import VideoSource, open_video

__all__ = ["VideoSource", "cut", "open_video"]
