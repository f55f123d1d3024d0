"""Events to a receiver that may be slow, away or hostile, without ever holding up the stream.

Knows the queue, its thread, retries and what becomes of events that cannot be delivered; not what a receiver is: that
is a `Send`. `write` puts the event into a bounded queue and returns. Nothing is lost without a word: what did not fit,
was refused, or could not be delivered in time stands in the dead-letter file, with the reason. What waits can be kept
in a file besides: then a crash or an end loses none of it, and the next start sends it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import SinkError, require
from ...events import Event
from .outbox import DeadLetters, Pending
from .sink import Closing

log = logging.getLogger("tal_engine")


class RetryableError(Exception):
    """It did not work now and may work later; not before `after` seconds, where the receiver said so."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class PermanentError(Exception):
    """The receiver does not want this event, now or later."""


class Send(Protocol):
    """Delivers one event, in the delivery's own thread."""

    def __call__(self, event: Event) -> None:
        """Return when the receiver has it.

        Raises:
            RetryableError, PermanentError: it has not; any other exception counts as refused.
        """

    def close(self) -> None:
        """Let go of connections; may be called while a call hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How hard to try."""

    #: Events that wait; what comes on top goes to the dead letters.
    queue_size: int = 1000
    #: The wait before the second try, seconds, doubled for each further one up to `longest_wait_s`; half of it is
    #: random, so that many streams do not come back at the same moment.
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    #: An event is given up when it could not be delivered for so long, seconds.
    give_up_s: float = 300.0
    #: How long `close` waits for the queue to drain, seconds.
    drain_s: float = 10.0

    def __post_init__(self) -> None:
        require(self.queue_size >= 1, "queue_size", self.queue_size, "at least 1")
        for name in ("first_wait_s", "longest_wait_s", "give_up_s", "drain_s"):
            value = getattr(self, name)
            require(0 <= value < float("inf"), name, value, "0 or more seconds")

    def wait_s(self, failures: int) -> float:
        """Return the seconds before the next try after `failures`, the random half included."""
        longest = min(self.first_wait_s * 2.0 ** min(failures - 1, 60), self.longest_wait_s)
        return longest * (0.5 + random.random() / 2)  # noqa: S311 (no secret)


