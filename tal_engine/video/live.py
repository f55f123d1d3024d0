"""Sources while they run: a thread reads each, a bounded line holds its frames, its coverage says what was missed.

Knows when a source is lost, when to connect again, and when to give up. What one connection gives is `network`'s and
`decode`'s, what time it is `clock`'s, what is dropped `waiting`'s, what is missed `tally`'s. Knows nothing of what is
done with the frames. A broken source fails alone: `poll` never raises.
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
from typing import Literal

from ..errors import SourceError, TALError
from ..options import LiveOptions
from ..redaction import redact
from .addresses import Address, address_of, is_url
from .cameras import camera_options, is_camera
from .coverage import Coverage
from .inputs import open_folder, open_raw, parse_raw
from .network import Connection, Feed, UnreachableError
from .source import Frame, VideoSource, open_video
from .tally import Tally
from .waiting import Line

log = logging.getLogger("tal_engine")

State = Literal["connecting", "live", "stalled", "ended", "failed"]

#: A live source that is silent for longer than so many of its frames, and than is usual for it, is stalled.
_SILENT_FRAMES = 5
#: How many different warnings of a source are kept.
_WARNINGS = 50
#: How long `close` waits for the reading thread, which may sit in a read of up to `source_timeout`.
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class LiveFrame(Frame):
    """A frame of a stream: `pts_seconds` from its start, strictly increasing over all connections.

    wall: unix seconds when it was made, as far as can be told: its place in the stream on this machine's clock, and
    never later than its arrival. For what ends by itself: its place counted from when it was opened.
    """

    wall: float


class LiveSource:
    """One source. Made by `open_live`; `close` it, or use it as a context.

    name: as it was given, or its address without passwords. coverage: what was not analysed and why. error: why the
    source has failed. warnings: what is odd about the pictures or was lost on the way, each once.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        options: LiveOptions,
        feed: Feed | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.error: SourceError | None = None
        self.warnings: list[str] = []
        self.coverage = Coverage()
        self._connect, self._options, self._feed, self._now = connect, options, feed, now
        self._tally = Tally(self.coverage, options.source_timeout)
        self._line: Line[LiveFrame] = Line(options.buffer, options.policy or "wait", self.coverage)
        self._unix = time.time() - now()
        self._connected = self._done = self._is_file = False
        self._lost_before = 0  # frames that earlier connections could not decode
        self._pause = 0.0
        self._start = self._heard = now()
        self._closing = threading.Event()
        if feed is not None:
            feed.wait = self._closing.wait
        self._thread = threading.Thread(target=self._run, name=f"tal-live-{name}", daemon=True)
        self._thread.start()

    # -- what the taker sees -----------------------------------------------------------------------

    def poll(self, timeout: float = 0.0) -> LiveFrame | None:
        """The next frame, or None if there is none within `timeout` seconds; `state` says whether more can come."""
        return self._line.take(timeout)

    def frames(self) -> Iterator[LiveFrame]:
        """All frames, waiting for each.

        Raises:
            SourceError: the source has failed.
        """
        while self.state not in ("ended", "failed"):
            frame = self.poll(0.5)
            if frame is not None:
                yield frame
        if self.error:
            raise self.error

    @property
    def state(self) -> State:
        """connecting (first or again), live, stalled (connected, and nothing comes), or what cannot change any more.

        A source has `ended`, or `failed`, only when all frames that waited have been taken.
        """
        if self._done:
            return "live" if len(self._line) else "failed" if self.error else "ended"
        if not self._connected:
            return "connecting"
        if self._feed is None or not self._feed.live:
            return "live"
        usual = max(self._feed.usual, _SILENT_FRAMES * self.frame_seconds)
        return "stalled" if self._feed.silence() > usual else "live"

    @property
    def is_live(self) -> bool:
        """It goes on by itself: its clock begins when it is opened, and nothing can be read twice.

        An address counts as live until its first connection shows that it is of a file, which has an end.
        """
        return self._feed is not None and self._feed.live and not self._is_file

    @property
    def frame_seconds(self) -> float:
        """How long the last frame stays on screen, seconds."""
        return self._tally.frame_seconds

    def close(self) -> None:
        """Stop reading and forget what waits. A read that hangs ends by itself within `source_timeout`."""
        self._closing.set()
        self._line.close()
        self._thread.join(_CLOSE_S)

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the reading thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._read()
        except TALError as e:
            self.error = SourceError(str(e) if str(e).startswith(f"{self.name}:") else f"{self.name}: {e}")
        except Exception as e:  # a thread that dies unseen would leave its source "live" for ever
            log.error("%s: reading failed\n%s", self.name, redact("".join(traceback.format_exception(e))))
            self.error = SourceError(f"{self.name}: reading failed ({type(e).__name__}: {redact(str(e))})")
        finally:
            self._tally.finish(self._now())
            self._line.finish()
            self._done = True

    def _read(self) -> None:
        while (connection := self._connection()) is not None:
            if not self._all_of(connection):
                return
            if connection.ends:
                if not self.coverage.frames["arrived"]:
                    raise SourceError(f"{self.name}: has no frames")
                self._tally.ended()
                return
            silent = self._feed is not None and self._feed.silent
            self._tally.disconnected(silent)
            why = f"no frame for {self._options.source_timeout:g} s" if silent else "the connection ended"
            self._before_next_try(f"lost: {why}")

    def _all_of(self, connection: Connection) -> bool:
        """Deliver the frames of a connection; False: the source was closed."""
        video, live = connection.video, not connection.ends
        if self._options.policy is None:
            self._line.policy = "drop_oldest" if live else "wait"
        self._tally.connected(video.frame_seconds, live)
        if not self.coverage.frames["arrived"]:
            self._start = self._now()
            self._is_file = connection.ends
        self._connected = True
        try:
            return all(self._deliver(frame, video, live) for frame in video.frames)
        finally:
            self._connected = False
            self._tally.left_out(video.thinning.rest())
            self._tally.counted(*self._hurt(video))
            self._lost_before += video.lost
            self._say(video.warnings)
            video.close()

    def _deliver(self, frame: Frame, video: VideoSource, live: bool) -> bool:
        seconds = frame.pts_seconds
        if self._options.realtime and not live:
            self._closing.wait(max(self._start + seconds - self._now(), 0.0))
        now = self._heard = self._now()
        self._pause = 0.0
        self._tally.frame(seconds, now, *self._hurt(video), frame.left_out)
        made = min(self._feed.clock.wall(seconds), now) if live and self._feed else self._start + seconds
        going_on = self._line.put(LiveFrame(seconds, frame.image, self._unix + made, left_out=frame.left_out))
        video.thinning.every = self._line.every
        return going_on

    def _hurt(self, video: VideoSource) -> tuple[int, int]:
        """Damaged and corrupt frames of all connections."""
        feed = self._feed
        lost = self._lost_before + video.lost
        return (lost + feed.clock.dropped, feed.corrupt) if feed else (lost, 0)

    def _connection(self) -> Connection | None:
        """The next connection, tried as often as the options allow; None: the source was closed."""
        while not self._closing.wait(self._pause):
            try:
                return self._connect()
            except UnreachableError as e:
                hopeless = e.lasting and not self.coverage.frames["arrived"] and not self._options.retry_refused
                if hopeless or not (self._feed and self._feed.live):
                    raise SourceError(f"{self.name}: {e}") from None
                self._before_next_try(str(e))
        return None

    def _before_next_try(self, why: str) -> None:
        """Make the pause longer.

        Raises:
            SourceError: the source was tried for long enough.
        """
        options = self._options
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
    """Start to read a source: nothing is raised for one that is gone, `state` and `error` tell it.

    Args:
        source: `name=source` or a source: a video file, a folder of images, an address that ffmpeg knows (rtsp, http,
            HLS, udp, tcp, rtmp ...), a camera of this machine (`0`, `/dev/video0`, any name of its device), or `-` for
            stdin: a container, or raw frames with `options.raw`.
        options: None for the usual ones.
        now: this machine's clock, seconds that never go back.

    Raises:
        UsageError: an empty source, or `options.raw` or `options.camera` makes no sense.
    """
    options = options or LiveOptions()
    address = address_of(source)
    name, where = address
    if where == "-" and options.raw:
        layout = parse_raw(options.raw)
        return LiveSource(name, partial(_once, lambda: open_raw(sys.stdin.buffer, layout, name)), options, None, now)
    if is_camera(where):
        camera_options(options)  # no sense is told now, not by the thread
    if where == "-" or is_url(where) or is_camera(where):
        feed = Feed(address, options, live=where != "-", now=now)
        return LiveSource(name, feed.connect, options, feed, now)
    return LiveSource(name, partial(_once, partial(_from_disk, address, options)), options, None, now)


def _once(opened: Callable[[], VideoSource]) -> Connection:
    return Connection(opened(), ends=True)


def _from_disk(address: Address, options: LiveOptions) -> VideoSource:
    path = Path(address.where)
    return open_folder(path, options.fps, address.name) if path.is_dir() else open_video(path)
