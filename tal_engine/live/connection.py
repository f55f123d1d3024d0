"""Connections to sources that ffmpeg reads while they run: cameras, network streams, containers on stdin.

Opens a source so that a dead server cannot hang a thread, distinguishes lasting from temporary errors, and measures
silence. `video.decode` decodes, `timestamps` assigns times, and `live_source` decides when to reconnect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from .._util.opening import live_options, refused_part, scheme_of, why
from .._util.redaction import redact
from ..errors import UsageError, VideoError
from ..options import LiveOptions
from ..video.decode import SEGMENTED_FORMATS, finite, first_video_stream, is_discontinuous
from ..video.frames import frames_of, left_out_before
from ..video.picture import Picture
from ..video.pixels import display_of, progressive
from ..video.source import Frame, VideoSource
from ..video.stamps import Stamps
from .addresses import Address
from .cameras import FORMAT, camera_options, device_of, is_camera, trouble_with
from .hls import HlsSegments
from .timestamps import Arrival, TimestampNormalizer

#: Errors that a retry seldom heals: wrong passwords, wrong paths, files that are not videos.
_LASTING = (
    av.error.HTTPClientError,
    av.error.InvalidDataError,
    av.error.ProtocolNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.FileNotFoundError,
    av.error.PermissionError,
    ValueError,
)
#: Errors that may mean that FFmpeg refused a part of the source; its log says which.
_UNCLEAR = (av.error.InvalidDataError, av.error.ArgumentError)
#: Formats whose time stamps merely count frames; the time of arrival is used instead.
_CLOCKLESS = frozenset(["mpjpeg", "mjpeg", "h264", "hevc", "image2pipe", "m4v"])
#: Seconds of silence after which a source is stalled; for HLS, a share of `source_timeout`.
_SILENT_S, _SILENT_IN_PIECES = 1.0, 0.5
_EVER = str(2**31 - 1)


class UnreachableError(Exception):
    """A connection failed; `lasting`: a retry is unlikely to help."""

    def __init__(self, message: str, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


class Connection(NamedTuple):
    """The video of a source until the source ends (`ends`) or the connection is lost."""

    video: VideoSource
    ends: bool

    @classmethod
    def once(cls, opened: Callable[[], VideoSource]) -> Connection:
        """Open what ends by itself."""
        return cls(opened(), ends=True)


class Connector:
    """Connects to one address as often as asked; its clock continues over all connections.

    live: frames arrive as they are captured. silent: the last connection was closed because no frame arrived. corrupt:
    number of frames displayed with decoding errors. usual: seconds of silence that mean nothing. wait: sleeps.
    """

    def __init__(self, address: Address, options: LiveOptions, live: bool, now: Callable[[], float]) -> None:
        self.silent, self.corrupt, self.live = False, 0, live
        self.clock = TimestampNormalizer(1 / 25, max(options.source_timeout, 10.0), live)
        self._address, self._options, self._now = address, options, now
        self.usual = _SILENT_S
        self.wait: Callable[[float], object] = time.sleep
        self._segments: HlsSegments | None = None
        self._again: set[int | None] = set()  # time stamps that repeat packets of earlier connections
        self._connected = False
        self._silence = 0.0
        self._asked: float | None = None

    def silence(self) -> float:
        """Return for how many seconds the next frame has been waited for."""
        asked = self._asked
        return self._silence + (0.0 if asked is None else self._now() - asked)

    def connect(self) -> Connection:
        """Open the source.

        Raises:
            UnreachableError: the source cannot be opened, or has no video.
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
        where, limit = self._address.uri, self._options.source_timeout
        url, form = ("pipe:0" if where == "-" else device_of(where)), (FORMAT if is_camera(where) else None)
        options = ffmpeg_options(where, self._options, again=self.clock.reached is not None)
        try:
            options |= {} if is_camera(where) else live_options(where)
        except UsageError as e:
            raise UnreachableError(str(e), lasting=True) from None
        began = self._now()
        try:
            return av.open(url, format=form, options=options, timeout=limit)
        except (av.error.FFmpegError, OSError, ValueError) as e:
            if self._now() - began >= limit:
                raise UnreachableError(f"no answer within {limit:g} s", lasting=False) from None
            if is_camera(where):
                raise UnreachableError(*trouble_with(where, e, why(e))) from None
            refused = refused_part(url, options, limit) if isinstance(e, _UNCLEAR) and where != "-" else ""
            raise UnreachableError(redact(why(e)) + (f": {refused}" if refused else ""), _lasts(e, where)) from None

    def _connection(self, container: InputContainer) -> Connection:
        where, name = self._address.uri, self._address.name
        has_end = bool(container.duration) and not where.startswith("rtsp") and not is_camera(where)
        segmented = self.live and container.format.name in SEGMENTED_FORMATS
        if self.live and has_end and not (segmented and self._connected):
            return Connection(finite(name, container), ends=True)
        video, stream = first_video_stream(name, container)
        stream.thread_type = "SLICE"  # frame threads would delay by a frame each
        clockless = self.live and container.format.name in _CLOCKLESS
        self.clock.frame_seconds, self.clock.discontinuous = video.frame_seconds, is_discontinuous(container)
        from_start = not self.live and container.start_time is not None
        self.clock.connected(container.start_time / av.time_base if from_start else None, segmented)
        if segmented:
            self._read_segments(container, stream)
        if segmented and has_end and not _back_to(container, stream, self.clock.reached):
            return Connection(video, ends=True)  # closed, and its times are others: its frames cannot be placed
        self._connected = True
        stamps = None if self.live else Stamps(container, stream, video.frame_seconds)
        frames = frames_of(self._watched(container, stream, video), stream, video, stamps)
        timed = self.clock.timed(self._stamped(frames, clockless))
        video.frames = _shown(progressive(timed, video), stream, video)
        return Connection(video, ends=has_end or not self.live)

    def _read_segments(self, container: InputContainer, stream: VideoStream) -> None:
        """Read one HLS stream at an even pace; discard the others, such as other sizes of the same video."""
        self.usual = max(_SILENT_S, _SILENT_IN_PIECES * self._options.source_timeout)
        self._segments = self._segments or HlsSegments(self._now)
        self._segments.connected()
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all

    def _watched(
        self, container: InputContainer, stream: VideoStream, video: VideoSource
    ) -> Iterator[Packet[VideoStream]]:
        """Yield packets of the stream; give up if none of them leads to a frame for too long."""
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
            # a parser that times out returns its remaining data instead of an error
            self.silent = self.live and max(waited, self._silence) >= limit
            if packet.stream_index == stream.index:
                self._slow_down(packet)  # type: ignore[arg-type]
                yield packet  # type: ignore[misc]
                if video.skipper.skipped:  # it is not decoded, on purpose
                    self._silence = 0.0
            if self.silent:
                raise av.error.ExitError(0, f"no frame for {limit:g} s")

    def _slow_down(self, packet: Packet[VideoStream]) -> None:
        """Pace new HLS packets; pass packets seen before at once, since they are decoded only for what follows."""
        if self._segments is None:
            return
        if not self._segments.is_new(packet):
            self._again.add(packet.pts)
        elif (seconds := self._segments.pause(packet)) > 0:
            self.wait(seconds)

    def _stamped(self, frames: Iterator[VideoFrame], clockless: bool) -> Iterator[Arrival[VideoFrame]]:
        for frame in frames:
            if not self.silent:  # else it is the parser's remaining data
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
        yield Frame(seconds, Picture(display, frame), left_out=left_out_before(frame, video))


def _back_to(container: InputContainer, stream: VideoStream, seconds: float | None) -> bool:
    """Seek to the segment that contains this second of the source; return False if there is none."""
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
        return False  # also raised when a server disconnects
    return isinstance(e, _LASTING)


def ffmpeg_options(where: str, options: LiveOptions, again: bool = False) -> dict[str, str]:
    """Return ffmpeg's options: its time-out, and what a camera is asked for.

    A live playlist is read from its newest segment on. If it was read before, reading starts some segments earlier,
    since what was missed may still be there.
    """
    micros = str(int(options.source_timeout * 1e6))
    if is_camera(where):
        return camera_options(options)
    scheme = scheme_of(where)
    if not scheme:
        return {}
    av_options = {"rw_timeout": micros}
    if scheme in ("rtsp", "rtsps"):
        av_options |= {"rtsp_transport": options.transport, "timeout": micros, "allowed_media_types": "video"}
    elif scheme in ("http", "https", "tcp", "tls", "udp"):
        av_options |= {"timeout": micros}
    if scheme in ("http", "https"):  # `source_timeout` alone limits the wait for a new segment
        av_options |= {"live_start_index": "-3" if again else "-1", "max_reload": _EVER, "m3u8_hold_counters": _EVER}
    return av_options
