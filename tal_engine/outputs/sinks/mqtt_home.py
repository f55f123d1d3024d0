"""Live events as topics of a home: a switch for each class of each camera, as Home Assistant finds by itself.

Below the sink's TOPIC:

- ``available``: online or offline, kept by the broker; offline is also the last will.
- ``events``: each final event as JSON, delivered as on a plain topic.
- ``STREAM/CLASS/state``: ON while an action of the class is open, and for a while after it was decided; else OFF. Kept.
- ``STREAM/CLASS/last``: the newest final event as JSON. Kept.

Knows topics and when they change; the connection is `mqtt`'s, the queue of finals `delivery`'s.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

from ... import __version__
from ...events import Event
from .delivery import Delivery
from .mqtt import Publish
from .sink import Closing

#: Characters of names that topics have as they are; others are percent-encoded: levels and wildcards among them.
_PLAIN = " !\"$&'()*,-.:;<=>?@[\\]^_`{|}~"
ON, OFF, ONLINE, OFFLINE = "ON", "OFF", "online", "offline"
#: Open actions of which no end is ever told (their stream was lost) are forgotten beyond so many.
_MOST_OPEN = 10_000


def level(name: str) -> str:
    """Return a name as one level of a topic; different names give different levels.

    >>> level("door/1"), level("+"), level("")
    ('door%2F1', '%2B', '%')
    """
    return "".join(c if ord(c) > 127 else quote(c, safe=_PLAIN) for c in name) or "%"


class Topics:
    """The topics of a home and what is said there of each switch.

    Args:
        base: the sink's topic.
        prefix: where Home Assistant looks for what it should find.
    """

    def __init__(self, base: str, prefix: str = "homeassistant") -> None:
        self.base, self._prefix = base, prefix
        self.available, self.events = f"{base}/available", f"{base}/events"

    def state(self, stream: str, label: str) -> str:
        """Return the topic of a switch."""
        return f"{self.base}/{level(stream)}/{level(label)}/state"

    def last(self, stream: str, label: str) -> str:
        """Return the topic of a class's newest event."""
        return f"{self.base}/{level(stream)}/{level(label)}/last"

    def discovery(self, stream: str, label: str) -> tuple[str, str]:
        """Return the topic and the message by which Home Assistant finds a switch.

        The identifiers come from base, stream and label alone: the same switch is the same one after a restart.
        """
        device = _identifier(self.base, stream)
        one = _identifier(self.base, stream, label)
        document = {
            "name": label, "unique_id": one, "state_topic": self.state(stream, label),
            "json_attributes_topic": self.last(stream, label), "availability_topic": self.available,
            "device": {
                "identifiers": [device], "name": stream or "stream", "manufacturer": "tal_engine",
                "model": "temporal action localization", "sw_version": __version__,
            },
            "origin": {"name": "tal_engine", "sw_version": __version__},
        }  # fmt: skip
        return f"{self._prefix}/binary_sensor/{device}/{one}/config", json.dumps(document)


def _identifier(*names: str) -> str:
    """Return an identifier of letters, digits, _ and -, readable and different for different names."""
    seen = re.sub(r"[^A-Za-z0-9]+", "_", names[-1]).strip("_").lower()[:40] or "x"
    return f"tal_{seen}_{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]}"


class Switches:
    """Which switches are on: those of open actions, and those of actions that were decided a short while ago.

    Args:
        put: is told (stream, label, on) when one changes; from any thread, one call at a time.
        off_after_s: how long a switch stays on after its last action was decided.
    """

    def __init__(self, put: Callable[[str, str, bool], None], off_after_s: float) -> None:
        self._put, self._off_after_s = put, off_after_s
        self._changed = threading.Condition()
        self._open: dict[str, tuple[str, str]] = {}  # by the action's id
        self._held: dict[tuple[str, str], float] = {}  # until when, by `time.monotonic`
        self._on: set[tuple[str, str]] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="tal-mqtt-switches", daemon=True)
        self._thread.start()

    def take(self, event: Event) -> None:
        """Change what an event changes."""
        key = event.source, event.label
        with self._changed:
            changed = {key, self._open.pop(event.id, key)}  # the class of a provisional action may change
            if event.is_final:
                self._held[key] = time.monotonic() + self._off_after_s
            elif event.kind != "withdrawn" and event.end is None:
                self._open[event.id] = key
                if len(self._open) > _MOST_OPEN:
                    changed.add(self._open.pop(next(iter(self._open))))
            self._show(changed)
            self._changed.notify_all()

    def close(self) -> None:
        """Turn all off; closing twice is harmless."""
        with self._changed:
            self._stopped = True
            self._open.clear()
            self._held.clear()
            self._show(set(self._on))
            self._changed.notify_all()
        self._thread.join()

    def _show(self, keys: set[tuple[str, str]]) -> None:
        for key in sorted(keys):
            on = key in self._held or key in self._open.values()
            if on != (key in self._on):
                (self._on.add if on else self._on.discard)(key)
                self._put(*key, on)

    def _work(self) -> None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                over = {key for key, until in self._held.items() if until <= now}
                for key in over:
                    del self._held[key]
                self._show(over)
                next_ = min(self._held.values(), default=None)
                self._changed.wait(None if next_ is None else max(next_ - time.monotonic(), 0.0))


class HomeSink(Closing):
    """A sink that keeps the topics of a home up to date.

    Finals are delivered to ``events`` as `Delivery` does. What the broker keeps is put there again after each
    connection, so that what changed while it was away, or forgot, is right.

    Args:
        publish: connected to the broker, with the last will of `topics`.
        topics: of the home.
        delivery: of the finals.
        streams: streams whose switches can be found from the start; those of others are with their first event.
        labels: classes of each.
        off_after_s: see `Switches`.
    """

    def __init__(
        self, publish: Publish, topics: Topics, delivery: Delivery, streams: Sequence[str] = (),
        labels: Sequence[str] = (), *, off_after_s: float = 10.0,
    ) -> None:  # fmt: skip
        self.delivery, self._publish, self._topics = delivery, publish, topics
        self._known: set[tuple[str, str]] = set()
        self._closed = False
        for stream in streams:
            for label in labels:
                self._find(stream, label)
        publish.keep(topics.available, ONLINE)  # after the switches: what is available is there
        self._switches = Switches(self._put, off_after_s)

    def write(self, event: Event) -> None:
        """Take an event; returns at once, whatever the broker does.

        Raises:
            SinkError: already closed.
        """
        self.delivery.write(event)
        if self._closed:
            return
        self._find(event.source, event.label)
        if event.is_final:
            self._publish.keep(self._topics.last(event.source, event.label), event.to_json())
        self._switches.take(event)

    @property
    def undelivered(self) -> str:
        """Say what of the finals is dead letters; "" for none."""
        return self.delivery.undelivered

    def hurry(self) -> None:
        """Let `close` wait for nothing."""
        self.delivery.hurry()

    def close(self) -> None:
        """Turn all switches off, deliver what waits, and say that the home is offline; twice is harmless."""
        if not self._closed:
            self._closed = True
            self._switches.close()
            self._publish.last_word = (self._topics.available, OFFLINE)
        self.delivery.close()

    def _find(self, stream: str, label: str) -> None:
        if (stream, label) not in self._known:
            self._known.add((stream, label))
            self._publish.keep(*self._topics.discovery(stream, label))
            self._publish.keep(self._topics.state(stream, label), OFF)

    def _put(self, stream: str, label: str, on: bool) -> None:
        self._publish.keep(self._topics.state(stream, label), ON if on else OFF)
