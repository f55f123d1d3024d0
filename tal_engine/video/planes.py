"""Frames as a decoder stores them: 8-bit YUV with chroma of half resolution, half the bytes of RGB, for a graph.

Most files hold such frames. Of any other, and of one that has to be turned, stretched or toned down, the picture is
made by `pixels.Display`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from .._util.yuv import Layout, Matrix
from ..errors import VideoError, VideoFault
from ..options import SnippetOptions
from ..records import Snippets
from .layout import FULL, LIMITED, layout_of
from .snippet import cut
from .source import Frame, Image, VideoSource

#: libswscale's numbers of the matrices.
_SWSCALE: dict[Matrix, int] = {"bt709": 1, "bt601": 5, "bt2020": 9}


def planes_of(frame: VideoFrame, layout: Layout) -> NDArray[np.uint8]:
    """Return the bytes [size] of a frame of this layout."""
    rows, columns = layout.chroma
    width = columns if layout.kind == "yuv420p" else 2 * columns
    sides = [(layout.height, layout.width), *[(rows, width)] * (len(frame.planes) - 1)]
    out, at = np.empty(layout.size, np.uint8), 0
    for plane, (high, wide) in zip(frame.planes, sides, strict=True):
        stored = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
        out[at : at + high * wide].reshape(high, wide)[...] = stored[:high, :wide]
        at += high * wide
    return out


def cut_planes(video: VideoSource, options: SnippetOptions, batch: int = 8) -> tuple[Layout, Iterator[Snippets]] | None:
    """Cut a video into snippets of frames as they are stored: [N, window, size] bytes, described by `Layout`.

    Returns None, with the video as it was, where the first frame is not stored so. Later frames of another layout are
    converted to that of the first, with a warning.

    Raises:
        VideoError: not one frame could be decoded.
    """
    frames = iter(video.frames)
    first = next(frames, None)
    video.frames = _all(first, frames)
    layout = None if first is None or first.stored is None else layout_of(first.stored)
    if layout is None:
        return None
    video.limits.check_picture(video.name, layout.width, layout.height, "a picture is")
    video.frames = _as_stored(video, video.frames, layout)
    return layout, cut(video, options, batch, show=lambda image: image)


def _all(first: Frame | None, rest: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frame that was read ahead, then the rest. A generator, so that closing it closes the rest."""
    if first is not None:
        yield first
    yield from rest


def _as_stored(video: VideoSource, frames: Iterator[Frame], layout: Layout) -> Iterator[Frame]:
    reformatter, said = VideoReformatter(), False
    for frame in frames:
        if not said and (frame.stored is None or layout_of(frame.stored) != layout):
            video.warnings.append("frames change their size or pixel format: converted to those of the first one")
            said = True
        yield replace(frame, image=partial(_bytes, video.name, frame, layout, reformatter))


def _bytes(name: str, frame: Frame, layout: Layout, reformatter: VideoReformatter) -> Image:
    """Return the bytes of a frame in this layout, converting it if its own differs."""
    stored = frame.stored
    if stored is not None and layout_of(stored) == layout:
        return planes_of(stored, layout)
    if stored is None:
        stored = VideoFrame.from_ndarray(frame.image(), "rgb24")
    colour = {"dst_colorspace": _SWSCALE[layout.matrix], "dst_color_range": FULL if layout.full else LIMITED}
    try:
        same = reformatter.reformat(stored, layout.width, layout.height, layout.kind, threads=1, **colour)
    except (av.error.FFmpegError, ValueError) as e:
        what = f"pixels in {stored.format.name} cannot be turned into {layout.kind}"
        raise VideoError(VideoFault.BAD_FRAMES, f"{name}: {what} ({e})") from e
    return planes_of(same, layout)
