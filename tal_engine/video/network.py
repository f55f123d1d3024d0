"""Sources that ffmpeg reads while they run: cameras, network streams, containers on stdin.

Knows how to open one so that a dead server cannot hang a thread, which errors a repetition may heal, and for how
long nothing came. Decoding is `decode`'s, time is `clock`'s; when to connect again is decided by `live`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import VideoError
from ..options import LiveOptions
from ..redaction import redact
from .addresses import Address
from .clock import Arrival, StreamClock
from .decode import finite, frames_of, moving_pictures, why
from .pixels import display_of, progressive
from .source import Frame, VideoSource

#: What a repetition seldom heals: passwords, paths, things that are no video.
_LASTING = (
    av.error.HTTPClientError,
    av.error.InvalidDataError,
    av.error.ProtocolNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.FileNotFoundError,
    av.error.PermissionError,
    ValueError,
)
#: Formats whose time stamps are counted frames: what counts is when a frame came.
_CLOCKLESS = frozenset(["mpjpeg", "mjpeg", "h264", "hevc", "image2pipe", "m4v"])


class UnreachableError(Exception):
    """A connection failed; `lasting`: trying again will hardly help."""

    def __init__(self, message: str, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


class Connection(NamedTuple):
    """What a source gives until it ends (`ends`) or the connection is lost."""

    video: VideoSource
    ends: bool


class Feed:
    """One address, connected as often as asked; its clock goes on over all connections.

    live: frames come as they are made. `silent`: the last connection was given up because nothing came. `corrupt`
    frames were shown with what errors left of them.
    """

    def __init__(self, address: Address, options: LiveOptions, live: bool, now: Callable[[], float]) -> None:
        self.silent, self.corrupt, self.live = False, 0, live
        self.clock = StreamClock(1 / 25, max(options.source_timeout, 10.0), live)
        self._address, self._options, self._now = address, options, now
        self._connected = False
        self._silence = 0.0
        self._asked: float | None = None

    def silence(self) -> float:
        """Seconds that have been waited for the next frame."""
        asked = self._asked
        return self._silence + (0.0 if asked is None else self._now() - asked)

    def connect(self) -> Connection:
        """Open the source.

        Raises:
            UnreachableError: it cannot be, or has no video.
        """
        self.silent, self._silence, self._asked = False, 0.0, None
        container = self._open()
        try:
            return self._connection(container)
        except VideoError as e:
            container.close()
            raise UnreachableError(redact(str(e)), lasting=True) from None
        except BaseException:
            container.close()
            raise

    def _open(self) -> InputContainer:
        where, limit = self._address.where, self._options.source_timeout
        began = self._now()
        try:
            return av.open(
                _path(where), format=_format(where), options=ffmpeg_options(where, self._options), timeout=limit
            )
        except (av.error.FFmpegError, OSError, ValueError) as e:
            if self._now() - began >= limit:
                raise UnreachableError(f"no answer within {limit:g} s", lasting=False) from None
            raise UnreachableError(redact(why(e)), _lasts(e, where)) from None

    def _connection(self, container: InputContainer) -> Connection:
        where, name = self._address.where, self._address.name
        has_end = bool(container.duration) and not where.startswith(("rtsp", "/dev/"))
        if self.live and has_end:
            video = finite(name, container)
            if self._connected:  # a live playlist that has been closed: what it holds was seen
                video.frames = iter(())
            return Connection(video, ends=True)
        self._connected = True
        video, stream = moving_pictures(name, container)
        stream.thread_type = "SLICE"  # threads by frame would hold back a frame each
        clockless = self.live and container.format.name in _CLOCKLESS
        self.clock.frame_seconds = video.frame_seconds
        from_start = not self.live and container.start_time is not None
        self.clock.connected(container.start_time / av.time_base if from_start else None)
        frames = frames_of(self._watched(container, stream), stream, video)
        timed = self.clock.timed(self._stamped(frames, clockless))
        video.frames = _shown(progressive(timed, video), stream, video)
        return Connection(video, ends=not self.live)

    def _watched(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Packets of the stream; gives up when others come, or none, and no frame is made of them for too long."""
        packets = container.demux()
        limit = self._options.source_timeout
        while True:
            self._asked = began = self._now()
            try:
                packet = next(packets, None)
            except (av.error.ExitError, av.error.TimeoutError):
                self.silent = True
                raise
            finally:
                waited = self._now() - began
                self._silence += waited
                self._asked = None
            if packet is None:
                return
            # a parser that is asked in vain gives what it still has instead of an error
            self.silent = self.live and max(waited, self._silence) >= limit
            if packet.stream_index == stream.index:
                yield packet  # type: ignore[misc]
            if self.silent:
                raise av.error.ExitError(0, f"no picture for {limit:g} s")

    def _stamped(self, frames: Iterator[VideoFrame], clockless: bool) -> Iterator[Arrival[VideoFrame]]:
        for frame in frames:
            if not self.silent:  # else it is what the parser still had
                self._silence = 0.0
            pts = None
            if frame.pts is not None and frame.time_base is not None and not clockless:
                pts = float(frame.pts * frame.time_base)
            self.corrupt += frame.is_corrupt
            yield Arrival(pts, self._now(), frame)


def _shown(frames: Iterator[tuple[float, VideoFrame]], stream: VideoStream, video: VideoSource) -> Iterator[Frame]:
    display = None
    for seconds, frame in frames:
        display = display or display_of(frame, stream, video)
        yield Frame(seconds, partial(display.rgb, frame))


def _lasts(e: Exception, where: str) -> bool:
    if isinstance(e, av.error.HTTPTooManyRequestsError):
        return False
    if isinstance(e, av.error.InvalidDataError) and where.startswith("rtsp"):
        return False  # said of a server that hangs up as well
    return isinstance(e, _LASTING)


def is_camera(where: str) -> bool:
    """A camera of this machine: its number, or its device file."""
    return where.isdecimal() or where.startswith("/dev/video")


def _path(where: str) -> str:
    if where == "-":
        return "pipe:0"
    return f"/dev/video{where}" if where.isdecimal() else where


def _format(where: str) -> str | None:
    return "v4l2" if is_camera(where) else None


def ffmpeg_options(where: str, options: LiveOptions) -> dict[str, str]:
    """What ffmpeg is told: to give up in time."""
    micros = str(int(options.source_timeout * 1e6))
    if not where.partition("://")[1]:
        return {}
    told = {"rw_timeout": micros}
    scheme = where.partition("://")[0].lower()
    if scheme in ("rtsp", "rtsps"):
        told |= {"rtsp_transport": options.transport, "timeout": micros, "allowed_media_types": "video"}
    elif scheme in ("http", "https", "tcp", "tls", "udp"):
        told |= {"timeout": micros}
    return told
