"""Formats of a line an annotation: Audacity labels, RTTM, the sound-event tables of DCASE, YouTube chapters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..._util.files import write_text
from ..._util.untrusted import listed, read_text
from ...errors import DataError
from .format import Context, Format, holds
from .table import Annotation, AnnotationTable


def rows_of(path: Path, what: str, parse: Callable[[str], Annotation | None]) -> AnnotationTable:
    """Build a table from a file's lines, parsed by `parse`.

    Args:
        path: the file.
        what: kind of file, for messages.
        parse: returns a row, None for a line to skip, or raises ValueError.

    Raises:
        DataError: naming every malformed line.
    """
    rows, wrong = [], []
    for number, line in enumerate(read_text(path, what).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except ValueError as e:
            wrong.append(f"line {number}: {line.strip()[:60]!r} ({e})")
            continue
        if row is not None:
            rows.append(row)
    if wrong:
        raise DataError(f"{path}: {listed(wrong)}")
    return AnnotationTable.of(rows)


def seconds(text: str, what: str = "a time") -> float:
    """Parse a time in seconds.

    Raises:
        ValueError: not a finite number of at least 0.
    """
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is no number, must be {what} in seconds") from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{what} is {text}, must be finite and at least 0")
    return value


def interval(start: str, end: str) -> tuple[float, float]:
    """Start and end in seconds.

    Raises:
        ValueError: no numbers, or the end is not after the start.
    """
    a, b = seconds(start, "a start"), seconds(end, "an end")
    if b <= a:
        raise ValueError(f"its end {end} is not after its start {start}")
    return a, b


def timed(table: AnnotationTable) -> Iterator[Annotation]:
    """Yield segments and points in order of start, then end."""
    yield from sorted((r for r in table if r.start is not None), key=lambda r: (r.start, r.end or 0.0))


def _decimal(value: float | None) -> str:
    """Format with six decimals: a microsecond, far below a frame."""
    return f"{value or 0.0:.6f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- Audacity: START<TAB>END<TAB>LABEL in seconds; a point has both times equal; a line that begins with a backslash
# carries frequencies of the label before it.


def read_audacity(path: Path, context: Context) -> AnnotationTable:
    """Read a label track as Audacity exports it."""
    name = context.named(path)

    def parse(line: str) -> Annotation | None:
        if line.startswith("\\"):
            return None
        cells = line.split("\t", 2)
        if len(cells) < 3 or not cells[2].strip():
            raise ValueError("needs start, end and a label between tabs")
        a, b = seconds(cells[0], "a start"), seconds(cells[1], "an end")
        if b < a:
            raise ValueError(f"its end {cells[1]} is before its start {cells[0]}")
        return Annotation(name, cells[2].strip(), a, b if b > a else None)

    return rows_of(path, "Audacity label track", parse)


def write_audacity(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a label track."""
    lines = [
        f"{_decimal(r.start)}\t{_decimal(r.start if r.end is None else r.end)}\t{_one_line(r.label)}\n"
        for r in timed(table)
    ]
    write_text(path, "".join(lines))


def _is_audacity(head: str) -> bool:
    return re.match(r"\d+(\.\d+)?\t\d+(\.\d+)?\t", head) is not None


# --- RTTM (NIST's rich transcription, as pyannote.core reads it): ten cells between blanks; a label has no blanks.


def read_rttm(path: Path, context: Context) -> AnnotationTable:
    """Read SPEAKER lines; the label is the name of the speaker."""

    def parse(line: str) -> Annotation | None:
        cells = line.split()
        if cells[0] != "SPEAKER":
            return None
        if len(cells) < 8:
            raise ValueError(f"{len(cells)} cells, needs at least 8")
        start, duration = seconds(cells[3], "a start"), seconds(cells[4], "a duration")
        if duration <= 0:
            raise ValueError(f"its duration is {cells[4]}, must be positive")
        score = float(cells[8]) if len(cells) > 8 and cells[8] != "<NA>" else None
        return Annotation(cells[1], cells[7], start, start + duration, score=score)

    return rows_of(path, "RTTM file", parse)


