"""JSON Lines: one object a segment, in time order, with the fields that events and the API have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..._util.files import write_text
from ..._util.names import distinct_names
from ...records import VideoSegments

SCHEMA = "tal.segment/2"


def lines(result: VideoSegments) -> Iterator[str]:
    """Yield the segments of one video as JSON texts, each with the video's domain where the plan knows one."""
    of_video = {} if result.info.domain is None else {"domain": round(result.info.domain, 6)}
    for s in result.by_time():
        yield json.dumps(
            {
                "source": result.info.source,
                "label": s.label,
                "label_id": result.vocabulary.id(s.label),
                "score": round(s.score, 6),
                "start": round(s.start, 6),
                "end": round(s.end, 6),
                **({} if s.subject is None else {"subject": s.subject}),
                **of_video,
                "plan": f"sha256:{result.info.plan}",
                "schema": SCHEMA,
            }
        )


def write(path: str | Path, results: Iterable[VideoSegments]) -> None:
    """Write the segments of all videos.

    Raises:
        UsageError: two results are of one source, and rows could not be told apart.
    """
    results = list(results)
    distinct_names([r.info.source for r in results])
    write_text(path, "".join(f"{line}\n" for result in results for line in lines(result)))
