"""CSV: ``video,label,start,end,score`` of events; of results with the video's ``domain`` behind, and ``subject``.

The subject's column is there where people were told apart.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from ..._util.files import write_text
from ..._util.names import distinct_names
from ...events import Event
from ...records import VideoSegments
from ..sinks.append_log import AppendedFile, Form, Recent
from ..sinks.sink import REMEMBERED, Closing

#: Columns of events, and of results: the domain is that of the whole video, and empty where the plan knows none.
EVENTS = ("video", "label", "start", "end", "score")
RESULTS = (*EVENTS, "domain")

_NUMBER = r"-?\d+\.\d{6}"
_FORM = Form(
    "rows of video,label,start,end,score",
    re.compile(rf".*,{_NUMBER},{_NUMBER},{_NUMBER}"),
    re.compile(rb""),
    head=",".join(EVENTS).encode() + b"\n",
)


def text(results: Iterable[VideoSegments], *, header: bool = True) -> str:
    """Format the table, segments in time order."""
    buffer, results = io.StringIO(), list(results)
    rows = csv.writer(buffer, lineterminator="\n")
    apart = any(r.people is not None or any(s.subject is not None for s in r) for r in results)
    if header:
        rows.writerow([*RESULTS, "subject"] if apart else RESULTS)
    for result in results:
        domain = "" if result.info.domain is None else f"{result.info.domain:.6f}"
        for s in result.by_time():
            cells = [*_row(result.info.source, s.label, s.start, s.end, s.score), domain]
            rows.writerow([*cells, "" if s.subject is None else s.subject] if apart else cells)
    return buffer.getvalue()


def _row(video: str, label: str, start: float, end: float, score: float) -> tuple[str, ...]:
    return video, label, f"{start:.6f}", f"{end:.6f}", f"{score:.6f}"


def write(path: str | Path, results: Iterable[VideoSegments]) -> None:
    """Write the segments of all videos.

    Raises:
        UsageError: two results are of one source, and rows could not be told apart.
    """
    results = list(results)
    distinct_names([r.info.source for r in results])
    write_text(path, text(results))


class EventTable(Closing):
    """A row for each final event, in the order of events; a row that is there already is not written again.

    Args:
        path: the file; it goes on where it has such rows.
        fsync: each row is on the disk when `write` returns.

    Raises:
        SinkError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: str | Path, *, fsync: bool = False) -> None:
        self._file = AppendedFile(path, _FORM, fsync=fsync)
        self._written = Recent(REMEMBERED)
        for row in self._file.records:
            self._written.add(row)

    def write(self, event: Event) -> None:
        """Write a row if the event is final.

        Raises:
            SinkError: the disk is full or gone; the rows before stay whole.
        """
        if event.kind != "final" or event.end is None:
            return
        buffer = io.StringIO()
        cells = _row(event.source, event.title, event.start, event.end, event.score)
        csv.writer(buffer, lineterminator="").writerow([" ".join(c.splitlines()) for c in cells])  # a row is a line
        row = buffer.getvalue()
        if row not in self._written:
            self._file.append(row)
            self._written.add(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
