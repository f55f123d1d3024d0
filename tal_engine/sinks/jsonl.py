"""JSON Lines: one object a segment, in time order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..files import write_text
from ..records import Localization

SCHEMA = "tal.segment/1"


def lines(result: Localization) -> Iterator[str]:
    """The segments of one video as JSON texts."""
    for s in result.by_time():
        yield json.dumps(
            {
                "source": result.info.source,
                "label": s.label,
                "class_id": result.vocabulary.id(s.label),
                "score": round(s.score, 6),
                "start_time": round(s.start, 6),
                "end_time": round(s.end, 6),
                "plan": f"sha256:{result.info.plan}",
                "schema": SCHEMA,
            }
        )


def write(path: str | Path, results: Iterable[Localization]) -> None:
    """Write the segments of all videos."""
    write_text(path, "".join(f"{line}\n" for result in results for line in lines(result)))
