"""Frames to snippets: a fixed grid in time, a fixed size in pixels, windows in batches.

Every function is a generator, so memory holds one batch whatever the length of the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from ..errors import VideoError, VideoFault
from ..options import SnippetOptions
from ..records import Snippets
from ..timeline import Timeline
from .source import Frame, Image, VideoSource


def timeline_of(options: SnippetOptions) -> Timeline:
    """Seconds of the snippet grid."""
    return Timeline(0.0, options.stride / options.fps, options.window / options.fps)


def cut(video: VideoSource, options: SnippetOptions, batch: int = 8) -> Iterator[Snippets]:
    """Yield the snippets of a video in batches of up to `batch`.

    Raises:
        VideoError: not one frame could be decoded.
    """
    timeline = timeline_of(options)
    first, pending = 0, list[Image]()
    for window in _windows(_slots(video, options), options):
        pending.append(window)
        if len(pending) == batch:
            yield Snippets(np.stack(pending), None, first, timeline, video.seen)
            first, pending = first + batch, []
    if first == 0 and not pending:
        detail = f"; {video.lost} could not be decoded" if video.lost else ""
        raise VideoError(VideoFault.NO_FRAMES, f"{video.name}: has no frames{detail}")
    if pending:
        yield Snippets(np.stack(pending), None, first, timeline, video.seen)


def _slots(video: VideoSource, options: SnippetOptions) -> Iterator[Image]:
    """Pictures on the regular grid.

    Slot n covers [n, n + 1) / fps and shows the frame on screen at its centre; before the first
    frame that is the first frame.
    """
    slot = 0
    shown: Frame | None = None
    picture: Image | None = None
    for frame in video.frames:
        while shown is not None and (slot + 0.5) / options.fps < frame.pts_seconds:
            picture = _fit(shown.image(), options) if picture is None else picture
            yield picture
            slot += 1
        shown, picture = frame, None
        video.seen = max(frame.pts_seconds, 0.0) + video.frame_seconds
    if shown is None:
        return
    for _ in range(slot, max(math.ceil(video.seen * options.fps - 0.5), 1)):
        picture = _fit(shown.image(), options) if picture is None else picture
        yield picture


def _fit(image: Image, options: SnippetOptions) -> Image:
    """Shorter side to `resize`, then the centre `crop`."""
    h, w = image.shape[:2]
    scale = options.resize / min(h, w)
    size = (max(round(w * scale), options.resize), max(round(h * scale), options.resize))
    if size != (w, h):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )
    top, left = (size[1] - options.crop) // 2, (size[0] - options.crop) // 2
    return image[top : top + options.crop, left : left + options.crop]


def _windows(slots: Iterator[Image], options: SnippetOptions) -> Iterator[Image]:
    """Windows [window, H, W, 3] every `stride` slots; the one place where short videos are padded."""
    held: list[Image] = []
    skip = given = 0
    fresh = 0  # slots in `held` that no window has shown yet
    for picture in slots:
        if skip:
            skip -= 1
            continue
        held.append(picture)
        fresh += 1
        if len(held) == options.window:
            yield np.stack(held)
            given += 1
            fresh = 0
            skip = max(options.stride - options.window, 0)
            held = held[options.stride :]
    if fresh and (options.tail == "pad" or given == 0):
        yield np.stack(held + [held[-1]] * (options.window - len(held)))
