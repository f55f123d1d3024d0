"""One run over an archive: what is there is left out, what is new is localized and written in parts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from ..._util.names import video_name
from ...errors import UsageError
from ...limits import Limits
from ...outputs.writers import activitynet, subtitles
from ...pose.plans import open_plan
from ...records import Info, Segment
from ...results import Localization
from ...vocabulary import Vocabulary
from ..files import made_by
from .listing import Item
from .pool import Pool
from .store import Store
from .tables import Outcome, segment_rows, video_row

#: Forms of the file that each video may have beside the tables, by their ending.
Also = Literal["json", "vtt", "srt"]
#: What is not kept of a video's name in that of its file.
_SAFE = re.compile(r"[^\w.-]+")
#: Called with videos done, of how many, and the last outcome.
Tell = Callable[[int, int, Outcome], None]


class Outcomes(Protocol):
    """What localizes videos and says what became of each."""

    def run(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Yield the outcome of each video, once, as it comes; of those that fail, of the last try."""
        ...


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

    exit_status: of the first video that failed, now or before; 0 if none did. errors_before: of those that failed in an
    earlier run.
    """

    total: int = 0
    there: int = 0
    done: int = 0
    failed: int = 0
    failed_before: int = 0
    segments: int = 0
    seconds: float = 0.0
    exit_status: int = 0
    errors_before: list[str] = field(default_factory=list)

    def words(self) -> str:
        """Say it in a line."""
        segments = f"{self.segments} segment{'s' * (self.segments != 1)}"
        parts = [f"{self.done} of {self.total} videos localized", segments]
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
    pool: Callable[[str | None, ArchiveOptions], Outcomes] | None = None,
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
        pool: makes what localizes, of plan and options; default: processes of this machine. See
            `tal_engine.distributed.RayPool`.

    Raises:
        PlanError, BackendError: of the plan, before any video is read.
        SinkError: the output cannot be written, or was removed under the run.
        StateError: another run writes to the same output.
    """
    options = options or ArchiveOptions()
    opened = open_plan(plan, key=options.key)  # the graphs are the workers': this process needs none
    made = made_by(opened.sha256, options.deciding())
    localizing = (pool or _processes)(plan, options)
    identity = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    store = Store(output, made, identity)
    try:
        return _Run(store, options, opened.vocabulary, items, tell).run(localizing)
    finally:
        store.close()


def _processes(plan: str | None, o: ArchiveOptions) -> Pool:
    return Pool(o.wanted(plan), o.workers or os.cpu_count() or 1, o.tries)


class _Run:
    """The run as it goes on: outcomes that are not written yet."""

    def __init__(
        self, store: Store, options: ArchiveOptions, vocabulary: Vocabulary, items: Sequence[Item], tell: Tell | None
    ) -> None:
        self._store, self._options, self._vocabulary, self._tell = store, options, vocabulary, tell
        self._items = items
        self._kept: list[Outcome] = []
        self._written = time.monotonic()
        self.summary = Summary(total=len(items))

    def run(self, pool: Outcomes) -> Summary:
        """Do what is left to do."""
        began = time.monotonic()
        left = self._left()
        self._files_of_before({item.key for item in self._items} - {item.key for item in left})
        try:
            for outcome in pool.run(left):
                self._take(outcome)
        finally:
            self._write()
            self.summary.seconds = time.monotonic() - began
        self._store.check()
        return self.summary

    def _left(self) -> list[Item]:
        """Return items that are new, changed, or failed and are tried again; rows of the latter two are removed."""
        known, left = self._store.recover(), []
        anew: dict[str, set[str]] = {}
        for item in self._items:
            row = known.get(item.key)
            if row is None or (row["size"], row["stamp"]) != (item.size, item.stamp):
                left.append(item)
            elif row["status"] == "done":
                self.summary.there += 1
            elif self._options.retry_failed:
                left.append(item)
            else:
                self.summary.failed_before += 1
                self.summary.errors_before.append(row["error"])
                self.summary.exit_status = self.summary.exit_status or row["exit_status"]
        for item in left:
            if (row := known.get(item.key)) is not None:
                anew.setdefault(row["part"], set()).add(item.key)
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
        if outcome.found is None or not self._options.also:
            return
        segments = (Segment(*s) for s in outcome.found["segments"])
        result = self._result(segments, Info(**outcome.found["info"]))
        for form in self._options.also:
            self._store.save(form, file_of(outcome.item.key, form), _text(form, outcome.item.key, result))

    def _result(self, segments: Iterable[Segment], info: Info) -> Localization:
        """Make a result, best first, in the same order whether it comes from a worker or from the tables."""
        best_first = sorted(segments, key=lambda s: (-s.score, s.start, s.end, s.label))
        return Localization(best_first, info, self._vocabulary)

    def _files_of_before(self, keys: Set[str]) -> None:
        """Write the files that are missing of videos which an earlier run localized, from their rows."""
        missing = {form: keys - {k for k in keys if file_of(k, form) in there}
                   for form in self._options.also for there in (self._store.files(form),)}  # fmt: skip
        if not any(missing.values()):
            return
        for videos, segments in self._store.parts():
            of: dict[str, list[Segment]] = {}
            for s in segments:
                segment = Segment(s["start"], s["end"], s["label"], s["score"], s["subject"])
                of.setdefault(s["video"], []).append(segment)
            for row in videos:
                found = self._result(of.get(row["video"], []), _info(row))
                for form in self._options.also:
                    if row["status"] == "done" and row["video"] in missing[form]:
                        self._store.save(form, file_of(row["video"], form), _text(form, row["video"], found))


def file_of(key: str, form: Also) -> str:
    """Return the name of the file that a video has of its own: the same in every run, and no two videos' alike.

    >>> from tal_engine.batch.archive.run import file_of
    >>> file_of("/videos/day1/a.mp4", "vtt")
    'a-6a9a1fe5.vtt'
    """
    return f"{_SAFE.sub('_', video_name(key))[:100]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.{form}"


def _text(form: Also, key: str, result: Localization) -> str:
    if form == "json":
        return f"{json.dumps(activitynet.document([result], [key]), indent=1)}\n"
    return subtitles.text(result, form)


def _info(row: Mapping[str, Any]) -> Info:
    """Return what a row of the table of videos says of a result."""
    same = ("duration", "fps", "frames", "frames_lost", "domain", "out_of_domain", "warnings")
    return Info(row["video"], **{k: row[k] for k in same if row[k] is not None})
