"""Streams of a service and the events they told: sources that are read, and frames that clients push."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..events import Event
from ..streaming import StreamScheduler
from ..streaming.session import StreamSession
from .event_log import EventLog
from .problems import ProblemError, busy, unavailable
from .settings import ServeOptions

log = logging.getLogger("tal_engine")

#: The newest streams that ended are kept.
ENDED_KEPT = 64


@dataclass(eq=False)
class Stream:
    """A stream: a source that is read (`scheduler`), or frames that a client pushes."""

    name: str
    plan: str
    kind: Literal["source", "push"]
    #: Seconds from the end of an action to its event, at most.
    declared_latency_s: float
    scheduler: StreamScheduler | None = None
    log: EventLog[Event] = field(default_factory=EventLog)
    started: float = field(default_factory=time.time)
    ended: float | None = None
    problem: dict[str, Any] | None = None
    frames: int = 0
    #: Frames whose time was not finite, or not after the last one's.
    refused: int = 0
    finals: int = 0
    thread: threading.Thread | None = None

    @property
    def session(self) -> StreamSession | None:
        """The session of a source."""
        return None if self.scheduler is None else self.scheduler.streams[0]

    @property
    def document(self) -> dict[str, Any]:
        """What there is to know, ready for JSON."""
        session = self.session
        state = "live" if session is None else session.condition
        if self.ended is not None:
            state = "failed" if self.problem or (session and session.error) else "ended"
        report = None if session is None else session.report()
        return {
            "name": self.name, "plan": self.plan, "kind": self.kind, "state": state, "started": self.started,
            "ended": self.ended, "declared_latency_s": self.declared_latency_s,
            "frames": self.frames if session is None else session.frames,
            "refused": self.refused if session is None else session.state.refused,
            "finals": self.finals if session is None else session.finals,
            "problem": self.problem, "report": report,
        }  # fmt: skip


class RunningStreams:
    """All streams by name. Safe to share between threads.

    Args:
        options: of the service.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._most, self._lock = options.streams, threading.Lock()
        self._streams: dict[str, Stream] = {}
        self._stopping = False

    def all(self) -> list[Stream]:
        """Return all streams, those that ended lately too."""
        with self._lock:
            return list(self._streams.values())

    @property
    def running(self) -> int:
        """How many have not ended."""
        return sum(s.ended is None for s in self.all())

    @property
    def stopping(self) -> bool:
        """Whether no more streams begin."""
        return self._stopping

    def get(self, name: str) -> Stream | None:
        """Return a stream; None if there is none."""
        with self._lock:
            return self._streams.get(name)

    def begin(self, name: str, make: Callable[[], Stream]) -> Stream:
        """Begin a stream, whose place is held from before it is made.

        Raises:
            ProblemError: there is a running one of this name, all places are taken, or the service stops.
            TALError: of `make`.
        """
        with self._lock:
            if self._stopping:
                raise unavailable("the service is being stopped")
            if (known := self._streams.get(name)) is not None and known.ended is None:
                raise ProblemError("conflict", f"there is a stream {name!r} already; stop it, or choose another name")
            if sum(s.ended is None for s in self._streams.values()) >= self._most:
                raise busy(f"there are {self._most} streams already", 30)
            self._streams[name] = Stream(name, "", "push", 0.0)
        try:
            stream = make()
        except BaseException:
            with self._lock:
                del self._streams[name]
                if known is not None:
                    self._streams[name] = known
            raise
        with self._lock:
            self._streams[name] = stream
        if stream.scheduler is not None:
            stream.thread = threading.Thread(target=self._run, args=(stream,), name=f"tal-serve-{name}", daemon=True)
            stream.thread.start()
            if self.stopping:  # the others were told before
                stream.scheduler.stop()
        return stream

    def _run(self, stream: Stream) -> None:
        assert stream.scheduler is not None  # noqa: S101 - of a source
        try:
            for event in stream.scheduler.run():
                stream.log.add(event)
        except Exception as e:
            log.error("stream %s: %s", stream.name, e, exc_info=e)
            stream.problem = ProblemError("backend", f"the stream ended: {e}").document
        finally:
            self.end(stream)

    def end(self, stream: Stream) -> None:
        """Note that a stream has ended; the oldest of many that ended are forgotten. Ending twice is harmless."""
        if stream.ended is not None:
            return
        stream.ended = time.time()
        stream.log.close()
        with self._lock:
            over = sorted((s for s in self._streams.values() if s.ended), key=lambda s: s.ended or 0.0)
            for old in over[: max(len(over) - ENDED_KEPT, 0)]:
                del self._streams[old.name]

    def stop(self, stream: Stream) -> None:
        """Stop a stream that is read: its open actions are decided; for one that is pushed its client decides.

        Raises:
            ProblemError: frames are pushed to it.
        """
        if stream.scheduler is None:
            raise ProblemError("conflict", f"stream {stream.name!r} is pushed: its client ends it")
        stream.scheduler.stop()

    def forget(self, stream: Stream) -> bool:
        """Forget a stream that has ended; False: it has not."""
        if stream.ended is None:
            return False
        with self._lock:
            if self._streams.get(stream.name) is stream:
                del self._streams[stream.name]
        return True

    def stop_all(self) -> None:
        """Begin no more streams, and stop those that are read."""
        with self._lock:
            self._stopping = True
        for stream in self.all():
            if stream.scheduler is not None:
                stream.scheduler.stop()

    def close(self) -> None:
        """Close all sources, whatever is open."""
        for stream in self.all():
            if stream.scheduler is not None:
                stream.scheduler.close()
            stream.log.close()
