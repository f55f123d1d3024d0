"""Video files through PyAV: a chain of small generators, each doing one thing to the frames.

What a file stores and what comes out, always 8-bit RGB of full range, [H, W, 3]:

- turned or mirrored by a display matrix (phones): applied; other angles go to the nearest right angle.
- pixels that are not square: stretched, the longer side growing, so that a picture has its display shape. (*)
- interlaced: deinterlaced by bwdif, one picture a frame; frames not marked as interlaced stay untouched. (*)
- limited or full range, BT.601, BT.709, BT.2020 YUV: by the file's tags; untagged is limited BT.601, as ffmpeg has it.
- chroma of half resolution: brought up as the ffmpeg program does; 8-bit 4:2:0 and 4:2:2 by repeating samples, all
  others bicubically (rules 1 brought those up bilinearly, by each file's chroma location).
- 10, 12 or 16 bit: rounded to 8. (*) Gray: three equal channels. Transparency: ignored. (*)
- HDR (PQ, HLG): to BT.709 with the white of a page (203 cd/m2) near the top and highlights compressed. (*)
- other wide primaries, linear or logarithmic levels: as they are. (*)
- damaged frames: what ffmpeg makes of them is shown; what cannot be decoded counts as `lost`. (*)
- a size that changes: each frame by its own size.

(*) says so in `VideoSource.warnings`. A file with none of these takes one conversion and no further copy.
The rules have a name that is recorded with features, `options.PIXELS`; a change of them changes it.

Time: seconds since the start of the container (its earliest stream), from each frame's own time stamp; nothing is
counted or summed, so nothing drifts. A stamp is wrong only if its neighbours say so, whatever the header claims
(`file_clock`), and decoding times are not taken for presentation times (`stamps`). A frame with a broken stamp is
dropped, a clock that is set anew goes on where the old one ended, frames without a time follow at the pace of the
others. (*) The last picture stays for its own duration. docs/files.md describes all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .._util.opening import open_local
from ..errors import VideoError, VideoFault
from .file_clock import FileClock
from .frames import frames_of, left_out_before
from .nvdec import Decoder, NvdecDecoder
from .picture import Picture
from .pixels import Display, display_of, progressive
from .source import Frame, VideoSource
from .stamps import Stamps

#: Formats that come in pieces of some seconds, which are kept for a while: whoever asks gets the same ones.
SEGMENTED_FORMATS = frozenset(["hls"])
#: AVFMT_TS_DISCONT of libavformat.
_TS_DISCONT = 0x0200
#: Pictures up to this size are decoded by one thread: several would wait for each other (measured at 320x240: 19 % less
#: processor time), and the encoders, which run meanwhile, take longer.
_SMALL_PIXELS = 640 * 480
#: A file that ends this much earlier than it claims is reported as truncated.
_MISSING_S = 0.5
#: A pause between frames this long is reported.
_GAP_S = 10.0


def open_file(path: str | Path, decoder: str = "ffmpeg") -> VideoSource:
    """Open a video file; see `opening.open_local`, and `open_video` for the decoder.

    Raises:
        VideoError: missing, not a video, or without a video stream.
    """
    container = open_local(path)
    try:
        return finite(str(path), container, partial(NvdecDecoder, str(path)) if decoder == "nvdec" else None)
    except BaseException:
        container.close()
        raise


def finite(
    name: str, container: InputContainer, decoder: Callable[[VideoStream], Decoder] | None = None
) -> VideoSource:
    """Return the frames of a container that has an end; `decoder` may replace FFmpeg's decoder.

    Raises:
        VideoError: it has no video stream.
    """
    video, stream = first_video_stream(name, container)
    stream.thread_type = "AUTO"
    if stream.width * stream.height <= _SMALL_PIXELS:
        stream.codec_context.thread_count = 1
    start = None if container.start_time is None else container.start_time / av.time_base
    stamps = Stamps(container, stream, video.frame_seconds)
    discontinuous = is_discontinuous(container)
    clock: FileClock[VideoFrame] = FileClock(video.frame_seconds, 0.0, discontinuous, video.duration)
    decoded = frames_of(container.demux(stream), stream, video, stamps, decoder and decoder(stream))
    timed = _increasing(_timed(decoded, stream, start, video), video, clock)
    if decoder is None:
        video.export_vectors = partial(_export_vectors, stream)
    video.frames = _shown(progressive(timed, video), stream, video, clock, start, claims=not _is_reckoned(container))
    return video


def _export_vectors(stream: VideoStream) -> None:
    """Let the decoder put motion vectors beside its frames; before it has opened."""
    stream.codec_context.options = {**stream.codec_context.options, "export_side_data": "mvs"}


def is_discontinuous(container: InputContainer) -> bool:
    """Return whether time stamps may restart within such a container."""
    return bool(container.format.flags & _TS_DISCONT)


def _is_reckoned(container: InputContainer) -> bool:
    """Return whether the duration is FFmpeg's estimate from the outermost time stamps, not stored in the container."""
    return is_discontinuous(container) and container.format.name not in SEGMENTED_FORMATS


