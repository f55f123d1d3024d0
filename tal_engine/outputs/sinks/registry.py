"""Sinks by the texts that people type: ``jsonl:events.jsonl``, ``webhook:https://host/path``, ``mqtt://host/topic``."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..._util.redaction import redact_address
from ...errors import UsageError
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


def open_sink(text: str, options: SinkOptions | None = None, state: Path | None = None) -> Sink:
    """Open a sink by its text.

    Args:
        text: one of `SCHEMES`.
        options: None for the usual ones.
        state: a folder that keeps what a webhook, MQTT or Kafka has not taken yet, over crashes and restarts.

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
            return _receiver(scheme, text, rest, Path(o.dead_letters), state)
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


def _receiver(scheme: str, text: str, rest: str, folder: Path, state: Path | None) -> Sink:
    url = rest if scheme == "webhook" else text
    host = (urlsplit(url).netloc.rpartition("@")[2] or "none").replace(":", "-").replace(",", "-")
    name = f"{scheme}-{host}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    path, pending = folder / f"{name}.jsonl", state and state / f"{name}.pending.jsonl"
    match scheme:
        case "webhook":
            from .webhook import Post

            post = Post(url)
            return Delivery(f"webhook {post.shown}", post, path, pending=pending)
        case "kafka":
            from .kafka import Produce

            produce = Produce(url)
            return Delivery(produce.shown, produce, path, pending=pending)
        case _:
            from .mqtt import Publish

            publish = Publish(url)
            return Delivery(publish.shown, publish, path, pending=pending)
