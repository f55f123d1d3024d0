"""Videos as a Ray Data set, and the class that its actors are: each has an engine, in a process of its own.

The engine's process may die over a video (a decoder that crashes, memory that runs out) without its actor: which video
it was is known, and Ray does not do it again for ever. When an actor or its node dies, Ray does what it had elsewhere.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._util.extras import need
from ..batch.archive.listing import Item, listed
from ..batch.archive.pool import Process, outcome_of
from ..batch.archive.run import ArchiveOptions

_SEGMENT = {"start": "float64", "end": "float64", "label": "string", "score": "float64", "subject": "int32"}


def videos(sources: Sequence[str], column: str | None = None, per_block: int = 1) -> Any:
    """Return a Ray data set of videos, a row each: ``video`` (its address), ``key``, ``size``, ``stamp``.

    Args:
        sources: see `batch.archive.listing.listed`.
        column: see `listed`.
        per_block: videos of a block, which one actor does in one go.

    Raises:
        MissingExtraError: Ray is not installed.
        TALError: see `listed`.

    >>> from tal_engine.distributed import LocalizeBatch, videos
    >>> found = videos(["s3://archive/2026/"]).map_batches(  # doctest: +SKIP
    ...     LocalizeBatch, fn_constructor_args=("mine.plan",), batch_format="pyarrow", batch_size=1, concurrency=(1, 64)
    ... )
    >>> found.write_parquet("s3://results/")  # doctest: +SKIP
    """
    return dataset(
        [{"video": i.address, "key": i.key, "size": i.size, "stamp": i.stamp} for i in listed(sources, column)],
        per_block,
    )


def dataset(rows: list[dict[str, Any]], per_block: int) -> Any:
    """Return rows as a data set of blocks of so many; they are addresses, so it does not matter where blocks lie."""
    return need("ray.data").from_items(rows, override_num_blocks=-(-len(rows) // per_block) or 1)


class LocalizeBatch:
    """Localizes the videos of a batch; a callable class for ``map_batches(..., batch_format="pyarrow")``.

    Adds to a table with the column ``video``: ``status`` (done, failed), ``error``, ``error_kind``, ``exit_status``,
    ``segments`` (a list of start, end, label, score, subject) and ``info`` (JSON of `Info`).

    Args:
        plan: path, or name of one that ships, on every node; or the plan itself: its bytes, or a Ray reference to them.
        options: device, threads and limits of the engine, and what is kept of its results.

    Raises:
        PlanError, BackendError: the plan cannot be used there.
    """

    def __init__(self, plan: Any = None, options: ArchiveOptions | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tal-ray-")
        self._process = Process((options or ArchiveOptions()).wanted(self._file(plan)))

    def _file(self, plan: Any) -> str | None:
        if plan is None or isinstance(plan, str | Path):
            return None if plan is None else str(plan)
        content = plan if isinstance(plan, bytes) else need("ray").get(plan)
        path = Path(self._folder.name) / "given.plan"
        path.write_bytes(content)
        return str(path)

    def __call__(self, table: Any) -> Any:
        """Localize each video of a table; one that fails is a row that says so."""
        pa = need("pyarrow")
        rows = [self._row(row) for row in table.to_pylist()]
        for field in self._fields():
            values = pa.array([row[field.name] for row in rows], field.type)
            table = table.append_column(field, values)
        return table

    def _fields(self) -> Any:
        pa = need("pyarrow")
        segment = pa.struct([(name, getattr(pa, kind)()) for name, kind in _SEGMENT.items()])
        text = pa.string()
        return pa.schema([
            ("status", text), ("error", text), ("error_kind", text), ("exit_status", pa.int32()),
            ("segments", pa.list_(segment)), ("info", text),
        ])  # fmt: skip

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = outcome_of(_item(row), 1, self._process.ask({"address": row["video"]}))
        found: dict[str, Any] = {"error": outcome.error or None, "error_kind": outcome.error_kind or None}
        found |= {"exit_status": outcome.exit_status, "status": "done" if outcome.ok else "failed"}
        if outcome.found is None:
            return {**found, "segments": [], "info": None}
        segments = [dict(zip(_SEGMENT, s, strict=True)) for s in outcome.found["segments"]]
        return {**found, "segments": segments, "info": json.dumps(outcome.found["info"])}


def _item(row: dict[str, Any]) -> Item:
    return Item(row["video"], row.get("key") or row["video"])
