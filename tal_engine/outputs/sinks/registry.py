"""Sinks by the texts that people type: ``jsonl:events.jsonl``, ``webhook:https://host/path``, ``mqtt://host/topic``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..._util.redaction import redact_address
from ...errors import UsageError, require
from .delivery import Delivery
from .sink import JsonLines, Sink

#: What each sink's text begins with, and what follows.
SCHEMES = {
    "jsonl": "jsonl:PATH (- is stdout)",
    "csv": "csv:PATH",
    "srt": "srt:PATH",
    "vtt": "vtt:PATH",
    "webhook": "webhook:URL",
    "mqtt": "mqtt://HOST:PORT/TOPIC",
    "mqtts": "mqtts://HOST:PORT/TOPIC",
    "kafka": "kafka://HOST:PORT/TOPIC",
}
#: How topics of MQTT are laid out.
LAYOUTS = ("topic", "home")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """What can be chosen about sinks."""

    #: Folder for the files of what a webhook, MQTT or Kafka did not take.
    dead_letters: str = "dead-letters"
    #: When JSON Lines files are put aside, and how many of them are kept; see `rotating.RotatingJsonLines`.
    max_bytes: int = 0
    every_s: float = 0.0
    keep: int = 0
    #: Files: what was written is on the disk at once.
    fsync: bool = False
    #: MQTT: "topic" (all events on one), or "home": also a switch for each class of each stream, which Home Assistant
    #: finds below `discovery`, and which turns off so many seconds after its last action was decided.
    layout: str = "topic"
    discovery: str = "homeassistant"
    off_after: float = 10.0

    def __post_init__(self) -> None:
        require(self.layout in LAYOUTS, "layout", self.layout, " or ".join(map(repr, LAYOUTS)))
        named = bool(self.discovery) and not set(self.discovery) & set("+#\0")
        require(named, "discovery", self.discovery, "a topic without + and #")
        require(0 < self.off_after < float("inf"), "off_after", self.off_after, "positive and finite seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What events may come: names of streams, and the classes of their plan."""

    streams: Sequence[str] = ()
    labels: Sequence[str] = ()


def open_sink(
    text: str, options: SinkOptions | None = None, state: Path | None = None, source: Source | None = None
) -> Sink:
    """Open a sink by its text.

    Args:
        text: one of `SCHEMES`.
        options: None for the usual ones.
        state: a folder that keeps what a webhook, MQTT or Kafka has not taken yet, over crashes and restarts.
        source: what events may come, where that is known: a home's switches are there from the start.

    Raises:
        UsageError: no such sink, or nothing behind its name.
        SinkError: a file cannot be written.
        MissingExtraError: a library is not installed.
    """
    o = options or SinkOptions()
    scheme, colon, rest = text.partition(":")
    if scheme not in SCHEMES or not colon:
        raise UsageError(f"unknown sink {redact_address(text)!r}; sinks are {', '.join(SCHEMES.values())}")
    if not rest:
        raise UsageError(f"sink {text!r} has nothing after its name, must be {SCHEMES[scheme]}")
    match scheme:
        case "webhook" | "mqtt" | "mqtts" | "kafka":
            return _receiver(scheme, text, rest, o, state, source or Source())
        case "csv":
            from ..writers.csv_table import EventTable

            return EventTable(rest, fsync=o.fsync)
        case "srt" | "vtt":
            from ..writers.subtitles import Subtitles

            return Subtitles(rest, "srt" if scheme == "srt" else "vtt", fsync=o.fsync)
        case _ if rest == "-":
            return JsonLines(sys.stdout)
        case _:
            from .rotating import RotatingJsonLines

            return RotatingJsonLines(rest, max_bytes=o.max_bytes, every_s=o.every_s, keep=o.keep, fsync=o.fsync)


def _receiver(scheme: str, text: str, rest: str, o: SinkOptions, state: Path | None, source: Source) -> Sink:
    url = rest if scheme == "webhook" else text
    host = (urlsplit(url).netloc.rpartition("@")[2] or "none").replace(":", "-").replace(",", "-")
    name = f"{scheme}-{host}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    path, pending = Path(o.dead_letters) / f"{name}.jsonl", state and state / f"{name}.pending.jsonl"
    match scheme:
        case "webhook":
            from .webhook import Post

            post = Post(url)
            return Delivery(f"webhook {post.shown}", post, path, pending=pending)
        case "kafka":
            from .kafka import Produce

            produce = Produce(url)
            return Delivery(produce.shown, produce, path, pending=pending)
        case _ if o.layout == "home":
            return _home(url, o, path, pending, source)
        case _:
            from .mqtt import Publish

            publish = Publish(url)
            return Delivery(publish.shown, publish, path, pending=pending)


def _home(url: str, o: SinkOptions, path: Path, pending: Path | None, source: Source) -> Sink:
    from .mqtt import Publish, topic_of
    from .mqtt_home import OFFLINE, HomeSink, Topics

    topics = Topics(topic_of(url), o.discovery)
    publish = Publish(url, below="/events", will=(topics.available, OFFLINE))
    delivery = Delivery(publish.shown, publish, path, pending=pending)
    return HomeSink(publish, topics, delivery, source.streams, source.labels, off_after_s=o.off_after)
