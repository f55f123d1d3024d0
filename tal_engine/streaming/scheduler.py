"""Many streams on one engine: shared calls of encoders and head, a fair turn for each, one thread for the models.

Each source is read by its own thread (`live`), so one that stalls, breaks or is slow delays no other. Composes sources,
`StreamState` and the engine, without sinks and metrics server.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar, cast

import numpy as np

from .._util.concurrency import Stopwatch
from .._util.files import check_folder, clear_unfinished
from .._util.repeats import repeated
from ..errors import PlanError, PlanFault, StateError, UsageError, require
from ..events import Event
from ..features.card_store import rows_of
from ..inference.domain import DomainModel
from ..live.live_source import LiveSource, open_live
from ..options import LiveOptions, StreamOptions
from ..records import Snippets
from .head_run import Found, run_head, suppressed
from .marks import PendingSnippet
from .models import Models
from .session import StreamSession
from .snapshot import file_of
from .stream_names import source_of, sources_of
from .stream_state import StreamState
from .window import FeatureVector, Window

log = logging.getLogger("tal_engine")

Given = TypeVar("Given", PendingSnippet, Window)
Made = TypeVar("Made", FeatureVector, Found)

#: Seconds that the loop sleeps when no stream has frames: far less than a frame.
_IDLE_S = 0.004
#: Snapshots are written when something became final, and at least so often, seconds.
_SNAPSHOT_S = 30.0


def _let_go(sources: Sequence[LiveSource]) -> None:
    for source in sources:
        source.let_go()


class StreamScheduler:
    """Localizes N streams at once. `run` is for one thread; everything else may be called from others.

    Sources are read from the start on. They are closed when `run` ends, however it does, by `close`, or at the end of a
    ``with`` block; `streams` keeps what became of each. A closed scheduler does not run again.

    >>> import cv2, numpy, pathlib
    >>> from tal_engine import StreamScheduler, TALEngine
    >>> pathlib.Path("frames").mkdir(exist_ok=True)
    >>> for i in range(3):
    ...     _ = cv2.imwrite(f"frames/{i}.png", numpy.zeros((48, 64, 3), numpy.uint8))
    >>> with StreamScheduler(TALEngine.load(), ["door=frames"]) as scheduler:
    ...     list(scheduler)
    []
    """

    def __init__(
        self,
        engine: Models,
        sources: Iterable[str | Path | LiveSource],
        options: StreamOptions | None = None,
        live: LiveOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
        batch: int = 16,
        snapshots: Path | None = None,
        people: int = 0,
    ) -> None:
        """Connect to all sources.

        Args:
            engine: runs the graphs.
            sources: sources for `open_live`, or opened ones, which belong to the scheduler from now on and are closed
                if this fails; their names must differ.
            options: of streaming; None takes the plan's.
            calibrated: scores are in [0, 1] where the plan carries their calibration; False gives raw scores.
            live: how sources are read.
            provisional: also emit events of actions that are open or may still change.
            min_score: leave out segments below it; None takes the plan's operating point.
            top_k: keep at most this many segments of a window; None takes the plan's, 0 keeps all.
            batch: most snippets per call of the encoders.
            snapshots: a folder in which each stream's state is saved. Saved streams are resumed; `stop` then leaves
                open actions to the next start.
            people: follow up to so many people of each source (1 to 16) and decide for each by itself: events have a
                `subject`. 0 follows the main person. For plans that read poses, without `snapshots`.

        Raises:
            UsageError: no source, two sources of one name, or a malformed source; a folder that cannot be written;
                people are told apart and states saved.
            PlanError: the plan has no encoders.
            SnapshotError: a state in the folder is damaged, or of another plan or options.
        """
        self._engine, self._provisional, self._batch = engine, provisional, batch
        self._snapshots, self._saved, self._unsaved = snapshots, time.monotonic(), False
        self._closed, self._begun = threading.Event(), False
        self.streams: list[StreamSession] = []
        with ExitStack() as opened:  # whatever goes wrong, all sources are closed
            wanted = sources_of(sources)
            for one in wanted:
                if isinstance(one, LiveSource):
                    opened.callback(one.close)
            manifest = engine.plan.manifest.with_segment(min_score, top_k, calibrated=calibrated)
            self._nms, model = manifest.nms, DomainModel.of(engine.plan)
            require(batch >= 1, "batch", batch, "at least 1")
            require(not (people and snapshots), "people", people, "0 where states are saved: people are not among them")
            if not manifest.encoders:
                raise PlanError(PlanFault.NO_ENCODER, f"plan {manifest.name} has no encoders: it localizes no video")
            if not wanted:
                raise UsageError("no source: give at least one stream")
            if snapshots is not None:
                check_folder(Path(snapshots), "the folder for the streams' state")
                clear_unfinished(Path(snapshots))
            for one in map(source_of, wanted):
                source = one if isinstance(one, LiveSource) else opened.enter_context(open_live(one, live))
                state = StreamState(manifest, engine.plan.sha256, source.name, options, model, people)
                self.streams.append(StreamSession(source, state))
            self._check_names()
            for stream in self.streams if snapshots is not None else ():
                stream.restore(file_of(stream.name, Path(snapshots or "")))
            opened.pop_all()
        # Dropped without `close`, it must leave no thread behind that reads on for nobody.
        weakref.finalize(self, _let_go, [m.source for m in self.streams]).atexit = False
        #: Returns whether the consumer of the events has a backlog; the state of files is then not saved yet.
        self.owing: Callable[[], bool] = lambda: False
        #: Seconds by stage: "frames" is decoding images and putting them on the grid, in this thread.
        self.watch = Stopwatch()
        #: Time of the loop's last turn, by `time.monotonic`, for a liveness probe.
        self.last_turn = time.monotonic()
        self._first = 0
        self._stop = threading.Event()

    def _check_names(self) -> None:
        names = [s.name for s in self.streams]
        if twice := sorted(repeated(names)):
            raise UsageError(f"{names.count(twice[0])} sources are called {twice[0]!r}: give them names, such as a=URL")

    @property
    def declared_latency_s(self) -> float:
        """Longest time from the end of an action to its final event, in seconds of the stream's clock."""
        return self.streams[0].state.declared_latency_s

    @property
    def declared_start_latency_s(self) -> float | None:
        """Longest time from the onset that is told to its started event; None: nothing is promised of starts."""
        return self.streams[0].state.declared_start_latency_s

    @property
    def plan(self) -> str:
        """The plan's hash, as events carry it."""
        return f"sha256:{self._engine.plan.sha256}"

    def stop(self) -> None:
        """Stop: `run` decides open actions, marked as truncated, and returns. Safe in a signal handler."""
        self._stop.set()

    def close(self) -> None:
        """Close all sources without deciding open actions (`stop` does). Closing twice is harmless.

        A `run` in another thread ends after its turn.
        """
        self._closed.set()
        self._stop.set()
        for stream in self.streams:
            stream.source.close()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise StateError("the scheduler is closed: its sources are not read any more; create another one")

    def run(self) -> Iterator[Event]:
        """Yield the events of all streams as they are decided, until all sources end or `stop` is called.

        A source that fails ends alone: its open actions are decided, and its `error` says why. A stream on whose data a
        model fails ends too; its open actions are not decided, and its state stays as it was last saved.

        Raises:
            StateError: the scheduler is closed, or `run` was called before; the engine was closed meanwhile.
        """
        self._check_open()
        if self._begun:
            raise StateError("run was called before: the events of a scheduler come once")
        self._begun = True
        return self._run()

    def __iter__(self) -> Iterator[Event]:
        """Do the same as `run`."""
        return self.run()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events as `run` does; a separate thread does the work, since sources may be idle for long.

        When the loop is left or its task is cancelled, the sources are closed.
        """
        events, end = self.run(), object()
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "tal-watch")
        try:
            while (event := await loop.run_in_executor(thread, next, events, end)) is not end:
                yield cast("Event", event)
        finally:
            self.close()
            thread.shutdown(wait=False)

    def _run(self) -> Iterator[Event]:
        try:
            while active := [s for s in self._in_turn() if not s.done]:
                stop = self._stop.is_set()
                if self._closed.is_set() or (stop and self._snapshots):
                    break
                events = self._turn(active, stop=stop)
                if self._closed.is_set():  # by another thread: sources look as if they had ended
                    return
                yield from (e for e in events if self._provisional or e.is_final)
                self._save(urgent=any(e.is_final for e in events))
            self._save(urgent=True)
        finally:
            self.close()

    def _turn(self, active: Sequence[StreamSession], *, stop: bool) -> list[Event]:
        """Run one round: frames of each stream, one call of the encoders for all, the head where it is due."""
        share = max(self._batch // len(active), 1)
        for stream in active:
            self.watch.run("frames", stream.end if stop else lambda s=stream: s.take(share))  # type: ignore[misc]
        busy = [s for s in active if s.ready]
        self._encode(busy)
        events = self._finalize(active)
        self.last_turn = time.monotonic()
        if not busy and not stop:
            self._stop.wait(_IDLE_S)
        return events

    def _in_turn(self) -> list[StreamSession]:
        """Return all streams, starting with another one each time."""
        self._first = (self._first + 1) % len(self.streams)
        return [*self.streams[self._first :], *self.streams[: self._first]]

    def _encode(self, streams: Sequence[StreamSession]) -> None:
        """Give all streams the features of their snippets; snippets of one size share calls."""
        by_size: dict[tuple[int, ...], list[tuple[StreamSession, PendingSnippet]]] = {}
        for stream in streams:
            for ready in stream.ready:
                by_size.setdefault(ready.snippets.frames.shape[1:], []).append((stream, ready))
        rows: dict[int, FeatureVector] = {}
        for same in by_size.values():
            for i in range(0, len(same), self._batch):
                rows |= {id(r): row for _, r, row in self._run_isolated(same[i : i + self._batch], self._features)}
        for stream in streams:
            if not stream.failed:
                stream.add([rows[id(r)] for r in stream.ready])

    def _run_isolated(
        self, work: Sequence[tuple[StreamSession, Given]], run: Callable[[Sequence[Given]], Sequence[Made]]
    ) -> list[tuple[StreamSession, Given, Made]]:
        """Run `run` on all at once; where that fails, on each stream alone, and fail those that fail again."""
        if not work:
            return []
        try:
            results = run([given for _, given in work])
        except StateError:  # the engine was closed: no stream is at fault, and none can continue
            raise
        except Exception as e:
            mine = [[w for w in work if w[0] is stream] for stream in self.streams]
            apart = [part for part in mine if part]
            if len(apart) > 1:
                return [done for part in apart for done in self._run_isolated(part, run)]
            work[0][0].fail(e)
            return []
        return [(stream, given, one) for (stream, given), one in zip(work, results, strict=True)]

    def _features(self, group: Sequence[PendingSnippet]) -> Sequence[FeatureVector]:
        first = group[0].snippets
        frames = np.concatenate([r.snippets.frames for r in group])
        followed = tuple(f for r in group for f in r.snippets.followed)
        batch = Snippets(frames, None, first.first, first.timeline, first.end, followed=followed)
        return rows_of(self.watch.run("encode", lambda: self._engine.encode_snippets(batch)))

    def _finalize(self, streams: Sequence[StreamSession]) -> list[Event]:
        """Run the head on all windows that are due, equal lengths in one call, and decide their events."""
        due = [(s, w) for s in streams if not s.failed for w in s.state.windows()]
        events: list[Event] = []
        for stream, window, found in self._run_isolated(due, self._found):
            events += stream.finalize(window, lambda p=found: self._suppressed(p))  # type: ignore[misc]
        return events

    def _found(self, windows: Sequence[Window]) -> list[Found]:
        return self.watch.run("head", lambda: run_head(self._engine, windows))

    def _suppressed(self, found: Found) -> Found:
        return self.watch.run("nms", lambda: suppressed(found, self._nms))

    def _save(self, *, urgent: bool) -> None:
        """Save all states after their events were taken: a crash in between repeats events, and loses none.

        A full disk ends no stream: saving is retried, and until then a restart resumes from what was last saved.
        """
        if self._snapshots is None or not (urgent or time.monotonic() - self._saved > _SNAPSHOT_S):
            return
        failed, owing = False, self.owing()
        for stream in self.streams:
            if owing and not stream.source.is_live:
                continue
            try:
                stream.save(file_of(stream.name, self._snapshots))
            except OSError as e:
                if not (self._unsaved or failed):
                    log.error("the streams' state cannot be saved (%s); it will be retried", e)
                failed = True
        if self._unsaved and not failed:
            log.warning("%s: the streams' state is saved again", self._snapshots)
        self._saved, self._unsaved = time.monotonic(), failed
