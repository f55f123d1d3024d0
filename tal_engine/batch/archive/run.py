"""One run over an archive: what is there is left out, what is new is localized and written in parts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..._util.names import file_names
from ...errors import UsageError
from ...limits import Limits
from ...outputs.writers import activitynet, subtitles
from ...records import Info, Segment
from ...results import Localization
from ...vocabulary import Vocabulary
from ..files import made_by
from .listing import Item
from .pool import Pool
from .store import Store
from .tables import Outcome, segment_rows, video_row
from .worker import load

#: Forms of the file that each video may have beside the tables, by their ending.
Also = Literal["json", "vtt", "srt"]
#: Called with videos done, of how many, and the last outcome.
Tell = Callable[[int, int, Outcome], None]


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions:
    """How an archive is localized.

    workers: processes; 0: one a core. threads: of each. tries: how often a video that fails is tried. every, seconds: a
    part is written after so many videos, or so long after the one before; what a killed run has not written is done
    again. retry_failed: try videos again that failed in an earlier run. also: a file for each video beside the tables.
    device, timeout, key, limits: see `TALEngine.load`. min_score, top_k, calibrated: see `TALEngine.localize`.

    >>> from tal_engine.batch.archive.run import ArchiveOptions
    >>> ArchiveOptions(tries=0)
    Traceback (most recent call last):
    tal_engine.errors.UsageError: tries is 0, must be at least 1
    """

    workers: int = 0
    threads: int = 1
    tries: int = 2
    every: int = 64
    seconds: float = 30.0
    retry_failed: bool = False
    also: tuple[Also, ...] = ()
    device: str = "auto"
    timeout: float = 0.0
    key: str | None = None
    limits: Limits = field(default_factory=Limits)
    min_score: float | None = None
    top_k: int | None = None
    calibrated: bool = True

    def __post_init__(self) -> None:
        for name, least in (("workers", 0), ("threads", 0), ("tries", 1), ("every", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, must be at least {least}")

    def deciding(self) -> dict[str, Any]:
        """Return what decides the segments of a video: arguments of `TALEngine.localize`."""
        return {"min_score": self.min_score, "top_k": self.top_k, "calibrated": self.calibrated}

    def wanted(self, plan: str | None) -> dict[str, Any]:
        """Return what a worker loads, ready for JSON; see `worker.serve`."""
        engine = {"threads": self.threads, "timeout": self.timeout, "key": self.key}
        return {"plan": plan, "device": self.device, "engine": engine, "limits": asdict(self.limits),
                "options": self.deciding()}  # fmt: skip


@dataclass
class Summary:
    """What a run did: videos in all, there before, done and failed now, failed before; segments that are new.

    exit_status: of the first video that failed, now or before; 0 if none did.
    """

    total: int = 0
    there: int = 0
    done: int = 0
    failed: int = 0
    failed_before: int = 0
    segments: int = 0
    seconds: float = 0.0
    exit_status: int = 0

    def words(self) -> str:
        """Say it in a line."""
        parts = [f"{self.done} of {self.total} videos localized", f"{self.segments} segments"]
        parts += [f"{self.there} were there already"] if self.there else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.failed_before} failed in an earlier run (--retry-failed)"] if self.failed_before else []
        return ", ".join(parts)


def localize_archive(
    items: Sequence[Item],
    plan: str | None,
    output: str,
    options: ArchiveOptions | None = None,
    tell: Tell | None = None,
) -> Summary:
    """Localize the videos of an archive into tables.

    A video is left out whose row is there, as long as its size and stamp are the row's, and plan and options the same.
    After an error or Ctrl-C what was localized until then is written.

    Args:
        items: see `listing.listed`.
        plan: path of a plan; None: the embedded one.
        output: folder, or an fsspec address; see `store` for what lies in it.
        options: see `ArchiveOptions`.
        tell: called after each video.

    Raises:
        PlanError, BackendError: of the plan, before anything is read.
        SinkError: the output cannot be written.
        StateError: another run writes to the same output.
    """
    options = options or ArchiveOptions()
    with load(options.wanted(plan)) as engine:
        made, vocabulary = made_by(engine.plan.sha256, options.deciding()), engine.plan.vocabulary
    identity = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    store = Store(output, made, identity)
    try:
        return _Run(store, options, vocabulary, items, tell).run(plan)
    finally:
        store.close()


class _Run:
    """The run as it goes on: outcomes that are not written yet."""

    def __init__(
        self, store: Store, options: ArchiveOptions, vocabulary: Vocabulary, items: Sequence[Item], tell: Tell | None
    ) -> None:
        self._store, self._options, self._vocabulary, self._tell = store, options, vocabulary, tell
        self._items = items
        self._files = dict(zip((i.key for i in items), file_names([i.key for i in items], folders=True), strict=True))
        self._kept: list[Outcome] = []
        self._written = time.monotonic()
        self.summary = Summary(total=len(items))

    def run(self, plan: str | None) -> Summary:
        """Do what is left to do."""
        began, o = time.monotonic(), self._options
        self._store.clean()
        left = self._left()
        pool = Pool(o.wanted(plan), o.workers or os.cpu_count() or 1, o.tries)
        try:
            for outcome in pool.run(left):
                self._take(outcome)
        finally:
            self._write()
            self.summary.seconds = time.monotonic() - began
        return self.summary

    def _left(self) -> list[Item]:
        """Items that are new, changed, or failed and are tried again; rows of the latter two are removed."""
        known, left, anew = self._store.known(), [], []
        for item in self._items:
            row = known.get(item.key)
            if row is None or (row["size"], row["stamp"]) != (item.size, item.stamp):
                left.append(item)
                anew += [item.key] if row else []
            elif row["status"] == "done":
                self.summary.there += 1
            elif self._options.retry_failed:
                left.append(item)
                anew.append(item.key)
            else:
                self.summary.failed_before += 1
                self.summary.exit_status = self.summary.exit_status or row["exit_status"]
        self._store.forget(anew)
        return left

    def _take(self, outcome: Outcome) -> None:
        s = self.summary
        s.done, s.failed = s.done + outcome.ok, s.failed + (not outcome.ok)
        s.exit_status = s.exit_status or outcome.exit_status
        s.segments += len(outcome.found["segments"]) if outcome.found else 0
        self._beside(outcome)
        self._kept.append(outcome)
        if len(self._kept) >= self._options.every or time.monotonic() - self._written >= self._options.seconds:
            self._write()
        if self._tell is not None:
            self._tell(s.there + s.failed_before + s.done + s.failed, s.total, outcome)

    def _write(self) -> None:
        kept, self._kept = self._kept, []
        labels = list(self._vocabulary)
        rows = [row for outcome in kept for row in segment_rows(outcome, labels)]
        self._store.add([video_row(outcome) for outcome in kept], rows)
        self._written = time.monotonic()

    def _beside(self, outcome: Outcome) -> None:
        """Write the files that a video has of its own; they come before its rows, so none is missing later."""
        if outcome.found is None:
            return
        for form, text in self._texts(outcome):
            self._store.save(f"{form}/{self._files[outcome.item.key]}.{form}", text)

    def _texts(self, outcome: Outcome) -> Iterator[tuple[str, str]]:
        if not self._options.also or outcome.found is None:
            return
        segments = sorted((Segment(*s) for s in outcome.found["segments"]), key=lambda s: -s.score)
        result = Localization(segments, Info(**outcome.found["info"]), self._vocabulary)
        for form in self._options.also:
            if form == "json":
                yield form, f"{json.dumps(activitynet.document([result], [outcome.item.key]), indent=1)}\n"
            else:
                yield form, subtitles.text(result, form)
