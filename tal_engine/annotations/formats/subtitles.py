"""SubRip and WebVTT: a cue an annotation.

WebVTT escapes its markup; SubRip cannot, so only the tags that players know (b, i, u, s, font and positions in braces)
are markup there, and any other text between angle brackets is text.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import NamedTuple

from ..._util.cues import Kind, cue
from ..._util.files import write_text
from ..._util.untrusted import listed, read_text
from ...errors import DataError
from .format import Context, Format, Reader, Writer, holds
from .lines import timed
from .table import Annotation, AnnotationTable

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,9})"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
#: A score at the end of a cue, as `tal localize` writes it. "(2)" is no score: labels are numbered like that.
_SCORE = re.compile(r"(.*\S)\s+\((-?\d+\.\d+)\)")
_TAG: dict[Kind, re.Pattern[str]] = {
    "srt": re.compile(r"</?(?:b|i|u|s|font(?:\s[^<>]*)?)>|\{\\[^{}]*\}", re.IGNORECASE),
    "vtt": re.compile(r"<[^<>]*>"),
}
#: How the blocks of a WebVTT file begin that are no cues.
_NO_CUE = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:[ \t].*)?")


class _Block(NamedTuple):
    """A cue as it is written: the line of its times, these in seconds, and its text."""

    line: str
    start: float
    end: float
    text: str


def _reader(kind: Kind) -> Reader:
    def read(path: Path, context: Context) -> AnnotationTable:
        """Read cues; the text is the label, a number with a fraction in brackets at its end the score.

        Raises:
            DataError: no cues, times that cannot be read, or a cue that ends before it starts; all are named.
        """
        name, rows, empty = context.named(path), list[Annotation](), 0
        blocks, wrong = _blocks(read_text(path, "subtitle file"), kind)
        for block in blocks:
            words = _plain(block.text, kind)
            if block.end <= block.start:
                wrong.append(f"{block.line!r}: its end is not after its start")
            elif words:
                rows.append(Annotation(name, words[0], block.start, block.end, score=words[1]))
            empty += words is None
        if wrong:
            raise DataError(f"{path}: {listed(wrong)}")
        return AnnotationTable.of(rows, notes=[f"{empty} x a cue without text left out"] if empty else [])

    return read


def _blocks(text: str, kind: Kind) -> tuple[list[_Block], list[str]]:
    """Return the cues of a file, and what in it is none."""
    found, wrong = list[_Block](), list[str]()
    parts = [b.strip().split("\n") for b in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")) if b.strip()]
    if kind == "vtt" and (not parts or not parts[0][0].startswith("WEBVTT")):
        return [], [
            f"begins with {parts[0][0][:40]!r}, WebVTT with 'WEBVTT'" if parts else "empty, WebVTT begins with 'WEBVTT'"
        ]
    for lines in parts:
        at, times = next(((i, m) for i, line in enumerate(lines[:2]) if (m := _CUE.fullmatch(line))), (0, None))
        if times is not None:
            ends = (_seconds(times.groups()[:4]), _seconds(times.groups()[4:]))
            found.append(_Block(lines[at].strip(), *ends, " ".join(" ".join(lines[at + 1 :]).split())))
        elif not (kind == "vtt" and _NO_CUE.fullmatch(lines[0])):
            wrong.append(f"{lines[0][:60]!r}: a cue has a line HH:MM:SS,mmm --> HH:MM:SS,mmm and its text below")
    return found, wrong


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, whole, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(f"{whole}.{fraction}")


def _plain(text: str, kind: Kind) -> tuple[str, float | None] | None:
    """Split a cue's text into label and score; None where it says nothing."""
    words = " ".join(_TAG[kind].sub("", text).split())
    words = html.unescape(words) if kind == "vtt" else words
    scored = _SCORE.fullmatch(words)
    return (scored[1], float(scored[2])) if scored else (words, None) if words else None


def _writer(kind: Kind) -> Writer:
    head = "WEBVTT\n\n" if kind == "vtt" else ""

    def write(table: AnnotationTable, path: Path, context: Context) -> None:
        context.lose("a score rounded to two decimals", sum(r.score is not None for r in table))
        cues = []
        for k, r in enumerate(timed(table), 1):
            cues.append(cue(k, r.start or 0.0, r.end or 0.0, _words(r), kind))
            context.lose(*_otherwise(r, cues[-1].partition("\n")[2].partition("\n")[2], kind))
        write_text(path, head + "".join(f"{c}\n\n" for c in cues))

    return write


def _otherwise(row: Annotation, text: str, kind: Kind) -> tuple[str, int]:
    """Say how a label reads otherwise in a cue, if it does, with its count."""
    found = _plain(text, kind)
    if found is not None and found[0] == row.label and (found[1] is None) == (row.score is None):
        return "", 0
    label = "nothing" if found is None else repr(found[0] if found[1] is None else f"{found[0]} with score {found[1]}")
    return f"a label that reads otherwise in a cue: {row.label!r} as {label}", 1


def _words(row: Annotation) -> str:
    return row.label if row.score is None else f"{row.label} ({row.score:.2f})"


_HOLDS = holds("score", "overlaps")
FORMATS = (
    Format("srt", "SubRip", (".srt",), _HOLDS, "milliseconds, nearest", _reader("srt"), _writer("srt"), one_video=True),
    Format("vtt", "WebVTT", (".vtt",), _HOLDS, "milliseconds, nearest", _reader("vtt"), _writer("vtt"), one_video=True),
)
