"""StreamingLocalizer: one stream on one engine, in the calling thread. Composes `StreamState` with the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError, PlanFault, StateError, UsageError, VideoError, VideoFault, require
from ..events import Event
from ..features.card_store import rows_of
from ..inference.domain import DomainModel
from ..options import StreamOptions
from ..video.source import Image
from . import snapshot
from .head_run import run_head, suppressed
from .marks import PendingSnippet
from .models import Models
from .stream_state import StreamState
from .window import FeatureVector

#: Wall times from here on cannot be written as events have them.
_YEAR_10000 = 253_402_300_800


class StreamingLocalizer:
    """Localizes actions in a live stream, each within a promised time.

    An action becomes final within `declared_latency_s` after its end and then never changes. Frames are taken one by
    one, so it does not matter in which chunks they arrive. Memory holds one window of features and one snippet of
    frames, however long the stream. Not safe to share between threads.

    A call that refuses its arguments (a malformed frame, a row of features that the head cannot read, a wrong `wall`
    or `end`) changes nothing. Any other error, such as a failing model or decoder, leaves an incomplete stream: all
    calls raise `StateError` until `reset` begins a new stream or `restore` resumes from a snapshot. `close`, or
    leaving a ``with`` block, releases the stream's memory.

    >>> import numpy as np
    >>> from tal_engine import StreamingLocalizer, StreamOptions, TALEngine
    >>> stream = StreamingLocalizer(TALEngine.load(), "door", StreamOptions(look_ahead=4.0))
    >>> round(stream.declared_latency_s, 2)
    6.8
    >>> stream.push(np.zeros((120, 160, 3), np.uint8), 0.0)  # no snippet is complete
    []
    """

    def __init__(
        self,
        engine: Models,
        source: str = "stream",
        options: StreamOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
        people: int = 0,
    ) -> None:
        """Begin a stream.

        Args:
            engine: runs the graphs; any number of streams may share it.
            source: the stream's name, in its events and their ids.
            options: None takes the plan's.
            provisional: also emit events of actions that are open or may still change.
            min_score: leave out segments below it; None takes the plan's operating point.
            top_k: keep at most this many segments of a window; None takes the plan's, 0 keeps all.
            calibrated: scores are in [0, 1] where the plan carries their calibration; False gives raw scores.
            people: follow up to so many people (1 to 16) and decide for each by itself: events have a `subject`. 0
                follows the main person. For plans that read poses; such a stream has no snapshots.

        Raises:
            UsageError: `people` is out of range, or the plan reads no poses.
        """
        self._engine = engine
        self._provisional = provisional
        self._manifest = engine.plan.manifest.with_segment(min_score, top_k, calibrated=calibrated)
        self._source, self._options, self._people = source, options, people
        self._closed = False
        self.reset()

    def reset(self) -> None:
        """Drop the stream; the next frame begins a new one. Open actions are not emitted.

        Raises:
            StateError: the stream was closed.
        """
        self._check_open()
        self.state = self._fresh()
        self._failure = ""

    def close(self) -> None:
        """Release the stream's memory without emitting open actions (`flush` does). Closing twice is harmless.

        Numbers such as `declared_latency_s` and those of `state` can still be read.
        """
        if not self._closed:
            self._closed = True
            self.state.release()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def failed(self) -> bool:
        """Whether an earlier error left the stream incomplete, so that only `reset` and `restore` help."""
        return bool(self._failure)

    @property
    def declared_latency_s(self) -> float:
        """Longest time from the end of an action to its final event, in seconds; see `StreamState`."""
        return self.state.declared_latency_s

    @property
    def declared_start_latency_s(self) -> float | None:
        """Longest time from the onset that is told to its started event, in seconds; None: nothing is promised."""
        return self.state.declared_start_latency_s

    def push(
        self, frame: NDArray[np.uint8] | Callable[[], Image], pts: float, wall: float | None = None
    ) -> list[Event]:
        """Take a frame and return the events that it decides.

        Args:
            frame: [H, W, 3] uint8 RGB, or a function that returns it, which is called if the image is needed.
            pts: seconds of the source; a frame that is not later than the last one is skipped and counted.
            wall: wall clock of the frame, seconds since 1970; events then carry wall-clock times.

        Raises:
            VideoError: the frame is malformed; nothing was taken.
            UsageError: `pts` or `wall` is out of range, or features were pushed before; nothing was taken.
            PlanError: the plan has no encoders.
            StateError: the stream was closed, or failed before; `reset` begins another one.
        """
        self._check_usable()
        if not self._manifest.encoders:
            raise PlanError(PlanFault.NO_ENCODER, f"plan {self._manifest.name} has no encoders: push features")
        if not callable(frame):
            _check(frame, self._source)
        _check_wall(wall)
        pts = _check_pts(pts)
        self.state.check_frames()
        with self._failing():
            return self._run(self.state.push(frame if callable(frame) else lambda: frame, pts, wall))

    def push_features(self, row: FeatureVector, wall: float | None = None) -> list[Event]:
        """Take the next snippet's features, stream name -> [D], of a stream that has no frames; see `push_row`.

        Raises:
            FeatureError, UsageError: the row or `wall` is refused; nothing was taken.
            StateError: see `push`.
        """
        self._check_usable()
        _check_wall(wall)
        self.state.push_row(row, wall)
        with self._failing():
            return self._told()

    def flush(self, end: float | None = None) -> list[Event]:
        """End the stream: open actions become final, marked as truncated. The next frame begins another stream.

        Args:
            end: seconds where the last frame leaves the screen; None: it stays as long as the one before it.

        Raises:
            UsageError: `end` is not after the newest frame; nothing was changed.
            StateError: see `push`.
        """
        self._check_usable()
        self.state.check_end(end)
        with self._failing():
            return self._run(self.state.flush(end))

    def snapshot(self, path: str | Path) -> None:
        """Write a snapshot from which to resume after a restart, atomically.

        Raises:
            OSError: the file cannot be written; the stream continues.
            StateError: see `push`.
        """
        self._check_usable()
        snapshot.save(path, self.state)

    def restore(self, path: str | Path) -> None:
        """Resume where `snapshot` was called: final events are not repeated, open actions continue.

        Raises:
            SnapshotError: the file is missing, damaged, or of another plan, source or options; nothing was changed.
            StateError: the stream was closed.
        """
        self._check_open()
        fresh = self._fresh()
        snapshot.load(path, fresh)
        self.state, self._failure = fresh, ""

    def _fresh(self) -> StreamState:
        plan = self._engine.plan
        return StreamState(self._manifest, plan.sha256, self._source, self._options, DomainModel.of(plan), self._people)

    def _check_open(self) -> None:
        if self._closed:
            raise StateError(f"{self._source}: the stream is closed; open another one with engine.open_stream()")

    def _check_usable(self) -> None:
        self._check_open()
        if self._failure:
            raise StateError(
                f"{self._source}: the stream failed before ({self._failure}) and lacks a part since; "
                "reset() begins a new one, restore() goes on from a snapshot"
            )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Record any error that leaves the block, including Ctrl-C, since half of a step may have been done."""
        try:
            yield
        except BaseException as e:
            self._failure = f"{type(e).__name__}: {e}"
            self.state.release()
            raise

    def _run(self, snippets: Iterable[PendingSnippet]) -> list[Event]:
        events: list[Event] = []
        for ready in snippets:
            (row,) = rows_of(self._engine.encode_snippets(ready.snippets))
            self.state.add(row)
            events += self._told()
        return events + self._told()

    def _told(self) -> list[Event]:
        events: list[Event] = []
        for window in self.state.windows():
            (found,) = run_head(self._engine, [window])
            events += self.state.finalize(window, suppressed(found, self._manifest.nms))
        return [e for e in events if self._provisional or e.kind == "final"]


def _check_wall(wall: float | None) -> None:
    if wall is not None:
        require(0 <= wall < _YEAR_10000, "wall", wall, "seconds since 1970, before the year 10000")


def _check_pts(pts: float) -> float:
    try:
        return float(pts)
    except (TypeError, ValueError):
        raise UsageError(f"pts is {pts!r}, must be a number of seconds") from None


def _check(frame: NDArray[np.uint8], source: str) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        what = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise VideoError(VideoFault.BAD_FRAMES, f"{source}: a frame is {what}, must be [H, W, 3] uint8 RGB")
    if 0 in frame.shape:
        raise VideoError(VideoFault.BAD_FRAMES, f"{source}: a frame has no pixels, its shape is {list(frame.shape)}")
