"""Events that a receiver has not taken, in files: those that still wait, and those that were given up.

What waits is sent after a crash, so that what was final is never lost; over a crash it may be sent twice, with the same
id. Knows events and these files; not who sends them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

from ..._util.files import write_text
from ...errors import DataError, SinkError
from ...events import Event
from .append_log import AppendedFile, Form

log = logging.getLogger("tal_engine")

DEAD_SCHEMA = "tal.dead-letter/1"
PENDING_SCHEMA = "tal.pending/1"


def _form(what: str, schema: str) -> Form:
    return Form(f"{what} as JSON Lines", re.compile(rf'\{{.*"schema": "{re.escape(schema)}"\}}'), re.compile(rb"\{"))


_DEAD, _PENDING = _form("dead letters", DEAD_SCHEMA), _form("events that wait,", PENDING_SCHEMA)
#: All of the file is read at the start: what waits is as much as a queue holds.
_WHOLE_BYTES = 1 << 30
#: A file that gets longer than this, and twice as long as what waits, is written anew without what was taken.
_LONG_BYTES = 1 << 20


class DeadLetters:
    """The file of what could not be delivered, one JSON object a line: event, reason, sink, at (UTC).

    It is made for the first one. Safe to share between threads. A file that cannot be written loses the event, which
    the log then says.
    """

    def __init__(self, path: str | Path, sink: str) -> None:
        self.path, self._sink = Path(path), sink
        self._file: AppendedFile | None = None
        self._lock = threading.Lock()

    def add(self, event: Event, reason: str) -> bool:
        """Keep an event; never raises. False: it could not be."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"event": event.to_dict(), "reason": reason, "sink": self._sink, "at": at, "schema": DEAD_SCHEMA}
        with self._lock:
            try:
                self._file = self._file or AppendedFile(self.path, _DEAD)
                self._file.append(json.dumps(line))
            except SinkError as e:
                log.error("%s: event %s is lost (%s): %s", self._sink, event.id, reason, e)
                return False
        return True

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


class Pending:
    """Events that wait, oldest first. Safe to share between threads.

    Args:
        path: the file; what waits there from before is `events`. It is removed when nothing waits at the end.

    Raises:
        SinkError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._waiting: dict[str, Event] = {}
        self._closed = False
        self._open()
        try:
            for record in self._file.records:
                self._read(json.loads(record))
        except SinkError:
            self._file.close()
            raise
        self._most = _LONG_BYTES

    @property
    def events(self) -> list[Event]:
        """What waits, oldest first."""
        with self._lock:
            return list(self._waiting.values())

    def __contains__(self, event: Event) -> bool:
        with self._lock:
            return event.id in self._waiting

    def add(self, event: Event) -> None:
        """Keep an event until it is `done`.

        Raises:
            SinkError: the disk is full or gone; the event is not kept.
        """
        with self._lock:
            self._append(_line("event", event.to_dict()))
            self._waiting[event.id] = event

    def done(self, event: Event) -> None:
        """Record that the receiver has the event, or that it was stored elsewhere.

        Raises:
            SinkError: the disk is full or gone; the event would be sent again after a crash.
        """
        with self._lock:
            if self._closed or self._waiting.pop(event.id, None) is None:
                return
            if not self._waiting:
                self._opened().clear()
            elif self._opened().size > self._most:
                self._shorten()
            else:
                self._append(_line("done", event.id))

    def close(self) -> None:
        """Close the file, or remove it where nothing waits."""
        with self._lock:
            self._closed = True
            self._file.close()
            if not self._waiting:
                self.path.unlink(missing_ok=True)

    def _opened(self) -> AppendedFile:
        if self._file.closed and not self._closed:  # it could not be opened again when it was made shorter
            self._open()
        return self._file

    def _append(self, line: str) -> None:
        self._opened().append(line)

    def _open(self) -> None:
        self._file = AppendedFile(self.path, _PENDING, tail=_WHOLE_BYTES)

    def _shorten(self) -> None:
        text = "".join(f"{_line('event', e.to_dict())}\n" for e in self._waiting.values())
        try:
            write_text(self.path, text)
        except OSError as e:
            raise SinkError(f"{self.path}: cannot be written ({e.strerror})") from e
        with contextlib.suppress(SinkError):  # the file that was replaced: nothing of it is needed
            self._file.close()
        self._open()
        self._most = max(_LONG_BYTES, 2 * len(text))

    def _read(self, found: dict[str, object]) -> None:
        try:
            if "event" in found:
                event = Event.from_dict(found["event"])  # type: ignore[arg-type]  # said below
                self._waiting[event.id] = event
            else:
                self._waiting.pop(str(found["done"]), None)
        except (DataError, KeyError, TypeError, AttributeError) as e:
            raise SinkError(f"{self.path}: holds something else than {_PENDING.what} ({e})") from e


def _line(kind: str, value: object) -> str:
    return json.dumps({kind: value, "schema": PENDING_SCHEMA})
