"""Takers of live events: what a sink is, several as one, and JSON Lines on an open stream of text."""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO, runtime_checkable

from ...errors import SinkError
from ...events import Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("tal_engine")

#: Final events whose ids a sink keeps, to know what it has already written.
REMEMBERED = 10_000
#: Final events that are tried again with a sink that could not write them, so that a disk that was full for a while
#: lacks none.
_OWED = 1000
#: A pipe has room for so much, or for nothing: `select` then is never wrong.
_PIECE = getattr(select, "PIPE_BUF", 512)
#: How long a reader that does not read is waited for once the stream is to end, and how often that is looked at.
_LAST_WAIT_S, _LOOK_S = 2.0, 0.2


class Sink(Protocol):
    """Takes events as they come. `write` is never called from two threads at once."""

    def write(self, event: Event) -> None:
        """Take one event.

        Raises:
            SinkError: it could not be written, and may be tried again: nothing or all of it is there then.
        """

    def close(self) -> None:
        """Write what is left and let go of files and connections."""

    def __enter__(self) -> Self:
        """Enter a ``with`` block, at whose end the sink closes itself."""

    def __exit__(self, *_: object) -> None: ...


@runtime_checkable
class FrameSink(Protocol):
    """What a sink has besides that wants to see the pictures: annotated video, clips of a live stream."""

    def push(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Take a picture [H, W, 3] uint8 RGB at `seconds` of stream time, not to be changed afterwards.

        Raises:
            SinkError: it could not be written; the next one may be tried.
        """


@runtime_checkable
class PatientSink(Protocol):
    """What a sink has besides whose `close` waits for others."""

    def hurry(self) -> None:
        """Let `close` wait for nothing."""


@runtime_checkable
class LosingSink(Protocol):
    """What a sink has besides that may take events and fail to deliver them later."""

    @property
    def undelivered(self) -> str:
        """Say how many of the events that were taken are lost to the receiver, and where they lie; "" for none."""
        ...


class Closing:
    """Makes a sink a context manager."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Fan(Closing):
    """Several sinks as one. One that fails does not stop the others.

    Finals that a sink could not write are tried again before the next one and at the end.

    failures: by sink (class and place in the list), how many events and pictures it could not take. The log has the
    first failure of each kind. undelivered: once it is closed, what sinks that deliver later say of what they could
    not.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = {f"{type(s).__name__}[{k}]": s for k, s in enumerate(sinks)}
        self.failures: Counter[str] = Counter()
        self.undelivered: list[str] = []
        self._told: set[tuple[str, str]] = set()
        self._owed: dict[str, deque[Event]] = {name: deque() for name in self._sinks}
        self._failing: set[str] = set()

    def write(self, event: Event) -> None:
        """Give the event to all."""
        for name, owed in self._owed.items():
            owed.append(event)
            self._give(name)
            if owed and (len(owed) > _OWED or not owed[-1].is_final):  # what may change is told again anyway
                owed.pop()
                self.failures[name] += 1

    def _give(self, name: str) -> None:
        """Give a sink, in order, all events that it has not got yet."""
        sink, owed = self._sinks[name], self._owed[name]
        while owed:
            try:
                sink.write(owed[0])
            except SinkError as e:
                self._failing.add(name)
                self._tell(name, e)
                return
            except Exception as e:  # a bug: the same event would fail again
                self._failed(name, e)
            owed.popleft()
            if not isinstance(sink, FrameSink):
                self._failing.discard(name)

    @property
    def none_left(self) -> bool:
        """Whether each of the sinks fails now: nobody is there to tell."""
        return bool(self._sinks) and self._failing == set(self._sinks)

    @property
    def owing(self) -> bool:
        """Whether a sink has not got all finals that it was given."""
        return any(self._owed.values())

    @property
    def takes_frames(self) -> bool:
        """Whether any sink wants `push`: pictures need not be made where none does."""
        return any(isinstance(s, FrameSink) for s in self._sinks.values())

    def push(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Give a picture [H, W, 3] uint8 RGB to those that want to see it."""
        for name, sink in self._sinks.items():
            if isinstance(sink, FrameSink):
                try:
                    sink.push(image, seconds)
                    self._failing.discard(name)
                except Exception as e:
                    self._failed(name, e)

    def hurry(self) -> None:
        """Let `close` wait for nobody."""
        for sink in self._sinks.values():
            if isinstance(sink, PatientSink):
                sink.hurry()

    def close(self) -> None:
        """Close all; where a signal's handler raises meanwhile, the rest without waiting."""
        raised: BaseException | None = None
        for name, sink in self._sinks.items():
            try:
                self._give(name)
                self.failures[name] += len(self._owed[name])
                self._owed[name].clear()
                sink.close()
            except Exception as e:
                self._failed(name, e)
            except BaseException as e:
                raised = e
                self.hurry()
        self.failures = +self.failures
        self.undelivered = [s.undelivered for s in self._sinks.values() if isinstance(s, LosingSink) and s.undelivered]
        if raised is not None:
            raise raised

    def _failed(self, name: str, e: Exception) -> None:
        self._failing.add(name)
        self.failures[name] += 1
        self._tell(name, e)

    def _tell(self, name: str, e: Exception) -> None:
        kind = (name, type(e).__name__)
        if kind not in self._told:
            self._told.add(kind)
            log.error("%s: %s: %s (counted from now on, not said again)", *kind, e)


class JsonLines(Closing):
    """One line of JSON an event on a stream that someone else opened and closes (stdout), at once.

    A line of which only a part could be written is taken back where the stream is a file, and ended when it is tried
    again where it is a pipe. Where nobody reads, `write` waits as long as it takes.

    Args:
        stream: text, or None where stdout was closed before we began.
        stopping: tells that the stream is to end: a reader that does not read is not waited for any more.
    """

    def __init__(self, stream: TextIO | None, stopping: Callable[[], bool] = lambda: False) -> None:
        self._stream, self._stopping, self._patience = stream, stopping, _LAST_WAIT_S
        self._torn = b""  # a line of which only a part is written, and the rest of it
        self._rest = b""

    def write(self, event: Event) -> None:
        """Write one line.

        Raises:
            SinkError: nobody reads any more, or the disk behind it is full.
        """
        line = event.to_json().encode() + b"\n"
        left = self._rest if line == self._torn else self._rest + line
        before = len(left)
        try:
            while left:
                left = left[self._put(left[:_PIECE]) :]
        except (OSError, ValueError, AttributeError) as e:
            if len(left) < before and not self._taken_back(before - len(left)):
                self._torn, self._rest = line, left
            name = getattr(self._stream, "name", "stdout")
            raise SinkError(f"{name}: cannot be written ({getattr(e, 'strerror', None) or e})") from e
        self._torn = self._rest = b""

    def _taken_back(self, count: int) -> bool:
        """Remove the last bytes again where they went to the end of a file; what a reader has read stays.

        The line that comes next, perhaps of the next process, would otherwise go on behind half of this one.
        """
        try:
            number = self._stream.fileno()  # type: ignore[union-attr]  # said below
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or os.lseek(number, 0, os.SEEK_CUR) != found.st_size:
                return False
            os.ftruncate(number, found.st_size - count)
            os.lseek(number, 0, os.SEEK_END)
        except (OSError, ValueError, AttributeError):
            return False
        return True

    def _put(self, piece: bytes) -> int:
        """Write a piece, or what there is room for; past Python's buffer, which would keep what cannot be written."""
        stream: Any = self._stream
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # with `python -u` there is no buffer
        if not isinstance(raw, io.RawIOBase):
            stream.write(piece.decode())
            stream.flush()
            return len(piece)
        stream.flush()
        if os.name == "posix":
            self._wait(raw.fileno())
        return raw.write(piece) or 0

    def _wait(self, number: int) -> None:
        stopped = None
        while not select.select([], [number], [], _LOOK_S)[1]:
            if self._stopping():
                stopped = stopped or time.monotonic()
                if time.monotonic() - stopped >= self._patience:
                    self._patience = 0.0
                    raise TimeoutError("nobody reads")

    def close(self) -> None:
        """Do nothing: the stream belongs to whoever opened it."""
