"""CSV: ``video,label,start,end,score``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from ..files import write_text
from ..records import Localization

HEADER = ("video", "label", "start", "end", "score")


def text(results: Iterable[Localization]) -> str:
    """The table as text, segments in time order."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(HEADER)
    for result in results:
        for s in result.by_time():
            rows.writerow([result.info.source, s.label, f"{s.start:.6f}", f"{s.end:.6f}", f"{s.score:.6f}"])
    return buffer.getvalue()


def write(path: str | Path, results: Iterable[Localization]) -> None:
    """Write the segments of all videos."""
    write_text(path, text(results))