class Delivery(Closing):
    """A sink for final events that delivers them in order, in its own thread.

    Args:
        name: what the log and the dead letters call it.
        send: delivers one event.
        dead_letters: the file for what could not be delivered.
        pending: the file for what waits; what it has from before is sent first. None: an end without time makes dead
            letters of what waits, and a crash loses it.

    counts: "delivered", "retried" (failed tries that were repeated), "dead", and "kept" for the next start so far.

    Raises:
        SinkError: `pending` cannot be written, or holds something else.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        dead_letters: str | Path,
        options: DeliveryOptions | None = None,
        *,
        pending: str | Path | None = None,
    ) -> None:
        self.name, self.options = name, options or DeliveryOptions()
        self.counts: Counter[str] = Counter()
        self._send, self._dead = send, DeadLetters(dead_letters, name)
        self._pending = None if pending is None else Pending(pending)
        self._told: set[str] = set()
        self._state = threading.Condition()  # guards what follows; notified when any of it changes
        self._waiting: deque[Event] = deque(self._pending.events if self._pending else ())
        self._current: Event | None = None
        self._closing = self._stopped = self._hurried = False
        self._not_before = 0.0  # the worker's own
        self._thread = threading.Thread(target=self._work, name=f"tal-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events in the queue, with the one that is being delivered."""
        with self._state:
            return len(self._waiting) + (self._current is not None)

    @property
    def undelivered(self) -> str:
        """Say how many events are dead letters, and in which file; "" for none. What waits for a next start is none."""
        count = self.counts["dead"]
        return f"{self.name}: {count} events were not delivered, dead letters: {self._dead.path}" if count else ""

    def write(self, event: Event) -> None:
        """Take a final event; others are not delivered. Returns at once, whatever the receiver does.

        Raises:
            SinkError: already closed.
        """
        if not event.is_final or (self._pending and event in self._pending):
            return
        with self._state:
            if self._closing:
                raise SinkError(f"{self.name}: already closed")
            full = len(self._waiting) >= self.options.queue_size
            if not full:
                self._keep(event)
                self._waiting.append(event)
                self._state.notify_all()
        if full:
            self._dead_letter(event, f"the queue of {self.options.queue_size} events is full")

    def hurry(self) -> None:
        """Let `close` wait for nothing."""
        self._hurried = True

    def close(self, timeout: float | None = None) -> None:
        """Deliver what waits for `timeout` seconds (None: the options' `drain_s`); keep the rest for the next start.

        Where no file keeps it, it goes to the dead letters. So does an event whose sending hangs: the receiver may have
        got it.
        """
        with self._state:
            if self._closing:
                return
            self._closing = True
            wait = 0.0 if self._hurried else self.options.drain_s if timeout is None else timeout
            try:
                self._state.wait_for(lambda: self._idle, wait)
            finally:  # a signal's handler may raise
                hanging, left = self._current, list(self._waiting)
                self._current, self._stopped = None, True
                self._waiting.clear()
                self._state.notify_all()
                self._leave(hanging, left)
        self._send.close()
        self._thread.join(1.0 if hanging is None else 0.1)
        self._dead.close()
        if self._pending:
            self._pending.close()

    def _leave(self, hanging: Event | None, left: Sequence[Event]) -> None:
        """Save what was not delivered, or write it as dead letters."""
        if hanging is not None and not self._is_kept(hanging):
            self._dead_letter(hanging, "closed while it was being delivered; the receiver may have it")
        for event in left:
            if not self._is_kept(event):
                self._dead_letter(event, "closed before it was delivered")
        if self._pending and (kept := len(self._pending.events)):
            self.counts["kept"] = kept
            log.warning(
                "%s: %d events were not delivered; the next start sends them: %s", self.name, kept, self._pending.path
            )

    def _is_kept(self, event: Event) -> bool:
        return self._pending is not None and event in self._pending

    @property
    def _idle(self) -> bool:
        return not self._waiting and self._current is None

    def _work(self) -> None:
        while (event := self._next()) is not None:
            reason = self._deliver(event)
            if reason is None:
                self._settled(event)
            with self._state:
                if self._current is not event:  # `close` did not wait for it and has put it where it belongs
                    continue
                if reason is None:
                    self.counts["delivered"] += 1
                else:
                    self._dead_letter(event, reason)
                self._current = None
                self._state.notify_all()

    def _next(self) -> Event | None:
        with self._state:
            self._state.wait_for(lambda: self._waiting or self._stopped)
            self._current = None if self._stopped else self._waiting.popleft()
            return self._current

    def _deliver(self, event: Event) -> str | None:
        """Try until it is there, refused or given up; the reason if it is not there."""
        deadline = time.monotonic() + self.options.give_up_s
        failures, why = 0, "the receiver asked to wait"
        while True:
            wait = self._not_before - time.monotonic()
            if time.monotonic() + max(wait, 0.0) > deadline:
                return f"given up after {failures} tries in {self.options.give_up_s:g} s: {why}"
            if wait > 0 and self._stops_within(wait):
                return why
            try:
                self._send(event)
            except RetryableError as e:
                failures, why = failures + 1, str(e)
                self._not_before = time.monotonic() + max(self.options.wait_s(failures), e.after)
                self.counts["retried"] += 1
                self._tell("will be tried again", why)
            except (
                BaseException
            ) as e:  # this thread has no one else who would catch it, and events wait behind this one
                self._tell("not delivered", str(e))
                return f"refused: {e}" if isinstance(e, PermanentError) else f"{type(e).__name__}: {e}"
            else:
                return None

    def _stops_within(self, seconds: float) -> bool:
        with self._state:
            return self._state.wait_for(lambda: self._stopped, seconds)

    def _dead_letter(self, event: Event, reason: str) -> None:
        self._tell(f"some events go to {self._dead.path}", reason)
        if self._dead.add(event, reason):
            self._settled(event)
        with self._state:
            self.counts["dead"] += 1

    def _keep(self, event: Event) -> None:
        """Save the event before it waits: a crash from here on does not lose it."""
        if self._pending:
            try:
                self._pending.add(event)
            except SinkError as e:
                self._tell("some events would be lost in a crash", str(e))

    def _settled(self, event: Event) -> None:
        if self._pending:
            try:
                self._pending.done(event)
            except SinkError as e:
                self._tell("some events would be sent again after a crash", str(e))

    def _tell(self, what: str, why: str) -> None:
        """Say each kind of trouble once; all of it is counted."""
        if what not in self._told:
            self._told.add(what)
            log.warning("%s: %s: %s (counted from now on, not said again)", self.name, what, why)
