"""Sources that ffmpeg reads while they run: cameras, network streams, containers on stdin.

Knows how to open one so that a dead server cannot hang a thread, which errors a repetition may heal, and for how
long nothing came. Decoding is `decode`'s, time is `clock`'s; when to connect again is decided by `live`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import VideoError
from ..options import LiveOptions
from ..redaction import redact
from .addresses import Address
from .cameras import FORMAT, camera_options, device_of, is_camera, trouble_with
from .clock import Arrival, StreamClock
from .decode import finite, frames_of, left_out_before, moving_pictures, why
from .pieces import Pieces
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
#: Formats that come in pieces of some seconds, which are kept for a while: whoever asks gets the same ones.
_IN_PIECES = frozenset(["hls"])
#: A source that is silent for longer is stalled; in pieces, for longer than such a share of `source_timeout`.
_SILENT_S, _SILENT_IN_PIECES = 1.0, 0.5
_EVER = str(2**31 - 1)


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
    frames were shown with what errors left of them. `usual`: so many seconds of silence mean nothing. `wait`: how to
    pass seconds.
    """

    def __init__(self, address: Address, options: LiveOptions, live: bool, now: Callable[[], float]) -> None:
        self.silent, self.corrupt, self.live = False, 0, live
        self.clock = StreamClock(1 / 25, max(options.source_timeout, 10.0), live)
        self._address, self._options, self._now = address, options, now
        self.usual = _SILENT_S
        self.wait: Callable[[float], object] = time.sleep
        self._pieces: Pieces | None = None
        self._again: set[int | None] = set()  # time stamps of what the last connections gave, on this one
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
        self._again.clear()
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
                "pipe:0" if where == "-" else device_of(where),
                format=FORMAT if is_camera(where) else None,
                options=ffmpeg_options(where, self._options, again=self.clock.reached is not None),
                timeout=limit,
            )
        except (av.error.FFmpegError, OSError, ValueError) as e:
            if self._now() - began >= limit:
                raise UnreachableError(f"no answer within {limit:g} s", lasting=False) from None
            if is_camera(where):
                raise UnreachableError(*trouble_with(where, e, why(e))) from None
            raise UnreachableError(redact(why(e)), _lasts(e, where)) from None

    def _connection(self, container: InputContainer) -> Connection:
        where, name = self._address.where, self._address.name
        has_end = bool(container.duration) and not where.startswith("rtsp") and not is_camera(where)
        pieces = self.live and container.format.name in _IN_PIECES
        if self.live and has_end and not (pieces and self._connected):
            return Connection(finite(name, container), ends=True)
        video, stream = moving_pictures(name, container)
        stream.thread_type = "SLICE"  # threads by frame would hold back a frame each
        clockless = self.live and container.format.name in _CLOCKLESS
        self.clock.frame_seconds = video.frame_seconds
        from_start = not self.live and container.start_time is not None
        self.clock.connected(container.start_time / av.time_base if from_start else None, pieces)
        if pieces:
            self._in_pieces(container, stream)
        if pieces and has_end and not _back_to(container, stream, self.clock.reached):
            return Connection(video, ends=True)  # closed, and in another time: what it holds cannot be placed
        self._connected = True
        frames = frames_of(self._watched(container, stream, video), stream, video)
        timed = self.clock.timed(self._stamped(frames, clockless))
        video.frames = _shown(progressive(timed, video), stream, video)
        return Connection(video, ends=has_end or not self.live)

    def _in_pieces(self, container: InputContainer, stream: VideoStream) -> None:
        """One stream at an even pace; what else is offered, such as the same in other sizes, is not fetched."""
        self.usual = max(_SILENT_S, _SILENT_IN_PIECES * self._options.source_timeout)
        self._pieces = self._pieces or Pieces(self._now)
        self._pieces.connected()
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all

    def _watched(
        self, container: InputContainer, stream: VideoStream, video: VideoSource
    ) -> Iterator[Packet[VideoStream]]:
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
                self._slow_down(packet)  # type: ignore[arg-type]
                yield packet  # type: ignore[misc]
                if video.thinning.spared:  # no frame is made of it, and none is wanted
                    self._silence = 0.0
            if self.silent:
                raise av.error.ExitError(0, f"no picture for {limit:g} s")

    def _slow_down(self, packet: Packet[VideoStream]) -> None:
        """Pieces go on at their pace, and what is known of them at once: it is decoded only for what follows."""
        if self._pieces is None:
            return
        if not self._pieces.is_new(packet):
            self._again.add(packet.pts)
        elif (seconds := self._pieces.pause(packet)) > 0:
            self.wait(seconds)

    def _stamped(self, frames: Iterator[VideoFrame], clockless: bool) -> Iterator[Arrival[VideoFrame]]:
        for frame in frames:
            if not self.silent:  # else it is what the parser still had
                self._silence = 0.0
            if frame.pts in self._again:
                continue
            pts = None
            if frame.pts is not None and frame.time_base is not None and not clockless:
                pts = float(frame.pts * frame.time_base)
            self.corrupt += frame.is_corrupt
            yield Arrival(pts, self._now(), frame)


def _shown(frames: Iterator[tuple[float, VideoFrame]], stream: VideoStream, video: VideoSource) -> Iterator[Frame]:
    display = None
    for seconds, frame in frames:
        display = display or display_of(frame, stream, video)
        yield Frame(seconds, partial(display.rgb, frame), left_out=left_out_before(frame, video))


def _back_to(container: InputContainer, stream: VideoStream, seconds: float | None) -> bool:
    """Go to the piece that holds this second of the source; False: there is none."""
    if seconds is None or not stream.time_base:
        return False
    try:
        container.seek(int(seconds / stream.time_base), stream=stream)
    except (av.error.FFmpegError, OSError):
        return False
    return True


def _lasts(e: Exception, where: str) -> bool:
    if isinstance(e, av.error.HTTPTooManyRequestsError):
        return False
    if isinstance(e, av.error.InvalidDataError) and where.startswith("rtsp"):
        return False  # said of a server that hangs up as well
    return isinstance(e, _LASTING)


def ffmpeg_options(where: str, options: LiveOptions, again: bool = False) -> dict[str, str]:
    """What ffmpeg is told: to give up in time, and what a camera is asked for.

    A live playlist is read from its newest piece on, or, if it was read before, from some pieces before that: what was
    missed may still be there.
    """
    micros = str(int(options.source_timeout * 1e6))
    if is_camera(where):
        return camera_options(options)
    if not where.partition("://")[1]:
        return {}
    told = {"rw_timeout": micros}
    scheme = where.partition("://")[0].lower()
    if scheme in ("rtsp", "rtsps"):
        told |= {"rtsp_transport": options.transport, "timeout": micros, "allowed_media_types": "video"}
    elif scheme in ("http", "https", "tcp", "tls", "udp"):
        told |= {"timeout": micros}
    if scheme in ("http", "https"):  # it is `source_timeout` that says for how long no new piece may come
        told |= {"live_start_index": "-3" if again else "-1", "max_reload": _EVER, "m3u8_hold_counters": _EVER}
    return told
