"""Video files through PyAV: a chain of small generators, each doing one thing to the frames.

What a file stores and what comes out, always 8-bit RGB of full range, [H, W, 3]:

- turned or mirrored by a display matrix (phones): applied; other angles go to the nearest right angle.
- pixels that are not square: stretched, the longer side growing, so that a picture has its display shape. (*)
- interlaced: deinterlaced by bwdif, one picture a frame; frames not marked as interlaced stay untouched. (*)
- limited or full range, BT.601, BT.709, BT.2020 YUV: by the file's tags; untagged is limited BT.601, as ffmpeg has it.
- 10, 12 or 16 bit: rounded to 8. (*) Gray: three equal channels. Transparency: ignored. (*)
- HDR (PQ, HLG): to BT.709 with the white of a page (203 cd/m2) near the top and highlights compressed. (*)
- other wide primaries, linear or logarithmic levels: as they are. (*)
- damaged frames: what ffmpeg makes of them is shown; what cannot be decoded counts as `lost`. (*)
- a size that changes: each frame by its own size.

(*) says so in `VideoSource.warnings`. A file with none of these takes one conversion and no further copy.
The rules have a name that is recorded with features, `options.PIXELS`; a change of them changes it.

Time: seconds since the start of the container (its earliest stream), from each frame's own time stamp;
nothing is counted or summed, so nothing drifts. Frames whose time goes back or leaps are dropped; frames
without any time follow at the nominal rate. (*)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import VideoError, VideoFault
from .pixels import Display, display_of, progressive
from .source import Frame, VideoSource

#: A step in time this far beyond what the container claims to hold is a broken time stamp.
_SLACK_S = 60.0
#: A file that ends this much earlier than it claims is reported as truncated.
_MISSING_S = 0.5
#: A step this long is a broken time stamp if the next frame takes it back.
_LEAP_S = 1.0
#: A pause between frames this long is reported.
_GAP_S = 10.0


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
        raise VideoError(VideoFault.NOT_A_VIDEO, f"{path}: cannot be read as a video ({why(e)})") from e
    try:
        return finite(str(path), container)
    except BaseException:
        container.close()
        raise


def finite(name: str, container: InputContainer) -> VideoSource:
    """The frames of a container that has an end.

    Raises:
        VideoError: it has no video stream.
    """
    video, stream = moving_pictures(name, container)
    stream.thread_type = "AUTO"
    start = None if container.start_time is None else container.start_time / av.time_base
    decoded = frames_of(container.demux(stream), stream, video)
    timed = _increasing(progressive(_timed(decoded, stream, start, video), video), video)
    video.frames = _shown(timed, stream, video)
    return video


def moving_pictures(name: str, container: InputContainer) -> tuple[VideoSource, VideoStream]:
    """The first video stream that is no cover, and a source that knows its rate and has no frames yet.

    Raises:
        VideoError: there is none.
    """
    pictures = [s for s in container.streams.video if not _is_cover(s)]
    if not pictures:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(VideoFault.NO_VIDEO_STREAM, f"{name}: has no moving pictures, only {kinds}")
    stream = pictures[0]
    rate = stream.average_rate or stream.guessed_rate or 25
    fps = float(rate) if rate and rate > 0 else 25.0
    video = VideoSource(
        name=name,
        frames=iter(()),
        fps=fps,
        frame_seconds=1.0 / fps,
        duration=_claimed_seconds(container, stream),
        release=container.close,
    )
    return video, stream


def _claimed_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _is_cover(stream: VideoStream) -> bool:
    """Album art is stored as a video stream of one picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def why(e: Exception) -> str:
    """What went wrong, without the name of the file or the address that was opened."""
    return str(getattr(e, "strerror", None) or e).strip()


def frames_of(packets: Iterator[Packet[VideoStream]], stream: VideoStream, video: VideoSource) -> Iterator[VideoFrame]:
    """Frames of the stream's packets in presentation order; broken packets are counted, not fatal."""
    skip = "DEFAULT"
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as e:  # the file ends in the middle of something
            video.warnings.append(f"reading stopped early: {why(e)}")
            yield from _flushed(stream)
            return
        if video.thinning.spares(packet):
            continue
        if video.thinning.skip != skip:
            stream.codec_context.skip_frame = skip = video.thinning.skip
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            video.lost += 1
            continue
        for frame in frames:
            video.decoded += 1
            yield frame


def left_out_before(frame: VideoFrame, video: VideoSource) -> int:
    """How many frames before this one were not decoded."""
    pts, base = frame.pts, frame.time_base
    return video.thinning.before(None if pts is None or base is None else pts * base.numerator / base.denominator)


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
        pts, base = frame.pts, frame.time_base
        if pts is not None and base is not None:
            absolute = pts * base.numerator / base.denominator  # as exact as their Fraction, in a sixth of its time
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


def _increasing(frames: Iterator[tuple[float, VideoFrame]], video: VideoSource) -> Iterator[tuple[float, VideoFrame]]:
    """Drop frames whose time goes back, leaps far beyond the end of the file, or leaps and is taken back at once."""
    last = -math.inf
    limit = math.inf if video.duration is None else video.duration + _SLACK_S
    dropped = 0
    leapt: tuple[float, VideoFrame] | None = None  # held until the next frame confirms its time
    for seconds, frame in frames:
        if seconds <= last or seconds > limit:
            dropped += 1
            video.lost += 1
            continue
        if leapt is not None:
            if seconds <= leapt[0]:
                dropped += 1
                video.lost += 1
            else:
                last = leapt[0]
                yield leapt
            leapt = None
        if seconds - last > _LEAP_S:
            leapt = seconds, frame
            continue
        last = seconds
        yield seconds, frame
    if leapt is not None:
        yield leapt
    if video.lost > dropped:
        video.warnings.append(f"{video.lost - dropped} pieces of the file could not be decoded")
    if dropped:
        video.warnings.append(f"{dropped} frames dropped: their time stamps go back or leap ahead")


def _shown(frames: Iterator[tuple[float, VideoFrame]], stream: VideoStream, video: VideoSource) -> Iterator[Frame]:
    """Frames whose pictures are made on demand; at the end, what is worth knowing about the whole file."""
    display: Display | None = None
    last, damaged = -math.inf, 0
    gap = (0.0, 0.0)
    for seconds, frame in frames:
        display = display or display_of(frame, stream, video)
        damaged += frame.is_corrupt
        if math.isfinite(last) and seconds - last > max(gap[1] - gap[0], _GAP_S):
            gap = (last, seconds)
        last = seconds
        yield Frame(seconds, partial(display.rgb, frame), left_out=left_out_before(frame, video))
    if damaged:
        video.warnings.append(f"{damaged} damaged frames are shown as far as they could be decoded")
    if gap[1]:
        video.warnings.append(f"no frames between {gap[0]:.2f} and {gap[1]:.2f} s: the one before is shown meanwhile")
    end = last + video.frame_seconds * (1 + video.thinning.pending)
    if video.duration is not None and end < video.duration - max(_MISSING_S, 2 * video.frame_seconds):
        video.warnings.append(f"the file ends early: {max(end, 0.0):.2f} of {video.duration:.2f} s could be decoded")
