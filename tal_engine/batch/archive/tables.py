"""The two tables of an archive: a row for each segment, a row for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..._util.extras import need
from .listing import Item

#: Version of the columns; other versions are not mixed in one output.
SCHEMA = "tal.archive/1"
SEGMENTS, VIDEOS = "segments", "videos"
_COLUMNS = {
    SEGMENTS: {
        "video": "string", "start": "float64", "end": "float64", "label": "string", "label_id": "int32",
        "score": "float64", "subject": "int32", "out_of_domain": "bool_",
    },
    VIDEOS: {
        "video": "string", "status": "string", "segments": "int32", "duration": "float64", "fps": "float64",
        "frames": "int64", "frames_lost": "int64", "domain": "float64", "out_of_domain": "bool_", "warnings": "texts",
        "error": "string", "error_kind": "string", "exit_status": "int32", "tries": "int32", "size": "int64",
        "stamp": "string", "finished": "moment", "seconds": "stages",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a video: `found` of `worker.answer`, or an error of kind `error_kind` after `tries`."""

    item: Item
    tries: int
    found: Mapping[str, Any] | None = None
    error: str = ""
    error_kind: str = ""
    exit_status: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.found is not None


def schema(table: str) -> Any:
    """Return the pyarrow schema of a table."""
    pa = need("pyarrow")
    special = {
        "texts": pa.list_(pa.string()),
        "moment": pa.timestamp("ms", tz="UTC"),
        "stages": pa.map_(pa.string(), pa.float64()),
    }
    fields = [(name, special.get(kind) or getattr(pa, kind)()) for name, kind in _COLUMNS[table].items()]
    return pa.schema(fields, metadata={"tal": SCHEMA})


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a pyarrow table; columns that a row lacks are null."""
    return need("pyarrow").Table.from_pylist(list(rows), schema=schema(name))


def segment_rows(outcome: Outcome, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a video's segments, earliest first.

    Args:
        outcome: of the video.
        labels: of the plan's vocabulary, in its order.
    """
    if outcome.found is None:
        return []
    unlike = outcome.found["info"]["out_of_domain"]
    ids = {label: i for i, label in enumerate(labels)}
    return [
        {"video": outcome.item.key, "start": start, "end": end, "label": label, "label_id": ids[label], "score": score,
         "subject": subject, "out_of_domain": unlike}
        for start, end, label, score, subject in sorted(outcome.found["segments"], key=lambda s: (s[0], s[1], -s[3]))
    ]  # fmt: skip


def video_row(outcome: Outcome) -> dict[str, Any]:
    """Row of a video, whatever became of it."""
    row = {
        "video": outcome.item.key, "status": "done" if outcome.ok else "failed", "tries": outcome.tries,
        "size": outcome.item.size, "stamp": outcome.item.stamp, "finished": datetime.now(UTC),
        "error": outcome.error or None, "error_kind": outcome.error_kind or None, "exit_status": outcome.exit_status,
    }  # fmt: skip
    if outcome.found is None:
        return {**row, "segments": 0}
    info = outcome.found["info"]
    same = ("duration", "fps", "frames", "frames_lost", "domain", "out_of_domain", "warnings")
    seconds = sorted(info["seconds"].items())
    return {**row, **{k: info[k] for k in same}, "segments": len(outcome.found["segments"]), "seconds": seconds}
