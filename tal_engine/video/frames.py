"""Packets to decoded frames: what is broken is counted, and time stamps are set right. Knows nothing of seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .._util.opening import why
from .nvdec import Decoder
from .source import VideoSource
from .stamps import Stamps

#: A last picture that stays this share of the nominal frame time longer or shorter has a duration of its own.
_OWN = 0.1


def frames_of(
    packets: Iterator[Packet[VideoStream]],
    stream: VideoStream,
    video: VideoSource,
    stamps: Stamps | None = None,
    decoder: Decoder | None = None,
) -> Iterator[VideoFrame]:
    """Decode the stream's packets to frames in presentation order; count broken packets instead of failing.

    stamps: given for sources that are read from their start: corrects the frames' time stamps and counts packets that
    gave no frame. decoder: replaces FFmpeg's decoder.
    """
    decoded = _decoded(packets, stream, video, stamps, decoder)
    if stamps is None:
        yield from decoded
        return
    missed = 0
    for frame in decoded:
        if video.skipper.keep_every > 1:
            stamps.forget()
        elif (stamp := stamps.of(frame)) != frame.pts:
            frame.pts = stamp
        if stamps.lost != missed:
            video.lost, missed = video.lost + stamps.lost - missed, stamps.lost
        yield frame
    stamps.finish()
    video.lost, video.missing = video.lost + stamps.lost - missed, stamps.behind
    own = stamps.stays
    if own is not None and abs(own - video.frame_seconds) > _OWN * video.frame_seconds:
        video.frame_seconds = own


def _decoded(
    packets: Iterator[Packet[VideoStream]],
    stream: VideoStream,
    video: VideoSource,
    stamps: Stamps | None,
    decoder: Decoder | None,
) -> Iterator[VideoFrame]:
    skip = "DEFAULT"
    for packet in _read(packets, video):
        if packet is None:
            yield from _counted(_flushed(stream), video)
            return
        if stamps is not None and packet.size:
            stamps.take(packet)
        if video.skipper.should_skip(packet):
            continue
        if video.skipper.skip != skip:
            stream.codec_context.skip_frame = skip = video.skipper.skip
        try:
            frames = packet.decode() if decoder is None else decoder.decode(packet)
        except av.error.FFmpegError:
            if stamps is None:
                video.lost += 1
            else:
                stamps.failed += 1
            continue
        yield from _counted(frames, video)


def _read(packets: Iterator[Packet[VideoStream]], video: VideoSource) -> Iterator[Packet[VideoStream] | None]:
    """Yield the packets, then None if the file ends before its container does."""
    try:
        yield from packets
    except av.error.FFmpegError as e:
        video.warnings.append(f"reading stopped early: {why(e)}")
        yield None


def _counted(frames: Iterable[VideoFrame], video: VideoSource) -> Iterator[VideoFrame]:
    for frame in frames:
        video.decoded += 1
        yield frame


def left_out_before(frame: VideoFrame, video: VideoSource) -> int:
    """Count the frames before this one that were not decoded."""
    pts, base = frame.pts, frame.time_base
    return video.skipper.before(None if pts is None or base is None else pts * base.numerator / base.denominator)


def _flushed(stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        yield from stream.decode(None)
    except av.error.FFmpegError:
        return