def first_video_stream(name: str, container: InputContainer) -> tuple[VideoSource, VideoStream]:
    """Return the first video stream that is not cover art, and a source with its rate and no frames yet.

    Raises:
        VideoError: there is no such stream.
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
        size=(stream.width, stream.height),
    )
    return video, stream


def _claimed_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _is_cover(stream: VideoStream) -> bool:
    """Return whether the stream is album art, which containers store as a video stream of one picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _timed(
    frames: Iterator[VideoFrame], stream: VideoStream, start: float | None, video: VideoSource
) -> Iterator[tuple[float | None, VideoFrame]]:
    """Yield each frame with its seconds since the start of the video; None without a time stamp."""
    for frame in frames:
        pts, base = frame.pts, frame.time_base
        if pts is None or base is None:
            yield None, frame
            continue
        absolute = pts * base.numerator / base.denominator  # as exact as their Fraction, in a sixth of its time
        if start is None:
            start = absolute
        yield absolute - start, frame


def _increasing(
    frames: Iterator[tuple[float | None, VideoFrame]], video: VideoSource, clock: FileClock[VideoFrame] | None = None
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield frames in increasing order of time; append what the clock corrected to the warnings at the end."""
    clock = clock or FileClock(video.frame_seconds, 0.0, claim=video.duration)
    dropped = 0
    for placed in clock.timed(frames):
        if clock.dropped != dropped:
            video.lost, dropped = video.lost + clock.dropped - dropped, clock.dropped
        yield placed
    video.lost += clock.dropped - dropped
    say = video.warnings.append
    if video.lost > clock.dropped:
        say(f"{video.lost - clock.dropped} pieces of the file could not be decoded")
    if clock.dropped:
        say(f"{clock.dropped} frames dropped: their time stamps go back or leap ahead")
    if clock.restarts:
        times = "once" if clock.restarts == 1 else f"{clock.restarts} times"
        say(f"time stamps start again {times}: the video continues where it was")
    if clock.untimed:
        say(f"{clock.untimed} frames without time stamps of their own: spaced evenly from {video.fps:.6g} fps on")


def _shown(
    frames: Iterator[tuple[float, VideoFrame]],
    stream: VideoStream,
    video: VideoSource,
    clock: FileClock[VideoFrame],
    start: float | None,
    claims: bool,
) -> Iterator[Frame]:
    """Yield frames whose pixels are converted on demand; append warnings about the whole file at the end."""
    display: Display | None = None
    last = -math.inf
    late = max(start or 0.0, 0.0)  # some containers count what they claim from 0, others from their first picture
    gap = (0.0, 0.0)
    for seconds, frame in frames:
        display = display or display_of(frame, stream, video)
        video.corrupt += frame.is_corrupt
        if math.isfinite(last) and seconds - last > max(gap[1] - gap[0], _GAP_S):
            gap = (last, seconds)
        last = seconds
        stored = frame if display.is_plain else None
        yield Frame(seconds, Picture(display, frame), left_out=left_out_before(frame, video), stored=stored)
    if video.corrupt:
        video.warnings.append(f"{video.corrupt} damaged frames are shown as far as they could be decoded")
    if gap[1]:
        video.warnings.append(f"no frames between {gap[0]:.2f} and {gap[1]:.2f} s: the one before is shown meanwhile")
    end = last + video.frame_seconds * (1 + video.skipper.pending) + late
    if video.duration is None or not claims or clock.restarts:
        return
    if end < video.duration - max(_MISSING_S, 2 * video.frame_seconds):
        video.missing = max(video.missing, video.duration - end)
        video.warnings.append(f"the file ends early: {max(end, 0.0):.2f} of {video.duration:.2f} s could be decoded")
