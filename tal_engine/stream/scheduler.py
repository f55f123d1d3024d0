"""Many streams on one engine: shared calls of encoders and head, a fair turn for each, one thread for the models.

Each source is read by its own thread (`video.live`), so one that stalls, breaks or is slow holds up no other. Composes
sources, `StreamState` and the engine; knows no sink and no metric server.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..errors import PlanError, PlanFault, UsageError, require
from ..events import Event
from ..files import check_folder
from ..localize import suppress
from ..options import LiveOptions, StreamOptions
from ..pipeline import Stopwatch
from ..records import Proposals, Snippets
from ..video.live import LiveSource, open_live
from .member import Member
from .state import Ready, StreamState
from .window import Row, Window

if TYPE_CHECKING:
    from ..engine import TALEngine

log = logging.getLogger("tal_engine")

Given = TypeVar("Given", Ready, Window)
Made = TypeVar("Made", Row, Proposals)

#: How long the loop sleeps when no stream has anything, seconds: far less than a frame.
_IDLE_S = 0.004
#: Snapshots are written when something became final, and at least so often, seconds.
_SNAPSHOT_S = 30.0


class StreamScheduler:
    """Localizes N streams at once. `run` is for one thread; everything else may be called from others."""

    def __init__(
        self,
        engine: TALEngine,
        sources: Sequence[str | LiveSource],
        options: StreamOptions | None = None,
        live: LiveOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
        batch: int = 16,
        snapshots: Path | None = None,
    ) -> None:
        """Connect to all sources.

        Args:
            engine: runs the graphs.
            sources: what `open_live` takes, or opened ones; their names must differ.
            options, provisional, min_score, top_k: see `StreamingLocalizer`.
            live: how sources are read.
            batch: snippets of one call of the encoders at most.
            snapshots: a folder in which each stream's state is kept. What lies there is gone on from; `stop` then
                leaves open what is open, for the next start.

        Raises:
            UsageError: no source, two of one name, or one that makes no sense; a folder that cannot be written.
            PlanError: the plan has no encoders.
            SnapshotError: a state in the folder is damaged, or of another plan or options.
        """
        require(batch >= 1, "batch", batch, "at least 1")
        manifest = engine.plan.manifest.with_segment(min_score, top_k)
        if not manifest.encoders:
            raise PlanError(PlanFault.NO_ENCODER, f"plan {manifest.name} has no encoders: it localizes no video")
        if not sources:
            raise UsageError("no source: give at least one stream")
        if snapshots is not None:
            check_folder(Path(snapshots), "the folder for the streams' state")
        self._engine, self._nms, self._provisional, self._batch = engine, manifest.nms, provisional, batch
        opened = [open_live(s, live) if isinstance(s, str) else s for s in sources]
        self.streams = [Member(s, StreamState(manifest, engine.plan.sha256, s.name, options)) for s in opened]
        self._snapshots, self._saved, self._unsaved = snapshots, time.monotonic(), False
        try:
            self._check_names()
            self._restore()
        except BaseException:
            self._close()
            raise
        #: Says that whoever takes the events has not taken all: the state of what can be read again waits for it then.
        self.owing: Callable[[], bool] = lambda: False
        #: Seconds by stage: "frames" are pictures made and put on the grid, in this thread.
        self.watch = Stopwatch()
        #: When the loop last went round, by `time.monotonic`: a liveness probe looks at it.
        self.last_turn = time.monotonic()
        self._first = 0
        self._stop = threading.Event()

    def _check_names(self) -> None:
        names = [s.name for s in self.streams]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise UsageError(f"{names.count(twice[0])} sources are called {twice[0]!r}: give them names, such as a=URL")

    @property
    def declared_latency_s(self) -> float:
        """Seconds from the end of an action to its final at most, by the stream's clock."""
        return self.streams[0].state.declared_latency_s

    @property
    def plan(self) -> str:
        """The plan's hash, as events carry it."""
        return f"sha256:{self._engine.plan.sha256}"

    def stop(self) -> None:
        """Stop: `run` decides what is open, marked as truncated, and returns. Safe in a signal handler."""
        self._stop.set()

    def run(self) -> Iterator[Event]:
        """Events of all streams as they are decided, until all sources have ended or `stop` is called.

        A source that fails ends alone: what is open there is decided, and its `error` says why. So does a stream on
        whose data a model fails; what is open there is not decided, and its state stays as it was kept last.
        """
        try:
            while active := [s for s in self._in_turn() if not s.done]:
                stop = self._stop.is_set()
                if stop and self._snapshots:
                    break
                told = self._turn(active, stop=stop)
                yield from (e for e in told if self._provisional or e.is_final)
                self._save(urgent=any(e.is_final for e in told))
            self._save(urgent=True)
        finally:
            self._close()

    def _turn(self, active: Sequence[Member], *, stop: bool) -> list[Event]:
        """One round: frames of each stream, one call of the encoders for all, the head where it is due."""
        share = max(self._batch // len(active), 1)
        for stream in active:
            self.watch.run("frames", stream.end if stop else lambda s=stream: s.take(share))  # type: ignore[misc]
        busy = [s for s in active if s.ready]
        self._encode(busy)
        told = self._settle(active)
        self.last_turn = time.monotonic()
        if not busy and not stop:
            self._stop.wait(_IDLE_S)
        return told

    def _in_turn(self) -> list[Member]:
        """All streams, another one first each time."""
        self._first = (self._first + 1) % len(self.streams)
        return [*self.streams[self._first :], *self.streams[: self._first]]

    def _encode(self, streams: Sequence[Member]) -> None:
        """Give all streams the features of their snippets; snippets of one size share calls."""
        by_size: dict[tuple[int, ...], list[tuple[Member, Ready]]] = {}
        for stream in streams:
            for ready in stream.ready:
                by_size.setdefault(ready.snippets.frames.shape[1:], []).append((stream, ready))
        rows: dict[int, Row] = {}
        for same in by_size.values():
            for i in range(0, len(same), self._batch):
                rows |= {id(r): row for _, r, row in self._apart(same[i : i + self._batch], self._features)}
        for stream in streams:
            if not stream.lost:
                stream.add([rows[id(r)] for r in stream.ready])

    def _apart(
        self, work: Sequence[tuple[Member, Given]], run: Callable[[Sequence[Given]], Sequence[Made]]
    ) -> list[tuple[Member, Given, Made]]:
        """What `run` makes of all at once. Where it fails, of each stream's alone: the one that fails again is lost."""
        try:
            made = run([given for _, given in work])
        except Exception as e:
            mine = [[w for w in work if w[0] is stream] for stream in self.streams]
            apart = [part for part in mine if part]
            if len(apart) > 1:
                return [done for part in apart for done in self._apart(part, run)]
            work[0][0].lose(e)
            return []
        return [(stream, given, one) for (stream, given), one in zip(work, made, strict=True)]

    def _features(self, group: Sequence[Ready]) -> list[Row]:
        first = group[0].snippets
        frames = np.concatenate([r.snippets.frames for r in group])
        batch = Snippets(frames, None, first.first, first.timeline, first.end)
        made = self.watch.run("encode", lambda: self._engine.encode_snippets(batch))
        return [{name: values[i] for name, values in made.items()} for i in range(len(group))]

    def _settle(self, streams: Sequence[Member]) -> list[Event]:
        """The head on all windows that are due, those of one length in one call, and what they decide."""
        due = [(s, w) for s in streams if not s.lost for w in s.state.windows()]
        told: list[Event] = []
        for stream, window, proposals in self._apart(due, self._proposals):
            told += stream.settle(window, lambda p=proposals: self._suppressed(p))  # type: ignore[misc]
        return told

    def _proposals(self, windows: Sequence[Window]) -> list[Proposals]:
        return self.watch.run("head", lambda: self._engine.propose_many([w.features for w in windows]))

    def _suppressed(self, proposals: Proposals) -> Proposals:
        return self.watch.run("nms", lambda: suppress(proposals, self._nms))

    def _file_of(self, stream: Member, folder: Path) -> Path:
        """Names may hold what files may not: their hash tells them apart."""
        digest = hashlib.sha256(stream.name.encode()).hexdigest()[:8]
        return folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', stream.name).strip('-')[-40:]}-{digest}.npz"

    def _restore(self) -> None:
        for stream in self.streams if self._snapshots else ():
            path = self._file_of(stream, Path(self._snapshots or ""))
            if path.exists():
                stream.restore(path)

    def _save(self, *, urgent: bool) -> None:
        """Keep all states after their events were taken: a crash in between repeats events, and loses none.

        A full disk ends no stream: it is tried again, and until then a restart goes on from what was kept last.
        """
        if self._snapshots is None or not (urgent or time.monotonic() - self._saved > _SNAPSHOT_S):
            return
        failed, owing = False, self.owing()
        for stream in self.streams:
            if owing and not stream.source.is_live:
                continue
            try:
                stream.keep(self._file_of(stream, self._snapshots))
            except OSError as e:
                if not (self._unsaved or failed):
                    log.error("the streams' state cannot be kept (%s); it will be tried again", e)
                failed = True
        if self._unsaved and not failed:
            log.warning("%s: the streams' state is kept again", self._snapshots)
        self._saved, self._unsaved = time.monotonic(), failed

    def _close(self) -> None:
        for stream in self.streams:
            stream.source.close()
