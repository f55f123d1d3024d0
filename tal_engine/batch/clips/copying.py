"""Clips as they are stored: packets are copied from the key frame before a clip on; no picture is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import av

from ..._util.files import whole_file
from ..._util.opening import local_url, open_local
from ...errors import SinkError, VideoError, VideoFault
from ...video.decode import first_video_stream

#: A source whose index leads to a place this much later than it was asked for is read from its beginning.
_LATE_S = 1e-3
#: A last picture this long before a clip's end is one that the video ended with.
_PAUSE_S = 10.0


def copy(source: str, target: Path, start: float, end: float) -> tuple[float, float]:
    """Copy what a video of this machine stores between two times, with its sound, from a key frame on.

    Args:
        source: the video.
        target: a file, whose container (.mp4, .mkv, .mov) must be able to hold the video's codec.
        start: seconds of the video; the clip begins with the last key frame that is not later.
        end: seconds of the video.

    Returns:
        Seconds of the video that the clip's first and last pictures are shown at.

    Raises:
        VideoError: the video cannot be read, or has nothing there.
        SinkError: the file cannot be written, or its container cannot hold the codec.
    """
    with closing(open_local(source)) as read:
        known, video = first_video_stream(source, read)
        zero = (read.start_time or 0) / av.time_base
        from_key = _from_key(read, video, start + zero)
        try:
            with whole_file(target) as temporary:
                shown = _written(read, video, from_key, target, temporary, end + zero)
                if shown[1] + known.frame_seconds < start + zero and shown[1] < end + zero - _PAUSE_S:
                    raise VideoError(VideoFault.NO_FRAMES, f"{source}: has no pictures from {start:.2f} s on")
        except (av.error.FFmpegError, OSError, ValueError) as e:
            what = f"{target}: cannot be written as {target.suffix} from {source} ({getattr(e, 'strerror', None) or e})"
            raise SinkError(f"{what}; --exact encodes it anew") from e
    return shown[0] - zero, shown[1] - zero


def _from_key(read: Any, video: Any, start: float) -> float:
    """Find the time of the last key frame up to `start`, and stand before it."""
    for seek in (True, False):
        if not seek:
            read.seek(read.start_time or 0, any_frame=False, backward=True)
        else:
            with suppress(av.error.FFmpegError):
                read.seek(int(start / video.time_base), stream=video, backward=True)
        last = None
        for packet in read.demux(video):
            seconds = _seconds(packet)
            if seconds is None or not packet.is_keyframe:
                continue
            if seconds > start + _LATE_S:
                break
            last = seconds
        if last is not None:
            with suppress(av.error.FFmpegError):
                read.seek(int(last / video.time_base), stream=video, backward=True)
            return last
    first = read.start_time or 0
    read.seek(first, backward=True)
    return first / av.time_base


def _written(read: Any, video: Any, begin: float, target: Path, temporary: Path, end: float) -> tuple[float, float]:
    """Copy packets from the key frame at `begin` on, up to the first that is decoded after `end`."""
    form = {".mkv": "matroska", ".mov": "mov"}.get(target.suffix.lower(), "mp4")
    sounds = list(read.streams.audio)[:1]
    with av.open(local_url(temporary), "w", format=form) as out:
        copies = {s.index: out.add_stream_from_template(s) for s in (video, *sounds)}
        first, last = begin, begin
        for packet, seconds in _between(read, [video, *sounds], video, begin, end):
            if packet.stream.index == video.index:
                last = max(last, seconds)
            packet.pts = round((seconds - first) / packet.time_base)
            packet.dts = min(round(float(packet.dts * packet.time_base - first) / packet.time_base), packet.pts)
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    return first, last


def _between(read: Any, streams: list[Any], video: Any, begin: float, end: float) -> Iterator[tuple[Any, float]]:
    """Yield packets with their seconds, from the key frame at `begin` on."""
    begun, count = False, 0
    for packet in read.demux(streams):
        seconds = _seconds(packet)
        if seconds is None or packet.dts is None:
            continue
        own = packet.stream.index == video.index
        begun = begun or (own and packet.is_keyframe and seconds >= begin - _LATE_S)
        if not begun or seconds < begin - _LATE_S:  # pictures before the key frame that lean on what is left out
            continue
        if float(packet.dts * packet.time_base) > end:
            if own:
                break
            continue
        count += own
        yield packet, seconds
    if not count:
        raise VideoError(VideoFault.NO_FRAMES, f"{read.name}: has no pictures between {begin:.2f} and {end:.2f} s")


def _seconds(packet: Any) -> float | None:
    return None if packet.pts is None else float(packet.pts * packet.time_base)
