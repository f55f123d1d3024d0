"""Anything that gives frames in time order: a file, or an array of frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, VideoError, VideoFault
from .thinning import Thinning

Image = NDArray[np.uint8]

#: Endings by which files in a folder count as videos; a file that is named is always tried.
VIDEO_SUFFIXES = frozenset(
    [".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"]
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame on screen from `pts_seconds` until the next one; pixels are made on demand.

    left_out: so many frames between the one before and this one were not decoded.
    """

    pts_seconds: float
    image: Callable[[], Image]
    left_out: int = field(default=0, kw_only=True)


def _nothing() -> None:
    """What an array has to give back."""


@dataclass(slots=True)
class VideoSource:
    """An opened source.

    frames: yields `Frame` with strictly increasing `pts_seconds`, 0 at the start of the video.
    fps: nominal frames a second. frame_seconds: how long the last frame stays on screen.
    duration: what the container claims, seconds, or None. `decoded`, `lost`, `seen` (seconds up
    to the end of the last frame) and `warnings` are filled while the frames are read. thinning: what need not be
    decoded from now on.
    """

    name: str
    frames: Iterator[Frame]
    fps: float
    frame_seconds: float
    duration: float | None = None
    decoded: int = 0
    lost: int = 0
    seen: float = 0.0
    warnings: list[str] = field(default_factory=list)
    release: Callable[[], None] = _nothing
    thinning: Thinning = field(default_factory=Thinning)

    def close(self) -> None:
        """Give back what it holds; there are no more frames. Once is enough, and twice does no harm.

        Frames that were not read to the end know the source, and it knows them: left to the garbage collector, which
        sees small objects only, decoders of a thousand videos would stay for a while.
        """
        if isinstance(self.frames, Generator):
            self.frames.close()
        self.frames = iter(())
        release, self.release = self.release, _nothing
        release()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_video(source: str | Path | NDArray[np.uint8], fps: float | None = None) -> VideoSource:
    """Open a video file, or an array of frames.

    Args:
        source: a path, or frames [N, H, W, 3] RGB or [N, H, W] gray, uint8.
        fps: frames a second of an array; not allowed for a file, which knows its own time.

    Raises:
        VideoError: the source cannot be read; `fault` says in which way.
        UsageError: `fps` is missing for an array or given for a file.
    """
    if isinstance(source, np.ndarray):
        return _open_array(source, fps)
    if fps is not None:
        raise UsageError(f"fps={fps} was given for the file {source}; a file's frames carry their own times")
    from .decode import open_file

    return open_file(Path(source))


def _open_array(frames: NDArray[np.uint8], fps: float | None) -> VideoSource:
    if fps is None or not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"fps is {fps!r}, an array of frames needs a positive number of frames a second")
    if np.issubdtype(frames.dtype, np.floating):
        broken = "" if np.isfinite(frames).all() else " and some values are NaN or infinite"
        raise VideoError(VideoFault.BAD_FRAMES, f"frames are {frames.dtype}{broken}; must be uint8 RGB in 0..255")
    if frames.dtype != np.uint8:
        raise VideoError(VideoFault.BAD_FRAMES, f"frames are {frames.dtype}, must be uint8")
    if frames.ndim not in (3, 4) or (frames.ndim == 4 and frames.shape[3] not in (1, 3)):
        raise VideoError(
            VideoFault.BAD_FRAMES, f"frames have shape {list(frames.shape)}, must be [N, H, W, 3] or [N, H, W]"
        )
    if frames.shape[0] == 0 or 0 in frames.shape[1:3]:
        raise VideoError(VideoFault.NO_FRAMES, f"no frames in an array of shape {list(frames.shape)}")

    video = VideoSource("frames", iter(()), fps, 1.0 / fps, duration=len(frames) / fps)

    def walk() -> Iterator[Frame]:
        for i in range(len(frames)):
            video.decoded += 1
            yield Frame(i / fps, lambda i=i: _as_rgb(frames[i]))  # type: ignore[misc]

    video.frames = walk()
    return video


def _as_rgb(image: Image) -> Image:
    if image.ndim == 2:
        image = image[..., None]
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
