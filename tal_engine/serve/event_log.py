"""Events that any number of listeners read at their own speed, from any number on; who was too slow is told so."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: Events that are kept.
EVENTS_KEPT = 2000
#: Seconds after which a listener is told that nothing happens.
_QUIET_S = 10.0


@dataclass(frozen=True)
class Told(Generic[T]):
    """An event with its number, from 1 on."""

    number: int
    event: T


class EventLog(Generic[T]):
    """The newest events, numbered. Threads add, others read; listeners wait in event loops."""

    def __init__(self, kept: int = EVENTS_KEPT) -> None:
        #: Numbers of another run of the service mean nothing here.
        self.epoch = secrets.token_hex(4)
        self._events: deque[Told[T]] = deque(maxlen=kept)
        self._lock, self._last, self.closed = threading.Lock(), 0, False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def add(self, event: T) -> int:
        """Add an event, and wake who waits; return its number."""
        with self._lock:
            self._last += 1
            self._events.append(Told(self._last, event))
        self._wake()
        return self._last

    @property
    def last_id(self) -> str:
        """The id of the newest event, from which on nothing is missed."""
        return f"{self.epoch}-{self._last}"

    def close(self) -> None:
        """Note that no more events come."""
        self.closed = True
        self._wake()

    def after(self, number: int, most: int = 256) -> tuple[int, list[Told[T]]]:
        """Return how many events after `number` are not kept any more, and the next ones, `most` at once."""
        with self._lock:
            first = self._last - len(self._events) + 1
            begin = max(number + 1, first)
            missed = max(min(first, self._last + 1) - number - 1, 0)
            offset = begin - first
            return missed, [self._events[i] for i in range(offset, min(offset + most, len(self._events)))]

    def number_of(self, text: str) -> int:
        """Return the number in the id of an event, "EPOCH-NUMBER"; 0 for one of another run, or for none."""
        epoch, _, number = text.rpartition("-")
        known = epoch == self.epoch and number.isdecimal() and len(number) < 19
        return min(int(number), self._last) if known else 0

    async def changed(self, number: int, seconds: float) -> None:
        """Wait until there is an event after `number`, or no more will come, `seconds` at most."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        entry = (loop, event)
        with self._lock:
            self._waiting.append(entry)
        try:
            if self._last <= number and not self.closed:
                async with asyncio.timeout(seconds):
                    await event.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)

    def _wake(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)


async def told(log: EventLog[T], after: str) -> AsyncIterator[tuple[int, int, Told[T] | None]]:
    """Yield (events that were missed, number, event), None where nothing happened for a while; ends with the log.

    Args:
        log: of the events.
        after: id of the last event that is known.
    """
    number = log.number_of(after)
    while True:
        closed = log.closed  # before looking: what comes between is found with the next look
        missed, some = log.after(number)
        for one in some:
            number = one.number
            yield missed, number, one
            missed = 0
        if not some:
            if closed:
                return
            await log.changed(number, _QUIET_S)
            if not log.closed:
                yield 0, number, None
