"""One picture from the pixel format of a file to packed RGB, with the same result as the ``ffmpeg`` program.

8-bit planar 4:2:0 and 4:2:2 pictures of unchanged size take libswscale's special converter, as in that program. Other
pictures with fewer chroma than luma samples have those scaled up: there PyAV's `VideoReformatter` differs from the
program's ``scale`` filter by where it takes chroma samples to lie (`chroma_location`) and by its default of bilinear
scaling, by 0.5 to 2 of 255 in the mean on test patterns. These go through the filter itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

#: Formats of libswscale's special converter to RGB, and those of the same layout.
_SPECIAL = {"yuv420p", "yuvj420p", "yuva420p", "yuv422p", "yuvj422p", "yuva422p"}


@dataclass(slots=True)
class Converter:
    """Converts frames, one thread at a time. What it sets up is kept from frame to frame while their kind stays."""

    _plain: VideoReformatter = field(default_factory=VideoReformatter)
    _graph: av.filter.Graph | None = None
    _kind: tuple[object, ...] = ()

    def __call__(self, frame: VideoFrame, width: int, height: int, target: str) -> VideoFrame:
        """Convert the frame to `target` ("rgb24", "rgb48le") at width x height pixels.

        Raises:
            av.error.FFmpegError, ValueError: its pixel format cannot be converted.
        """
        if not _is_scaled(frame.format):
            # One thread: the decoder's threads already fill the cores, and the result is the same.
            return self._plain.reformat(frame, width, height, target, threads=1)
        kind = (frame.width, frame.height, frame.format.name, width, height, target)
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = _scaler(frame, width, height, target), kind
        self._graph.vpush(frame)
        return self._graph.vpull()


def _is_scaled(pixels: VideoFormat) -> bool:
    """Return whether chroma is subsampled and has to be scaled up by the general converter."""
    if pixels.is_rgb or len(pixels.components) < 3 or pixels.name in _SPECIAL:
        return False
    luma, chroma = pixels.components[0], pixels.components[1]
    return bool(chroma.width < luma.width or chroma.height < luma.height)


def _scaler(frame: VideoFrame, width: int, height: int, target: str) -> av.filter.Graph:
    """Build the filter graph that the ``ffmpeg`` program would use; resizing is bilinear, as elsewhere."""
    graph = av.filter.Graph()
    graph.threads = 1
    base = frame.time_base or Fraction(1, 1000)
    flags = "bicubic" if (width, height) == (frame.width, frame.height) else "bilinear"
    chain = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base),
        graph.add("scale", f"{width}:{height}:flags={flags}"),
        graph.add("format", f"pix_fmts={target}"),
        graph.add("buffersink"),
    ]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph
