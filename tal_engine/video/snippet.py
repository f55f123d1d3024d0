"""Frames to snippets: a fixed grid in time, a fixed size in pixels, windows in batches.

Every function is a generator, so memory holds one batch whatever the length of the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError, VideoFault
from ..options import SnippetOptions, timeline_of
from ..records import Snippets
from .grid import SnippetGrid
from .source import Image, VideoSource

Pixel = TypeVar("Pixel", np.uint8, np.float32)


def cut(video: VideoSource, options: SnippetOptions, batch: int = 8) -> Iterator[Snippets]:
    """Yield the snippets of a video in batches of up to `batch`.

    Frames are resized and cropped; where flow is of whole frames, the flow stage crops them (`cropped`).

    Raises:
        VideoError: not one frame could be decoded.
    """
    timeline = timeline_of(options)
    first = filled = 0
    frames: Image | None = None
    for window in _windows(video, options):
        if frames is None:
            frames = np.empty((batch, options.window, *window[0].shape), np.uint8)
        for place, picture in zip(frames[filled], window, strict=True):  # the one copy of a picture
            place[...] = picture
        filled += 1
        if filled == batch:
            yield Snippets(frames, None, first, timeline, video.seen)
            first, filled, frames = first + batch, 0, None
    if frames is not None:
        yield Snippets(frames[:filled], None, first, timeline, video.seen)
    elif first == 0:
        detail = f"; {video.lost} could not be decoded" if video.lost else ""
        raise VideoError(VideoFault.NO_FRAMES, f"{video.name}: has no frames{detail}")


def grid_of(options: SnippetOptions) -> SnippetGrid:
    """A grid that shows pictures as the options say; where flow is of whole frames, they are not cropped yet."""
    fitted = resized if options.crops_after_flow else fit
    return SnippetGrid(options, lambda image: fitted(image, options))


def _windows(video: VideoSource, options: SnippetOptions) -> Iterator[list[Image]]:
    """Windows of pictures of all frames; how far the video was read is kept up to date."""
    grid = grid_of(options)
    for frame in video.frames:
        yield from grid.push(frame.pts_seconds, frame.image)
        video.seen = max(frame.pts_seconds, 0.0) + video.frame_seconds
    window = options.window / options.fps
    if 0 < video.seen < window:
        video.warnings.append(
            f"{video.seen:.2f} s, shorter than a window of {window:.2f} s: filled with its last frame"
        )
    yield from grid.finish(video.seen)


def fitted_size(h: int, w: int, options: SnippetOptions) -> tuple[int, int]:
    """Height and width of a picture whose shorter side has become `resize`, before the crop."""
    scale = options.resize / min(h, w)
    return max(round(h * scale), options.resize), max(round(w * scale), options.resize)


def fit(image: NDArray[Pixel], options: SnippetOptions) -> NDArray[Pixel]:
    """Shorter side to `resize`, then the centre `crop`; a picture or a flow field, [H, W, C]. Resize 0 leaves it."""
    if not options.resize:
        return image
    h, w = fitted_size(image.shape[0], image.shape[1], options)
    top, left = (h - options.crop) // 2, (w - options.crop) // 2
    scaled = _scaled(image, h, w, top + options.crop, left + options.crop, options)
    return scaled[top : top + options.crop, left : left + options.crop]


def resized(image: NDArray[Pixel], options: SnippetOptions) -> NDArray[Pixel]:
    """Shorter side to `resize`, the whole picture or flow field, [H, W, C]. Resize 0 leaves it."""
    if not options.resize:
        return image
    h, w = fitted_size(image.shape[0], image.shape[1], options)
    return _scaled(image, h, w, h, w, options)


def _scaled(image: NDArray[Pixel], h: int, w: int, bottom: int, right: int, options: SnippetOptions) -> NDArray[Pixel]:
    """At least rows and columns up to `bottom` and `right` of the picture in h x w; the rest is not worked out."""
    tall, wide = image.shape[:2]
    if (tall, wide) == (h, w):
        return image
    needed = image[: _reach(bottom, h, tall), : _reach(right, w, wide)]
    area = options.interpolation == "area" and options.resize < min(tall, wide)
    method = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    return cv2.resize(needed, None, fx=w / wide, fy=h / tall, interpolation=method).astype(image.dtype, copy=False)


def _reach(end: int, scaled: int, stored: int) -> int:
    """How much of a side of `stored` pixels shows in the first `end` of `scaled` ones, neighbours included."""
    return min(math.ceil(end * stored / scaled) + 2, stored)


def cropped(images: NDArray[Pixel], options: SnippetOptions) -> NDArray[Pixel]:
    """The flow stage's crop of whole pictures or flow, [..., H, W, C]; what needs none stays as it is."""
    if not (options.resize and options.crops_after_flow):
        return images
    top, left = ((side - options.crop) // 2 for side in images.shape[-3:-1])
    return np.ascontiguousarray(images[..., top : top + options.crop, left : left + options.crop, :])
