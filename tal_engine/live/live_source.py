"""Live sources: a thread reads each, a bounded queue holds its frames, its coverage records what was missed.

Decides when a source is lost, when to reconnect, and when to give up. `connection` and `decode` read, `timestamps`
assigns times, `frame_queue` drops frames, `coverage_recorder` records gaps. A broken source fails alone: `poll` never
raises.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

from .._util.opening import LIVE_SCHEMES, scheme_of
from .._util.redaction import redact
from ..errors import SourceError, TALError
from ..options import LiveOptions
from ..video.opener import open_video
from ..video.remote import is_known
from ..video.source import Frame, VideoSource
from .addresses import address_of, is_url
from .cameras import camera_options, is_camera
from .connection import Connection, Connector, UnreachableError
from .coverage import Coverage
from .coverage_recorder import CoverageRecorder
from .frame_queue import FrameQueue
from .raw_input import open_folder, open_raw, parse_raw

log = logging.getLogger("tal_engine")

State = Literal["connecting", "live", "stalled", "ended", "failed"]

#: A live source is stalled if it is silent for more than this many frames, and for longer than usual.
_SILENT_FRAMES = 5
#: Most different warnings of a source that are kept.
_WARNINGS = 50
#: Seconds that `close` waits for the reading thread, which may block for up to `source_timeout`.
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class LiveFrame(Frame):
    """A frame of a stream: `pts_seconds` from its start, strictly increasing over all connections.

    wall: estimated Unix time of capture: its place in the stream on this machine's clock, never later than its arrival.
    For sources that end by themselves: its place counted from when the source was opened.
    """

    wall: float


class LiveSource:
    """One source, opened by `open_live`; `close` it, or use it in a ``with`` block.

    name: as given, or its address without passwords. coverage: what was not analysed and why. error: why the source has
    failed. warnings: oddities of the images and losses, each once.

    >>> import cv2, numpy, pathlib
    >>> from tal_engine import open_live
    >>> pathlib.Path("frames").mkdir(exist_ok=True)
    >>> for i in range(3):
    ...     _ = cv2.imwrite(f"frames/{i}.png", numpy.zeros((48, 64, 3), numpy.uint8))
    >>> with open_live("door=frames") as source:
    ...     source.name, [frame.pts_seconds for frame in source.frames()]
    ('door', [0.0, 0.04, 0.08])
    >>> source.coverage.missed_seconds
    0.0
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        options: LiveOptions,
        connector: Connector | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.error: SourceError | None = None
        self.warnings: list[str] = []
        self.coverage = Coverage()
        self._connect, self._options, self._connector, self._now = connect, options, connector, now
        self._recorder = CoverageRecorder(self.coverage, options.source_timeout, now())
        self._queue: FrameQueue[LiveFrame] = FrameQueue(options.buffer, options.policy or "wait", self.coverage)
        self._unix = time.time() - now()
        self._connected = self._done = self._is_file = False
        self._length = 0.0  # seconds of a file, by its header
        self._undecided: float | None = None  # nothing is decided from there on, see `give_up`
        self._lost_before = 0  # frames that earlier connections could not decode
        self._pause = 0.0
        self._start = self._heard = now()
        self._closing = threading.Event()
        if connector is not None:
            connector.wait = self._closing.wait
        self._thread = threading.Thread(target=self._run, name=f"tal-live-{name}", daemon=True)
        self._thread.start()

    # -- the consumer's side -----------------------------------------------------------------------

    def poll(self, timeout: float = 0.0) -> LiveFrame | None:
        """Return the next frame, or None if none comes within `timeout` seconds; `state` says whether more can come."""
        return self._queue.take(timeout)

    def frames(self) -> Iterator[LiveFrame]:
        """Yield all frames, waiting for each.

        Raises:
            SourceError: the source has failed.
        """
        while self.state not in ("ended", "failed"):
            if (frame := self.poll(0.5)) is not None:
                yield frame
        if self.error:
            raise self.error

    @property
    def state(self) -> State:
        """connecting (also again), live, stalled (connected, but no frame arrives), or one of the end states.

        A source has `ended`, or `failed`, only once all queued frames have been taken.
        """
        if self._done:
            return "live" if len(self._queue) else "failed" if self.error else "ended"
        if not self._connected:
            return "connecting"
        if self._connector is None or not self._connector.live:
            return "live"
        usual = max(self._connector.usual, _SILENT_FRAMES * self.frame_seconds)
        return "stalled" if self._connector.silence() > usual else "live"

    @property
    def is_live(self) -> bool:
        """Whether it runs by itself: its clock begins when it is opened, and nothing can be read twice.

        An address counts as live until its first connection shows that it is a file, which has an end.
        """
        return self._connector is not None and self._connector.live and not self._is_file

    @property
    def frame_seconds(self) -> float:
        """How long the last frame stays on screen, in seconds."""
        return self._recorder.frame_seconds

    def close(self) -> None:
        """Stop reading and drop queued frames. A read that hangs ends by itself within `source_timeout` seconds.

        The coverage is complete then: for a live source that failed, the time until now is missed too.
        """
        again = self._closing.is_set()
        self._closing.set()
        self._queue.close()
        self._thread.join(_CLOSE_S)
        self._recorder.finish(self._now(), self.is_live)
        if self._undecided is not None:
            self._recorder.given_up(self._undecided, self._now(), self._length)
        elif self.error is not None and self.is_live and not again:
            self._recorder.failed(self._now())

    def let_go(self) -> None:
        """Stop reading, and wait for nothing: the thread ends with its next frame."""
        self._closing.set()
        self._queue.close()

    def give_up(self, since: float) -> None:
        """Close, because nothing is decided from `since` seconds of the source's time on.

        The coverage records that as "failed"; for a live source up to the last call of `close`.
        """
        self._undecided = since
        self.close()

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the reading thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._read()
        except TALError as e:
            self.error = _source_error(str(e) if str(e).startswith(f"{self.name}:") else f"{self.name}: {e}", e)
        except Exception as e:  # a thread that dies silently would leave its source "live" for ever
            log.error("%s: reading failed\n%s", self.name, redact("".join(traceback.format_exception(e))))
            self.error = SourceError(f"{self.name}: reading failed ({type(e).__name__}: {redact(str(e))})")
        finally:
            self._recorder.finish(self._now(), self.is_live)
            self._queue.finish()
            self._done = True

    def _read(self) -> None:
        while (connection := self._connection()) is not None:
            if self._closing.is_set():  # while the connection was being made
                connection.video.close()
                return
            if not self._all_of(connection):
                return
            if connection.ends:
                if not self.coverage.frames["arrived"]:
                    raise SourceError(f"{self.name}: has no frames")
                self._recorder.ended(connection.video.frame_seconds, connection.video.missing)
                return
            silent = self._connector is not None and self._connector.silent
            self._recorder.disconnected(silent)
            why = f"no frame for {self._options.source_timeout:g} s" if silent else "the connection ended"
            self._before_next_try(f"lost: {why}")

    def _all_of(self, connection: Connection) -> bool:
        """Deliver the frames of a connection; return False if the source was closed."""
        video, live = connection.video, not connection.ends
        if self._options.policy is None:
            self._queue.policy = "drop_oldest" if live else "wait"
        self._recorder.connected(video.frame_seconds, live)
        self._length = max(self._length, video.duration or 0.0)
        if not self.coverage.frames["arrived"]:
            self._start = self._now()
            self._is_file = connection.ends
        self._connected = True
        try:
            return all(self._deliver(frame, video, live) for frame in video.frames)
        finally:
            self._connected = False
            self._recorder.left_out(video.skipper.rest())
            self._recorder.counted(*self._damage(video))
            self._lost_before += video.lost
            self._say(video.warnings)
            video.close()

    def _deliver(self, frame: Frame, video: VideoSource, live: bool) -> bool:
        seconds = frame.pts_seconds
        if self._options.realtime and not live:
            self._closing.wait(max(self._start + seconds - self._now(), 0.0))
        now = self._heard = self._now()
        self._pause = 0.0
        self._recorder.frame(seconds, now, *self._damage(video), frame.left_out)
        captured = min(self._connector.clock.wall(seconds), now) if live and self._connector else self._start + seconds
        accepted = self._queue.put(LiveFrame(seconds, frame.image, self._unix + captured, left_out=frame.left_out))
        video.skipper.keep_every = self._queue.keep_every
        return accepted

    def _damage(self, video: VideoSource) -> tuple[int, int]:
        """Return the numbers of damaged and corrupt frames over all connections."""
        connector = self._connector
        lost = self._lost_before + video.lost
        return (
            (lost + connector.clock.dropped, connector.corrupt + video.corrupt) if connector else (lost, video.corrupt)
        )

    def _connection(self) -> Connection | None:
        """Open the next connection, retrying as often as the options allow; None: the source was closed."""
        while not self._closing.wait(self._pause):
            try:
                return self._connect()
            except UnreachableError as e:
                hopeless = e.lasting and not self.coverage.frames["arrived"] and not self._options.retry_refused
                if hopeless or not (self._connector and self._connector.live):
                    raise SourceError(f"{self.name}: {e}") from None
                self._before_next_try(str(e))
        return None

    def _before_next_try(self, why: str) -> None:
        """Lengthen the pause before the next attempt.

        Raises:
            SourceError: the limit of attempts is reached.
        """
        options = self._options
        self._recorder.in_vain()
        silent = self._now() - self._heard
        if options.reconnect_limit and silent > options.reconnect_limit:
            raise SourceError(f"{self.name}: {why}; given up after {silent:.1f} s without a frame")
        self._pause = min(max(2 * self._pause, options.reconnect_first), options.reconnect_longest)
        log.warning("%s: %s; next try in %.1f s", self.name, why, self._pause)

    def _say(self, warnings: list[str]) -> None:
        for text in warnings:
            if text not in self.warnings and len(self.warnings) < _WARNINGS:
                self.warnings.append(text)
                log.warning("%s: %s", self.name, text)


