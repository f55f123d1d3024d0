"""Sinks by the texts that people type: ``jsonl:events.jsonl``, ``webhook:https://host/path``, ``mqtt://host/topic``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UsageError
from .delivery import without_login
from .live import JsonLines, Sink

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
#: The folder for dead letters where none is given.
DEAD_LETTERS = Path("dead-letters")


def open_sink(
    text: str,
    *,
    dead_letters: Path = DEAD_LETTERS,
    max_bytes: int = 0,
    every_s: float = 0.0,
    keep: int = 0,
    fsync: bool = False,
) -> Sink:
    """Open a sink by its text.

    Args:
        text: one of `SCHEMES`.
        dead_letters: folder for the files of what a webhook, MQTT or Kafka did not take.
        max_bytes, every_s, keep: when JSON Lines files are put aside; see `rotating.RotatingJsonLines`.
        fsync: files: what was written is on the disk at once.

    Raises:
        UsageError: no such sink, or nothing behind its name.
        SinkError: a file cannot be written.
        MissingExtraError: a library is not installed.
    """
    scheme, colon, rest = text.partition(":")
    if scheme not in SCHEMES or not colon:
        raise UsageError(f"unknown sink {without_login(text)!r}; sinks are {', '.join(SCHEMES.values())}")
    if not rest:
        raise UsageError(f"sink {text!r} has nothing after its name, must be {SCHEMES[scheme]}")
    match scheme:
        case "webhook" | "mqtt" | "mqtts" | "kafka":
            return _receiver(scheme, text, rest, dead_letters)
        case "csv":
            from .table import EventTable

            return EventTable(rest, fsync=fsync)
        case "srt" | "vtt":
            from .subtitles import Subtitles

            return Subtitles(rest, "srt" if scheme == "srt" else "vtt", fsync=fsync)
        case _ if rest == "-":
            return JsonLines(sys.stdout)
        case _:
            from .rotating import RotatingJsonLines

            return RotatingJsonLines(rest, max_bytes=max_bytes, every_s=every_s, keep=keep, fsync=fsync)


def _receiver(scheme: str, text: str, rest: str, folder: Path) -> Sink:
    url = rest if scheme == "webhook" else text
    host = (urlsplit(url).netloc.rpartition("@")[2] or "none").replace(":", "-").replace(",", "-")
    path = folder / f"{scheme}-{host}-{hashlib.sha256(url.encode()).hexdigest()[:8]}.jsonl"
    match scheme:
        case "webhook":
            from .webhook import webhook

            return webhook(url, path)
        case "kafka":
            from .kafka import kafka

            return kafka(url, path)
        case _:
            from .mqtt import mqtt

            return mqtt(url, path)