def write_rttm(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write SPEAKER lines. Blanks in names become underscores, since RTTM has cells between blanks."""
    lines = []
    for r in timed(table):
        video, label = ("_".join(x.split()) for x in (r.video, r.label))
        context.lose(
            "a blank in a name became an underscore: RTTM has cells between blanks",
            (video, label) != (r.video, r.label),
        )
        context.renamed.add(r.label)
        score = "<NA>" if r.score is None else f"{r.score:.6f}"
        duration = _decimal((r.end or 0.0) - (r.start or 0.0))
        lines.append(f"SPEAKER {video} 1 {_decimal(r.start)} {duration} <NA> <NA> {label} {score} <NA>\n")
    write_text(path, "".join(lines))


# --- DCASE and sed_eval: FILENAME<TAB>ONSET<TAB>OFFSET<TAB>EVENT_LABEL, with a first line of names; without it
# ONSET<TAB>OFFSET<TAB>EVENT_LABEL of one file.

_SED_HEAD = ("filename", "onset", "offset", "event_label")


def read_sed(path: Path, context: Context) -> AnnotationTable:
    """Read a table of sound events; rows without times (files without events) are skipped."""
    name = context.named(path)

    def parse(line: str) -> Annotation | None:
        cells = [c.strip() for c in line.split("\t")]
        if tuple(cells[:4]) == _SED_HEAD or tuple(cells[:3]) == _SED_HEAD[1:]:
            return None
        if len(cells) == 3:
            cells = [name, *cells]
        if len(cells) != 4:
            raise ValueError(f"{len(cells)} cells between tabs, must be 3 or 4")
        if not any(cells[1:]):
            return None
        return Annotation(cells[0], cells[3], *interval(cells[1], cells[2]))

    return rows_of(path, "table of sound events", parse)


def write_sed(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a table of sound events: .tsv with a line of names, .txt without, as dcase_util and sed_eval read it."""
    lines = [] if path.suffix.lower() == ".txt" else ["\t".join(_SED_HEAD) + "\n"]
    for r in timed(table):
        cells = (_one_line(r.video), _decimal(r.start), _decimal(r.end), _one_line(r.label))
        lines.append("\t".join(cells) + "\n")
    write_text(path, "".join(lines))


_SED_ROW = re.compile(r"[^\t\n]+\t\d+(?:\.\d+)?\t\d+(?:\.\d+)?\t[^\t\n]+(?:\n|$)")


def _is_sed(head: str) -> bool:
    named = head.startswith(("filename\tonset\toffset\tevent_label", "onset\toffset\tevent_label"))
    return named or _SED_ROW.match(head) is not None


# --- YouTube chapters: lines of M:SS or H:MM:SS and a title; a chapter ends where the next begins.

_CHAPTER = re.compile(r"\s*(?:(\d+):)?(\d{1,2}):(\d{2})(?:\.(\d+))?\s+(?:[-\u2013\u2014:]\s+)?(\S.*)")


#: How a cue of subtitles begins; an arrow in a label is none.
_CUE_TIMES = re.compile(r"^\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d+\s*-->", re.MULTILINE)
#: What stands at 0:00 where nothing begins: YouTube shows no chapters of a list that begins later.
_ADDED = "Start (added)"


def read_chapters(path: Path, context: Context) -> AnnotationTable:
    """Read time codes with labels as points: where a label ends is not said. Other lines are skipped.

    Raises:
        DataError: no line with a time code, or times that are none.
    """
    name, codes = context.named(path), 0

    def parse(line: str) -> Annotation | None:
        nonlocal codes
        if (m := _CHAPTER.match(line)) is None:
            return None
        codes += 1
        hours, minutes, whole, fraction, label = m.groups()
        if int(whole) >= 60 or (hours is not None and int(minutes) >= 60):
            raise ValueError("minutes and seconds must be below 60")
        value = int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{whole}.{fraction or 0}")
        return None if value == 0 and label.strip() == _ADDED else Annotation(name, label.strip(), value)

    table = rows_of(path, "list of chapters", parse)
    if not codes:
        raise DataError(f"{path}: no line such as '1:30 label', so it is no list of chapters")
    return table


def write_chapters(table: AnnotationTable, path: Path, context: Context) -> None:
    """Write a chapter for each start, in whole seconds; one is added at 0:00 if none begins there (not read again)."""
    lines, rows = [], list(timed(table))
    if not rows or round(rows[0].start or 0.0) > 0:
        lines.append(f"0:00 {_ADDED}\n")
    for r in rows:
        whole, label = round(r.start or 0.0), _one_line(r.label)
        hours = f"{whole // 3600}:{whole // 60 % 60:02d}" if whole >= 3600 else f"{whole // 60}"
        lines.append(f"{hours}:{whole % 60:02d} {label}\n")
        context.lose("an end left out: chapters end where the next begins", r.end is not None)
        found = _CHAPTER.match(lines[-1])
        if found is None or found[5].strip() != r.label or (whole == 0 and label == _ADDED):
            context.lose(f"a label that reads otherwise in a list of chapters: {r.label!r}")
    write_text(path, "".join(lines))


def _is_chapters(head: str) -> bool:
    return any(_CHAPTER.match(line) for line in head.splitlines()[:5]) and _CUE_TIMES.search(head) is None


FORMATS = (
    Format("audacity", "Audacity labels", (".txt",), holds("points", "overlaps"), "seconds, 6 decimals",
           read_audacity, write_audacity, one_video=True, by_name=True, recognise=_is_audacity),
    Format("rttm", "RTTM", (".rttm",), holds("score", "overlaps"), "seconds, 6 decimals", read_rttm, write_rttm),
    Format("sed", "sound-event table (DCASE, sed_eval)", (".tsv", ".txt"), holds("overlaps"), "seconds, 6 decimals",
           read_sed, write_sed, by_name=True, recognise=_is_sed),
    Format("chapters", "YouTube chapters", (".txt",), holds("points"), "whole seconds, nearest",
           read_chapters, write_chapters, one_video=True, by_name=True, recognise=_is_chapters),
)  # fmt: skip
