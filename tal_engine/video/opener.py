"""Open a video file, an address, or frames in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._util.names import exists
from ..errors import UsageError, VideoError, VideoFault, require
from ..limits import Limits

if TYPE_CHECKING:
    pass
from .source import DECODERS, Frame, Image, VideoSource


def open_video(
    source: str | Path | NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    fps: float | None = None,
    limits: Limits | None = None,
    decoder: str = "ffmpeg",
) -> VideoSource:
    """Open a video file, or frames in memory.

    Args:
        source: a path; an address such as https://, s3:// or gs:// (extra ``remote``); ``playlist:PATH``, which reads
            the local files that a playlist lists; or frames [N, H, W, 3] RGB or [N, H, W] gray, uint8, also as a list
            or tuple of frames of one size.
        fps: frames per second of an array; not allowed for a file, whose frames carry their own times.
        limits: what the video may cost; default: `Limits`.
        decoder: of files: "ffmpeg", or "nvdec", which decodes on an NVIDIA GPU (extra ``nvdec``, see `video.nvdec`).

    Raises:
        BackendError: "nvdec", and no GPU supports it.
        VideoError: the source cannot be read; `fault` says in which way.
        MissingExtraError: an address, and the package that reads it is not installed.
        UsageError: a live or unknown address; `fps` is missing for frames or given for a file; the source is something
            else.

    >>> import numpy as np
    >>> from tal_engine import open_video
    >>> with open_video(np.zeros((3, 48, 64, 3), np.uint8), fps=25.0) as video:
    ...     [frame.pts_seconds for frame in video.frames]
    [0.0, 0.04, 0.08]
    """
    require(decoder in DECODERS, "decoder", decoder, f"one of {', '.join(map(repr, DECODERS))}")
    if isinstance(source, np.ndarray | list | tuple):
        video = _open_array(source, fps) if isinstance(source, np.ndarray) else _open_list(source, fps)
        video.limits = limits or video.limits
        return video
    if not isinstance(source, (str, Path)):
        kind = type(source).__name__  # not every caller checks types
        raise UsageError(f"a source is a {kind}, must be a path, an array or a list of frames")
    if fps is not None:
        raise UsageError(f"fps={fps} was given for the file {source}; a file's frames carry their own times")
    text = str(source)
    if "://" in text and not exists(text):
        from .remote import open_address

        video = open_address(text)
    else:
        from .decode import open_file

        video = open_file(source, decoder)
    video.limits = limits or video.limits
    if video.size is not None:
        try:
            video.limits.check_picture(video.name, *video.size, "its pictures are")
        except VideoError:
            video.close()
            raise
    return video


def _open_list(frames: Sequence[Any], fps: float | None) -> VideoSource:
    """Open frames [H, W, 3] or [H, W] of one size, without copying them."""
    if not frames:
        raise VideoError(VideoFault.NO_FRAMES, "no frames in an empty list")
    for i, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray):
            hint = "; localize_batch takes several sources" if isinstance(frame, (str, Path)) else ""
            raise UsageError(f"frame {i} of the list is a {type(frame).__name__}, must be an array [H, W, 3]{hint}")
        if frame.dtype != frames[0].dtype or frame.shape != frames[0].shape:
            what, first = (f"{f.dtype} {list(f.shape)}" for f in (frame, frames[0]))
            raise VideoError(VideoFault.BAD_FRAMES, f"frame {i} of the list is {what}, the first one is {first}")
    _check_array(frames[0][None])
    return _in_memory(frames, fps)


def _open_array(frames: NDArray[np.uint8], fps: float | None) -> VideoSource:
    _check_array(frames)
    return _in_memory(frames, fps)


def _check_array(frames: NDArray[np.uint8]) -> None:
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


def _in_memory(frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], fps: float | None) -> VideoSource:
    if fps is None or not (np.isfinite(fps) and fps > 0):
        raise UsageError(f"fps is {fps!r}, an array of frames needs a positive number of frames a second")
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
