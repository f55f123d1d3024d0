"""SubRip and WebVTT: a cue an annotation."""

from __future__ import annotations

import html
import re
from pathlib import Path

from ..._util.cues import Kind, cue
from ..._util.files import write_text
from ..._util.untrusted import listed, read_text
from ...errors import DataError
from .format import Context, Format, Writer, holds
from .lines import timed
from .table import Annotation, AnnotationTable

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,9})"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
#: A score at the end of a cue, as `tal localize --format srt` writes it.
_SCORE = re.compile(r"(.*\S)\s+\((-?\d+(?:\.\d+)?)\)")
_TAG = re.compile(r"<[^<>]*>")


def _read(path: Path, context: Context) -> AnnotationTable:
    """Read cues; the text is the label, a number in brackets at its end the score.

    Raises:
        DataError: a cue that ends before it starts, or a file without cues.
    """
    name, rows, wrong = context.named(path), [], []
    text = read_text(path, "subtitle file").replace("\r\n", "\n")
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip().split("\n")
        at, times = next(((i, m) for i, line in enumerate(lines) if (m := _CUE.fullmatch(line))), (0, None))
        if times is None:
            continue  # a head, a note, a style
        start, end = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
        words = html.unescape(_TAG.sub("", " ".join(" ".join(lines[at + 1 :]).split())))
        if end <= start:
            wrong.append(f"{lines[at].strip()!r}: its end is not after its start")
        elif words:
            scored = _SCORE.fullmatch(words)
            label, score = (scored[1], float(scored[2])) if scored else (words, None)
            rows.append(Annotation(name, label, start, end, score=score))
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, whole, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(f"{whole}.{fraction}")


def _writer(kind: Kind) -> Writer:
    head = "WEBVTT\n\n" if kind == "vtt" else ""

    def write(table: AnnotationTable, path: Path, context: Context) -> None:
        context.lose("a score rounded to two decimals", sum(r.score is not None for r in table))
        cues = [cue(k, r.start or 0.0, r.end or 0.0, _words(r), kind) for k, r in enumerate(timed(table), 1)]
        write_text(path, head + "".join(f"{c}\n\n" for c in cues))

    return write


def _words(row: Annotation) -> str:
    return row.label if row.score is None else f"{row.label} ({row.score:.2f})"


_HOLDS = holds("score", "overlaps")
FORMATS = (
    Format("srt", "SubRip", (".srt",), _HOLDS, "milliseconds, nearest", _read, _writer("srt"), one_video=True),
    Format("vtt", "WebVTT", (".vtt",), _HOLDS, "milliseconds, nearest", _read, _writer("vtt"), one_video=True),
)
