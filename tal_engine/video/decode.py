"""Video files through PyAV: a chain of small generators, each doing one thing to the frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import VideoError, VideoFault
from .source import Frame, Image, VideoSource

#: A step in time this far beyond what the container claims to hold is a broken time stamp.
_SLACK_S = 60.0
#: A file that ends this much earlier than it claims is reported as truncated.
_MISSING_S = 0.5


def open_file(path: Path) -> VideoSource:
    """Open a video file.

    Raises:
        VideoError: missing, not a video, or without a video stream.
    """
    if not path.exists():
        raise VideoError(VideoFault.MISSING, f"{path}: no such file")
    if not path.is_file():
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{path}: not a file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, ValueError, OSError) as e:
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{path}: cannot be read as a video ({_why(e)})") from e
    try:
        return _from_container(path, container)
    except BaseException:
        container.close()
        raise


def _from_container(path: Path, container: InputContainer) -> VideoSource:
    pictures = [s for s in container.streams.video if not _is_cover(s)]
    if not pictures:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(VideoFault.NO_VIDEO_STREAM, f"{path}: has no moving pictures, only {kinds}")
    stream = pictures[0]
    stream.thread_type = "AUTO"
    rate = stream.average_rate or stream.guessed_rate or 25
    fps = float(rate) if rate and rate > 0 else 25.0
    start = None if container.start_time is None else container.start_time / av.time_base
    video = VideoSource(
        name=str(path),
        frames=iter(()),
        fps=fps,
        frame_seconds=1.0 / fps,
        duration=_claimed_seconds(container, stream),
        close=container.close,
    )
    decoded = _decoded(container, stream, video)
    video.frames = _increasing(_timed(decoded, stream, start, video), video)
    return video


def _claimed_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _is_cover(stream: VideoStream) -> bool:
    """Album art is stored as a video stream of one picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _why(e: Exception) -> str:
    return str(getattr(e, "strerror", None) or e).strip()


def _decoded(container: InputContainer, stream: VideoStream, video: VideoSource) -> Iterator[VideoFrame]:
    """Frames in presentation order; broken packets are counted, not fatal."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as e:  # the file ends in the middle of something
            video.warnings.append(f"reading stopped early: {_why(e)}")
            yield from _flushed(stream)
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            video.lost += 1
            continue
        for frame in frames:
            video.decoded += 1
            yield frame


def _flushed(stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from stream.decode(None)
    except av.error.FFmpegError:
        return


def _timed(
    frames: Iterator[VideoFrame], stream: VideoStream, start: float | None, video: VideoSource
) -> Iterator[tuple[float, VideoFrame]]:
    """Seconds since the start of the video; frames without a time stamp follow at the nominal rate."""
    previous: float | None = None
    untimed = 0
    for frame in frames:
        if frame.pts is not None and frame.time_base is not None:
            absolute = float(frame.pts * frame.time_base)
            if start is None:
                start = absolute
            seconds = absolute - start
        else:
            untimed += 1
            if untimed == 1:
                video.warnings.append(f"frames without time stamps: spaced by the nominal rate of {video.fps:.6g} fps")
            seconds = 0.0 if previous is None else previous + video.frame_seconds
        previous = seconds
        yield seconds, frame


def _increasing(frames: Iterator[tuple[float, VideoFrame]], video: VideoSource) -> Iterator[Frame]:
    """Drop frames whose time goes back or leaps far beyond the end of the file."""
    last = -np.inf
    limit = np.inf if video.duration is None else video.duration + _SLACK_S
    dropped = 0
    for seconds, frame in frames:
        if seconds <= last or seconds > limit:
            dropped += 1
            continue
        last = seconds
        yield Frame(seconds, lambda frame=frame: _rgb(frame))  # type: ignore[misc]
    if dropped:
        video.lost += dropped
        video.warnings.append(f"{dropped} frames dropped: their time stamps go back or leap ahead")
    end = last + video.frame_seconds
    if video.duration is not None and end < video.duration - max(_MISSING_S, 2 * video.frame_seconds):
        video.warnings.append(f"the file ends early: {max(end, 0.0):.2f} of {video.duration:.2f} s could be decoded")


def _rgb(frame: VideoFrame) -> Image:
    image: Image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
