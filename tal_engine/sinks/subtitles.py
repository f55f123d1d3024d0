"""Subtitles: SubRip (srt) and WebVTT (vtt), one cue a segment, of a finished video or of a stream as it goes on.

A cue says label and score. Segments may overlap, cues then too: players show them below each other. Cues of a finished
video are in order of start, as WebVTT wants it; those of a stream come as events become final, which players accept.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UsageError
from ..events import Event
from ..files import write_text
from ..records import Localization
from .appending import AppendedFile, Form, Recent
from .live import REMEMBERED, Closing

Kind = Literal["srt", "vtt"]


@dataclass(frozen=True, slots=True)
class _Writing:
    """How one kind is written. point: what stands before the milliseconds. markup: whether it has to be escaped."""

    form: Form
    point: str
    markup: bool

    def cue(self, number: int, start: float, end: float, text: str) -> str:
        """A cue without its blank line; it lasts a millisecond at least and does not begin before 0."""
        first = max(round(start * 1000), 0)
        last = max(round(end * 1000), first + 1)
        line = " ".join(text.split())  # a blank line would end the cue
        line = html.escape(line, quote=False) if self.markup else line.replace("-->", "->")
        return f"{number}\n{self._time(first)} --> {self._time(last)}\n{line}"

    def _time(self, milliseconds: int) -> str:
        seconds, rest = divmod(milliseconds, 1000)
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{self.point}{rest:03d}"


def _writing(what: str, point: str, head: bytes, *, markup: bool) -> _Writing:
    time = rf"\d\d+:\d\d:\d\d{re.escape(point)}\d{{3}}"
    record = re.compile(rf"\d+\n{time} --> {time}\n[^\n]+")
    return _Writing(Form(what, record, re.compile(rb"\d"), head, b"\n\n"), point, markup)


_KINDS: dict[Kind, _Writing] = {
    "srt": _writing("SubRip subtitles", ",", b"", markup=False),
    "vtt": _writing("WebVTT subtitles", ".", b"WEBVTT\n\n", markup=True),
}


def text(result: Localization, kind: Kind) -> str:
    """The subtitles of one video, in order of start."""
    writing = _of(kind)
    cues = [writing.cue(k, s.start, s.end, _words(s.label, s.score)) for k, s in enumerate(result.by_time(), 1)]
    return writing.form.head.decode() + "".join(f"{cue}\n\n" for cue in cues)


def write(path: str | Path, result: Localization, kind: Kind) -> None:
    """Write the subtitles of one video."""
    write_text(path, text(result, kind))


class Subtitles(Closing):
    """A cue for each final event; a cue that is there already is not written again.

    Args:
        path: the file; it goes on where it has such cues, and can be opened by a player at every moment.
        kind: "srt" or "vtt".
        fsync: each cue is on the disk when `write` returns.

    Raises:
        UsageError: another kind.
        SinkError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: str | Path, kind: Kind, *, fsync: bool = False) -> None:
        self._writing = _of(kind)
        self._file = AppendedFile(path, self._writing.form, fsync=fsync)
        self._written = Recent(REMEMBERED)
        self._count = 0
        for record in self._file.records:
            number, _, cue = record.partition("\n")
            self._count = int(number)
            self._written.add(cue)

    def write(self, event: Event) -> None:
        """Write a cue if the event is final.

        Raises:
            SinkError: the disk is full or gone; the cues before stay whole.
        """
        if event.status != "final" or event.end_time is None:
            return
        words = _words(event.label, event.score)
        record = self._writing.cue(self._count + 1, event.start_time, event.end_time, words)
        cue = record.partition("\n")[2]
        if cue not in self._written:
            self._file.append(record)
            self._written.add(cue)
            self._count += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _of(kind: str) -> _Writing:
    for name, writing in _KINDS.items():
        if name == kind:
            return writing
    raise UsageError(f"subtitles are {kind!r}, must be one of {', '.join(_KINDS)}")


def _words(label: str, score: float) -> str:
    return f"{label} ({score:.2f})"
