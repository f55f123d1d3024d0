"""Events to a receiver that may be slow, away or hostile, without ever holding up the stream.

Knows the queue, its thread, retries and what becomes of events that cannot be delivered; not what a receiver is: that
is a `Send`. `write` puts the event into a bounded queue and returns. Nothing is lost without a word: what did not fit,
was refused, or could not be delivered in time stands in the dead-letter file, with the reason.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ..errors import SinkError, require
from ..events import Event
from .appending import AppendedFile, Form
from .live import Closing

log = logging.getLogger("tal_engine")

DEAD_SCHEMA = "tal.dead-letter/1"
_FORM = Form(
    "dead letters as JSON Lines", re.compile(rf'\{{.*"schema": "{re.escape(DEAD_SCHEMA)}"\}}'), re.compile(rb"\{")
)


class Retry(Exception):  # noqa: N818 (it is a wish, not an error)
    """It did not work now and may work later; not before `after` seconds, where the receiver said so."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Refused(Exception):  # noqa: N818 (an answer, not an error)
    """The receiver does not want this event, now or later."""


class Send(Protocol):
    """Delivers one event, in the delivery's own thread."""

    def __call__(self, event: Event) -> None:
        """Return when the receiver has it.

        Raises:
            Retry, Refused: it has not; any other exception counts as refused.
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
        """Seconds before the next try after so many failures, the random half included."""
        longest = min(self.first_wait_s * 2.0 ** min(failures - 1, 60), self.longest_wait_s)
        return longest * (0.5 + random.random() / 2)  # noqa: S311 (no secret)


class DeadLetters:
    """The file of what could not be delivered, one JSON object a line: event, reason, sink, at (UTC).

    It is made for the first one. Safe to share between threads. A file that cannot be written loses the event, which
    the log then says.
    """

    def __init__(self, path: str | Path, sink: str) -> None:
        self.path, self._sink = Path(path), sink
        self._file: AppendedFile | None = None
        self._lock = threading.Lock()

    def add(self, event: Event, reason: str) -> None:
        """Keep an event; never raises."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"event": event.to_dict(), "reason": reason, "sink": self._sink, "at": at, "schema": DEAD_SCHEMA}
        with self._lock:
            try:
                self._file = self._file or AppendedFile(self.path, _FORM)
                self._file.append(json.dumps(line))
            except SinkError as e:
                log.error("%s: event %s is lost (%s): %s", self._sink, event.id, reason, e)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


class Delivery(Closing):
    """A sink for final events that delivers them in order, in its own thread.

    Args:
        name: what the log and the dead letters call it.
        send: delivers one event.
        dead_letters: the file for what could not be delivered.

    counts: "delivered", "retried" (failed tries that were repeated) and "dead" so far.
    """

    def __init__(self, name: str, send: Send, dead_letters: str | Path, options: DeliveryOptions | None = None) -> None:
        self.name, self.options = name, options or DeliveryOptions()
        self.counts: Counter[str] = Counter()
        self._send, self._dead = send, DeadLetters(dead_letters, name)
        self._told: set[str] = set()
        self._state = threading.Condition()  # guards what follows; notified when any of it changes
        self._waiting: deque[Event] = deque()
        self._current: Event | None = None
        self._closing = self._stopped = False
        self._not_before = 0.0  # the worker's own
        self._thread = threading.Thread(target=self._work, name=f"tal-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events in the queue, with the one that is being delivered."""
        with self._state:
            return len(self._waiting) + (self._current is not None)

    def write(self, event: Event) -> None:
        """Take a final event; others are not delivered. Returns at once, whatever the receiver does.

        Raises:
            SinkError: already closed.
        """
        if not event.is_final:
            return
        with self._state:
            if self._closing:
                raise SinkError(f"{self.name}: already closed")
            full = len(self._waiting) >= self.options.queue_size
            if not full:
                self._waiting.append(event)
                self._state.notify_all()
        if full:
            self._bury(event, f"the queue of {self.options.queue_size} events is full")

    def close(self, timeout: float | None = None) -> None:
        """Deliver what waits for `timeout` seconds (None: the options' `drain_s`); the rest goes to the dead letters.

        An event whose sending hangs goes there as well: the receiver may have got it.
        """
        with self._state:
            if self._closing:
                return
            self._closing = True
            self._state.wait_for(lambda: self._idle, self.options.drain_s if timeout is None else timeout)
            hanging, left = self._current, list(self._waiting)
            self._current, self._stopped = None, True
            self._waiting.clear()
            self._state.notify_all()
        if hanging is not None:
            self._bury(hanging, "closed while it was being delivered; the receiver may have it")
        for event in left:
            self._bury(event, "closed before it was delivered")
        self._send.close()
        self._thread.join(1.0 if hanging is None else 0.1)
        self._dead.close()

    @property
    def _idle(self) -> bool:
        return not self._waiting and self._current is None

    def _work(self) -> None:
        while (event := self._next()) is not None:
            reason = self._deliver(event)
            with self._state:
                taken = self._current is not event  # `close` did not wait for it and has buried it
                self._current = None
                self._state.notify_all()
                if not taken and reason is None:
                    self.counts["delivered"] += 1
            if not taken and reason is not None:
                self._bury(event, reason)

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
            except Retry as e:
                failures, why = failures + 1, str(e)
                self._not_before = time.monotonic() + max(self.options.wait_s(failures), e.after)
                self.counts["retried"] += 1
                self._tell("will be tried again", why)
            except Exception as e:
                self._tell("not delivered", str(e))
                return f"refused: {e}" if isinstance(e, Refused) else f"{type(e).__name__}: {e}"
            else:
                return None

    def _stops_within(self, seconds: float) -> bool:
        with self._state:
            return self._state.wait_for(lambda: self._stopped, seconds)

    def _bury(self, event: Event, reason: str) -> None:
        self._tell(f"some events go to {self._dead.path}", reason)
        self._dead.add(event, reason)
        with self._state:
            self.counts["dead"] += 1

    def _tell(self, what: str, why: str) -> None:
        """Say each kind of trouble once; all of it is counted."""
        if what not in self._told:
            self._told.add(what)
            log.warning("%s: %s: %s (counted from now on, not said again)", self.name, what, why)