def open_live(source: str, options: LiveOptions | None = None, now: Callable[[], float] = time.monotonic) -> LiveSource:
    """Start to read a source. An unreachable source raises nothing; see its `state` and `error`.

    Args:
        source: `name=source` or a source: a video file, a folder of images, a live address (`opening.LIVE_SCHEMES`:
            rtsp, http, HLS, udp, tcp, rtmp ...), one of a file elsewhere (s3, gs ...), a camera of this machine (`0`,
            `/dev/video0`, any name of its device), or `-` for stdin: a container, or raw frames with `options.raw`.
            A path that exists is a file, whatever its name.
        options: None for the defaults.
        now: this machine's monotonic clock, in seconds.

    Raises:
        UsageError: an empty source, or `options.raw` or `options.camera` is malformed.

    >>> from tal_engine import open_live
    >>> with open_live("no.mp4") as source:
    ...     frame = source.poll(timeout=5.0)
    >>> frame, source.state
    (None, 'failed')
    """
    options = options or LiveOptions()
    name, where = address = address_of(source)
    if where == "-" and options.raw:
        raw = partial(open_raw, sys.stdin.buffer, parse_raw(options.raw), name)
        return LiveSource(name, partial(Connection.once, raw), options, None, now)
    if is_camera(where):
        camera_options(options)  # raise errors now, not in the thread
    remote = is_url(where) and scheme_of(where) not in LIVE_SCHEMES and is_known(scheme_of(where))
    if not remote and (where == "-" or is_url(where) or is_camera(where)):
        connector = Connector(address, options, live=where != "-", now=now)
        return LiveSource(name, connector.connect, options, connector, now)
    path, fps = Path(where), options.fps
    disk = partial(Connection.once, lambda: open_folder(path, fps, name) if path.is_dir() else open_video(where))
    return LiveSource(name, disk, options, None, now)


def _source_error(message: str, e: TALError) -> SourceError:
    """Return the source's error, which is also what the system said of a file, such as `FileNotFoundError`."""
    error = SourceError(message)
    return cast(SourceError, error.because(e)) if isinstance(e, OSError) else error
