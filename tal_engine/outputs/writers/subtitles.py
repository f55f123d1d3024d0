"""Subtitles: SubRip (srt) and WebVTT (vtt), one cue a segment, of a finished video or of a stream as it goes on.

A cue says label and score. Segments may overlap, cues then too: players show them below each other. Cues of a finished
video are in order of start, as WebVTT wants it; those of a stream come as events become final, which players accept.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..._util.cues import POINT, Kind, cue
from ..._util.files import write_text
from ...errors import UsageError
from ...events import Event
from ...records import VideoSegments
from ..sinks.append_log import AppendedFile, Form, Recent
from ..sinks.sink import REMEMBERED, Closing


def _form(what: str, kind: Kind, head: bytes) -> Form:
    time = rf"\d\d+:\d\d:\d\d{re.escape(POINT[kind])}\d{{3}}"
    return Form(what, re.compile(rf"\d+\n{time} --> {time}\n[^\n]+"), re.compile(rb"\d"), head, b"\n\n")


_FORMS: dict[Kind, Form] = {
    "srt": _form("SubRip subtitles", "srt", b""),
    "vtt": _form("WebVTT subtitles", "vtt", b"WEBVTT\n\n"),
}


def text(result: VideoSegments, kind: Kind) -> str:
    """Format the subtitles of one video, in order of start."""
    head = _form_of(kind).head.decode()
    cues = [cue(k, s.start, s.end, _words(s.title, s.score), kind) for k, s in enumerate(result.by_time(), 1)]
    return head + "".join(f"{c}\n\n" for c in cues)


def write(path: str | Path, result: VideoSegments, kind: Kind) -> None:
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
        self._kind: Kind = kind
        self._file = AppendedFile(path, _form_of(kind), fsync=fsync)
        self._written = Recent(REMEMBERED)
        self._count = 0
        for record in self._file.records:
            number, _, rest = record.partition("\n")
            self._count = int(number)
            self._written.add(rest)

    def write(self, event: Event) -> None:
        """Write a cue if the event is final.

        Raises:
            SinkError: the disk is full or gone; the cues before stay whole.
        """
        if event.kind != "final" or event.end is None:
            return
        words = _words(event.title, event.score)
        record = cue(self._count + 1, event.start, event.end, words, self._kind)
        rest = record.partition("\n")[2]
        if rest not in self._written:
            self._file.append(record)
            self._written.add(rest)
            self._count += 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _form_of(kind: str) -> Form:
    for name, form in _FORMS.items():
        if name == kind:
            return form
    raise UsageError(f"subtitles are {kind!r}, must be one of {', '.join(_FORMS)}")


def _words(label: str, score: float) -> str:
    return f"{label} ({score:.2f})"
