"""Takers of live events: what a sink is, several as one, and JSON Lines on an open stream of text."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self, TextIO, runtime_checkable

from ..errors import SinkError
from ..events import Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("tal_engine")

#: Final events whose ids a sink keeps, to know what it has already written.
REMEMBERED = 10_000


class Sink(Protocol):
    """Takes events as they come. `write` is never called from two threads at once."""

    def write(self, event: Event) -> None:
        """Take one event.

        Raises:
            SinkError: it could not be written; the next one may be tried.
        """

    def close(self) -> None:
        """Write what is left and let go of files and connections."""

    def __enter__(self) -> Self:
        """A sink closes itself at the end of a ``with``."""

    def __exit__(self, *_: object) -> None: ...


@runtime_checkable
class FrameSink(Protocol):
    """What a sink has besides that wants to see the pictures: annotated video, clips of a live stream."""

    def push(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Take a picture [H, W, 3] uint8 RGB at `seconds` of stream time, not to be changed afterwards.

        Raises:
            SinkError: it could not be written; the next one may be tried.
        """


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

    failures: by sink (class and place in the list), how many events and pictures it could not take. The log has the
    first failure of each kind.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = {f"{type(s).__name__}[{k}]": s for k, s in enumerate(sinks)}
        self.failures: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()

    def write(self, event: Event) -> None:
        """Give the event to all."""
        for name, sink in self._sinks.items():
            try:
                sink.write(event)
            except Exception as e:
                self._failed(name, e)

    @property
    def none_left(self) -> bool:
        """Whether each of the sinks has failed: nobody is there to tell."""
        return bool(self._sinks) and all(self.failures[name] for name in self._sinks)

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
                except Exception as e:
                    self._failed(name, e)

    def close(self) -> None:
        """Close all."""
        for name, sink in self._sinks.items():
            try:
                sink.close()
            except Exception as e:
                self._failed(name, e)

    def _failed(self, name: str, e: Exception) -> None:
        self.failures[name] += 1
        kind = (name, type(e).__name__)
        if kind not in self._told:
            self._told.add(kind)
            log.error("%s: %s: %s (counted from now on, not said again)", *kind, e)


class JsonLines(Closing):
    """One line of JSON an event on a stream that someone else opened and closes (stdout); flushed after each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one line.

        Raises:
            SinkError: nobody reads any more, or the disk behind it is full.
        """
        try:
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()
        except (OSError, ValueError) as e:
            name = getattr(self._stream, "name", "stream")
            raise SinkError(f"{name}: cannot be written ({getattr(e, 'strerror', None) or e})") from e

    def close(self) -> None:
        """Nothing to do: the stream belongs to who opened it."""
