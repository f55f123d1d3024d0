"""Frames to snippets: a fixed grid in time, a fixed size in pixels, windows in batches.

Every function is a generator, so memory holds one batch whatever the length of the video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError, VideoFault
from ..limits import Limits
from ..options import SnippetOptions, timeline_of
from ..records import Snippets
from .grid import SnippetGrid
from .picture import Picture
from .source import Image, VideoSource

Pixel = TypeVar("Pixel", np.uint8, np.float32)


def cut(
    video: VideoSource, options: SnippetOptions, batch: int = 8, *, show: Callable[[Image], Image] | None = None
) -> Iterator[Snippets]:
    """Yield the snippets of a video in batches of up to `batch`.

    Frames are resized and cropped; where flow is of whole frames, the flow stage crops them (`cropped`). With `show`
    that is done to each instead, whose results are all of one shape. Of a part of a video nothing is read behind it.

    Raises:
        VideoError: not one frame could be decoded, or the part lies behind the end.
    """
    timeline = timeline_of(options)
    part = video.part
    first, filled = part.first, 0
    frames: Image | None = None
    for window in _windows(video, options, show):
        if frames is None:
            frames = np.empty((batch, options.window, *window[0].shape), np.uint8)
        for place, picture in zip(frames[filled], window, strict=True):  # the one copy of a picture
            place[...] = picture
        filled += 1
        complete = first + filled == part.last
        if filled == batch and not complete:
            yield Snippets(frames, None, first, timeline, video.seen)
            first, filled, frames = first + batch, 0, None
        if complete:
            break
    if frames is not None:
        yield Snippets(frames[:filled], None, first, timeline, video.seen)
    elif first == part.first > 0:
        raise VideoError(VideoFault.NO_FRAMES, f"{video.name}: ends before its snippet {first}")
    elif first == 0:
        detail = f"; {video.lost} could not be decoded" if video.lost else ""
        raise VideoError(VideoFault.NO_FRAMES, f"{video.name}: has no frames{detail}")


def grid_of(options: SnippetOptions, video: VideoSource | None = None) -> SnippetGrid:
    """Create a grid that shows frames as the options say; frames for whole-frame flow are not cropped yet.

    It keeps to the limits of `video`; without a video it keeps to the defaults and serves a stream without end.
    """
    whole = options.crops_after_flow
    fitted = resized if whole else fit
    name, limits = ("stream", Limits()) if video is None else (video.name, video.limits)

    def show(make: Callable[[], Image]) -> Image:
        small = make.scaled(options, whole=whole) if one_pass and isinstance(make, Picture) else None
        if small is not None:
            return small
        image = make()
        high, wide = image.shape[:2]
        if options.resize:
            high, wide = options.fitted_size(high, wide)
        limits.check_picture(name, wide, high, "a picture is scaled to" if options.resize else "a picture is")
        return fitted(image, options)

    one_pass = options.resize_of == "yuv"
    first = 0 if video is None else video.part.first
    return SnippetGrid(options, show, limits, name, endless=video is None, first=first)


def _windows(
    video: VideoSource, options: SnippetOptions, show: Callable[[Image], Image] | None
) -> Iterator[list[Image]]:
    """Yield windows of images of all frames, and keep up to date how far the video was read."""
    grid = grid_of(options, video)
    if show is not None:
        grid = SnippetGrid(
            options, lambda make: show(make()), video.limits, video.name, endless=False, first=video.part.first
        )
    last: float | None = None
    for frame in video.frames:
        yield from grid.push(frame.pts_seconds, frame.image)
        last = max(frame.pts_seconds, 0.0)
        video.seen = last + video.frame_seconds
    if last is not None:
        video.seen = last + video.frame_seconds  # the last picture may stay for longer than the others
    window = options.window / options.fps
    if 0 < video.seen < window:
        video.warnings.append(
            f"{video.seen:.2f} s, shorter than a window of {window:.2f} s: filled with its last frame"
        )
    yield from grid.finish(video.seen)


def fit(image: NDArray[Pixel], options: SnippetOptions) -> NDArray[Pixel]:
    """Resize an image or flow field [H, W, C] to shorter side `resize` and crop its centre; resize 0 leaves it."""
    if not options.resize:
        return image
    h, w = options.fitted_size(*image.shape[:2])
    top, left = (h - options.crop) // 2, (w - options.crop) // 2
    scaled = _scaled(image, h, w, top + options.crop, left + options.crop, options)
    return scaled[top : top + options.crop, left : left + options.crop]


def resized(image: NDArray[Pixel], options: SnippetOptions) -> NDArray[Pixel]:
    """Resize an image or flow field [H, W, C] to shorter side `resize` without cropping; resize 0 leaves it."""
    if not options.resize:
        return image
    h, w = options.fitted_size(*image.shape[:2])
    return _scaled(image, h, w, h, w, options)


def _scaled(image: NDArray[Pixel], h: int, w: int, bottom: int, right: int, options: SnippetOptions) -> NDArray[Pixel]:
    """Scale the image to h x w, computing at least the rows and columns up to `bottom` and `right`."""
    tall, wide = image.shape[:2]
    if (tall, wide) == (h, w):
        return image
    needed = image[: _reach(bottom, h, tall), : _reach(right, w, wide)]
    area = options.interpolation == "area" and options.resize < min(tall, wide)
    method = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    return cv2.resize(needed, None, fx=w / wide, fy=h / tall, interpolation=method).astype(image.dtype, copy=False)


def _reach(end: int, scaled: int, stored: int) -> int:
    """Return how many of `stored` pixels, neighbours included, show in the first `end` of `scaled` pixels."""
    return min(math.ceil(end * stored / scaled) + 2, stored)


def cropped(images: NDArray[Pixel], options: SnippetOptions) -> NDArray[Pixel]:
    """Apply the flow stage's crop to whole images or flow [..., H, W, C]; leave what needs none."""
    if not (options.resize and options.crops_after_flow):
        return images
    top, left = ((side - options.crop) // 2 for side in images.shape[-3:-1])
    return np.ascontiguousarray(images[..., top : top + options.crop, left : left + options.crop, :])
