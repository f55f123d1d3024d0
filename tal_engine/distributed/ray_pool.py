"""What `tal batch` localizes with on a cluster: Ray Data runs the actors, and this process alone writes the tables.

Ray Data decides where a video is done, how many actors there are, and how much waits for them: a block of a few
addresses is handed out when an actor has room for it, and results are taken as fast as they are written.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._util.extras import need
from ..batch.archive.listing import Item
from ..batch.archive.pool import Process, outcome_of
from ..batch.archive.run import ArchiveOptions
from ..batch.archive.tables import Outcome
from ..errors import TALError
from ..pose.plans import SHIPPED, plan_path
from .cluster import RayOptions, ended, joined, quiet_data
from .localizing import LocalizeBatch, dataset

#: Videos of a block at most, and blocks that each worker should have: what is done again when a node is lost, and
#: what there is to share out at the end of a run.
_BLOCK, _BLOCKS = 16, 8
#: Stands for the open end of a video's last part: columns of numbers hold no None.
_OPEN = -1


class RayPool:
    """Localizes items on a Ray cluster; takes the place of `batch.archive.pool.Pool`.

    Args:
        plan: path of a plan on this machine, or the name of one that ships; nodes get it from here.
        options: workers (0: as many as the cluster has room for, and more when it grows), threads, device, tries.
        cluster: where Ray is.

    Raises:
        MissingExtraError: Ray is not installed.

    >>> from tal_engine.batch.archive.listing import listed
    >>> from tal_engine.batch.archive.run import localize_archive
    >>> from tal_engine.distributed import RayPool
    >>> summary = localize_archive(listed(["videos/"]), "mine.plan", "tables", pool=RayPool)  # doctest: +SKIP
    """

    def __init__(self, plan: str | None, options: ArchiveOptions, cluster: RayOptions | None = None) -> None:
        need("ray")
        self._options, self._cluster = options, cluster or RayOptions()
        path = plan_path(plan)
        self._shipped = path in SHIPPED.values()
        self._plan: Any = plan if self._shipped else path.read_bytes()
        self._wanted = options.wanted(plan)

    def run(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """Yield the outcome of each item as it comes; items that failed are tried again after the others.

        Raises:
            UsageError: no cluster answers.
            TALError: the plan cannot be used on a node.
            BackendError: Ray ended the run.
        """
        left = list(items)
        if not left:
            return
        with joined(self._cluster.address) as ray, quiet_data():
            plan = self._plan if self._shipped else ray.put(self._plan)
            try:
                for tries in range(1, self._options.tries + 1):
                    failed = []
                    for outcome in self._tried(ray, plan, left, tries):
                        if outcome.ok or tries == self._options.tries:
                            yield outcome
                        else:
                            failed.append(outcome.item)
                    left = failed
                    if not left:
                        break
            except ray.exceptions.RayError as e:
                raise ended(e) from e

    def _tried(self, ray: Any, plan: Any, items: Sequence[Item], tries: int) -> Iterator[Outcome]:
        """Localize each item once: long ones in parts, and whole where that fails."""
        long = self._long(ray, plan, items) if self._cluster.split else {}
        short = [i for k, i in enumerate(items) if k not in long]
        whole = yield from self._in_parts(ray, plan, {items[k]: parts for k, parts in long.items()}, tries)
        whole += short
        rows = [_row(k, item) for k, item in enumerate(whole)]
        left = dict(enumerate(whole))
        for row in self._mapped(ray, plan, rows, _Localize):
            item = left.pop(row["number"], None)
            if item is not None:  # once, whatever was done twice because a node was lost
                yield _outcome(item, tries, row)
        for item in left.values():
            yield outcome_of(item, tries, None)

    def _long(self, ray: Any, plan: Any, items: Sequence[Item]) -> dict[int, list[list[int | None]]]:
        """Return the parts of the items that have several."""
        rows = [_row(k, item, longer=self._cluster.split) for k, item in enumerate(items)]
        found = {row["number"]: json.loads(row["parts"]) for row in self._mapped(ray, plan, rows, _Split)}
        return {k: parts for k, parts in found.items() if len(parts) > 1}

    def _in_parts(
        self, ray: Any, plan: Any, items: dict[Item, list[list[int | None]]], tries: int
    ) -> Any:  # a generator of outcomes, which returns the items that have to be done whole
        rows = [
            _row(k, item, first=first, last=_OPEN if last is None else last)
            for k, (item, parts) in enumerate(items.items()) for first, last in parts
        ]  # fmt: skip
        if not rows:
            return []
        left, whole = dict(enumerate(items)), []
        with tempfile.TemporaryDirectory(prefix="tal-parts-") as folder, closing(Process(self._wanted)) as head:
            files: dict[int, dict[int, Path]] = {}
            for row in self._mapped(ray, plan, rows, _EncodePart, per_block=1):
                of = files.setdefault(row["number"], {})
                of[row["first"]] = Path(folder) / f"{row['number']}-{row['first']}"
                of[row["first"]].write_bytes(row["features"] or b"")
                item = left.get(row["number"])
                if item is None or len(of) < len(items[item]):
                    continue
                del left[row["number"]]
                outcome = outcome_of(item, tries, _head(head, list(of.values())))
                for path in of.values():
                    path.unlink()
                if outcome.ok:
                    yield outcome
                else:
                    whole.append(item)
        return [*whole, *left.values()]

    def _mapped(
        self, ray: Any, plan: Any, rows: list[dict[str, Any]], worker: type[Any], per_block: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows that the actors make of rows, as they come."""
        if not rows:
            return
        o, free = self._options, int(ray.cluster_resources().get("CPU", 1))
        threads = o.threads or 1
        most = o.workers or None
        begin = min(most or max(free // threads, 1), len(rows))
        size = per_block or min(max(len(rows) // (_BLOCKS * begin), 1), _BLOCK)
        pool = need("ray.data").ActorPoolStrategy(min_size=1, max_size=most, initial_size=begin)
        gpus = self._cluster.gpus_for(o.device)
        made = dataset(rows, size).map_batches(
            worker, fn_constructor_args=(plan, replace(o, key=None)), batch_size=1, batch_format="pyarrow",
            compute=pool, num_cpus=threads, **({"num_gpus": gpus} if gpus else {}),
        )  # fmt: skip
        for table in made.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in table.to_pylist():
                if row["fatal"] is not None:
                    raise pickle.loads(row["fatal"])  # noqa: S301 - of our own actors
                yield row


class _Telling(LocalizeBatch):
    """Gives the error of a plan that cannot be used as a column of rows: of one that is raised Ray keeps the words."""

    def __call__(self, table: Any) -> Any:
        pa, fatal = need("pyarrow"), None
        try:
            table = super().__call__(table)
        except TALError as e:
            fatal = pickle.dumps(e)
            for field in self._fields():
                table = table.append_column(field, pa.nulls(len(table), field.type))
        return table.append_column("fatal", pa.array([fatal] * len(table), pa.binary()))


class _Localize(_Telling):
    """Localizes videos."""


class _Split(_Telling):
    """Tells the parts of videos, as JSON: those that cannot be opened have one, and whoever localizes them says why."""

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        found = self._process.ask({"address": row["video"], "longer": row["longer"]}) or {}
        return {"parts": json.dumps(found.get("parts", [[0, None]]))}

    def _fields(self) -> Any:
        pa = need("pyarrow")
        return pa.schema([("parts", pa.string())])


class _EncodePart(_Telling):
    """Encodes parts of videos; one that fails has no features."""

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        to = Path(self._folder.name) / "part"
        part = [row["first"], None if row["last"] == _OPEN else row["last"]]
        found = self._process.ask({"address": row["video"], "part": part, "to": str(to)})
        return {"features": to.read_bytes() if found is not None and "part" in found else None}

    def _fields(self) -> Any:
        pa = need("pyarrow")
        return pa.schema([("features", pa.large_binary())])


def _row(number: int, item: Item, **more: Any) -> dict[str, Any]:
    return {"number": number, "video": item.address, "key": item.key, **more}


def _outcome(item: Item, tries: int, row: dict[str, Any]) -> Outcome:
    """Return the outcome that a row of `LocalizeBatch` tells."""
    if row["status"] != "done":
        return Outcome(item, tries, None, row["error"], row["error_kind"], row["exit_status"])
    segments = [tuple(segment.values()) for segment in row["segments"]]
    return Outcome(item, tries, {"segments": segments, "info": json.loads(row["info"])})


def _head(process: Process, files: Sequence[Path]) -> dict[str, Any] | None:
    """Localize a video whose parts lie in files; None where one of them failed."""
    if not all(path.stat().st_size for path in files):
        return None
    return process.ask({"parts": [str(path) for path in files]})
