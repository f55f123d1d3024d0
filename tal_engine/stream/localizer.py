"""StreamingLocalizer: one stream on one engine, in the calling thread. Composes `StreamState` with the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError, PlanFault, VideoError, VideoFault, require
from ..events import Event
from ..localize import suppress
from ..options import StreamOptions
from ..video.source import Image
from . import snapshot
from .state import Ready, StreamState
from .window import Row

if TYPE_CHECKING:
    from ..engine import TALEngine


#: Wall times from here on cannot be written as events have them.
_YEAR_10000 = 253_402_300_800


class StreamingLocalizer:
    """Says of a live stream which actions happen when, each within a promised time.

    An action becomes final within `declared_latency_s` after its end and then never changes. Frames are taken one by
    one, so it does not matter in which chunks they come. Memory holds one window of features and one snippet of
    frames, however long the stream. Not safe to share between threads.
    """

    def __init__(
        self,
        engine: TALEngine,
        source: str = "stream",
        options: StreamOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
    ) -> None:
        """Begin a stream.

        Args:
            engine: runs the graphs; any number of streams may share it.
            source: the stream's name, in its events and their ids.
            options: None takes the plan's.
            provisional: tell also of actions that are open or may still change.
            min_score, top_k: as for `TALEngine.localize`; `top_k` is of a window.
        """
        self._engine = engine
        self._provisional = provisional
        self._manifest = engine.plan.manifest.with_segment(min_score, top_k)
        self._source, self._options = source, options
        self.reset()

    def reset(self) -> None:
        """Forget the stream; the next frame begins a new one. Nothing that is open is told."""
        self.state = StreamState(self._manifest, self._engine.plan.sha256, self._source, self._options)

    @property
    def declared_latency_s(self) -> float:
        """Seconds from the end of an action to its final at most; see `StreamState.declared_latency_s`."""
        return self.state.declared_latency_s

    def push(
        self, frame: NDArray[np.uint8] | Callable[[], Image], pts: float, wall: float | None = None
    ) -> list[Event]:
        """Take a frame and say what it settles.

        Args:
            frame: [H, W, 3] uint8 RGB, or a function that gives it, which is called where the picture is needed.
            pts: seconds, as the source counts; a frame that is not later than the last one is left out and counted.
            wall: wall clock of the frame, seconds since 1970; events carry wall times then.

        Raises:
            VideoError: the frame is not a picture.
            UsageError: `wall` is no such time; nothing was taken.
            PlanError: the plan has no encoders.
        """
        if not self._manifest.encoders:
            raise PlanError(PlanFault.NO_ENCODER, f"plan {self._manifest.name} has no encoders: push features")
        if not callable(frame):
            _check(frame, self._source)
        _check_wall(wall)
        return self._run(self.state.push(frame if callable(frame) else lambda: frame, pts, wall))

    def push_features(self, row: Row, wall: float | None = None) -> list[Event]:
        """Take the next snippet's features, stream name -> [D], of a stream that has no frames; see `push_row`."""
        _check_wall(wall)
        self.state.push_row(row, wall)
        return self._told()

    def flush(self, end: float | None = None) -> list[Event]:
        """End the stream: whatever is open becomes final, marked as truncated. The next frame begins another one.

        Args:
            end: seconds where the last frame leaves the screen; None: it stays as long as the one before it.
        """
        return self._run(self.state.flush(end))

    def snapshot(self, path: str | Path) -> None:
        """Write all that is needed to go on after a restart; the file is whole or not there."""
        snapshot.save(path, self.state)

    def restore(self, path: str | Path) -> None:
        """Go on where `snapshot` was called: what was final is not told again, what was open goes on.

        Raises:
            SnapshotError: the file is missing, damaged, or of another plan, source or options; nothing was changed.
        """
        fresh = StreamState(self._manifest, self._engine.plan.sha256, self._source, self._options)
        snapshot.load(path, fresh)
        self.state = fresh

    def _run(self, snippets: Iterable[Ready]) -> list[Event]:
        told: list[Event] = []
        for ready in snippets:
            features = self._engine.encode_snippets(ready.snippets)
            self.state.add({name: rows[0] for name, rows in features.items()})
            told += self._told()
        return told + self._told()

    def _told(self) -> list[Event]:
        told: list[Event] = []
        for window in self.state.windows():
            proposals = suppress(self._engine.propose(window.features), self._manifest.nms)
            told += self.state.settle(window, proposals)
        return [e for e in told if self._provisional or e.status == "final"]


def _check_wall(wall: float | None) -> None:
    if wall is not None:
        require(0 <= wall < _YEAR_10000, "wall", wall, "seconds since 1970, before the year 10000")


def _check(frame: NDArray[np.uint8], source: str) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        what = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise VideoError(VideoFault.BAD_FRAMES, f"{source}: a frame is {what}, must be [H, W, 3] uint8 RGB")
    if 0 in frame.shape:
        raise VideoError(VideoFault.BAD_FRAMES, f"{source}: a frame has no pixels, its shape is {list(frame.shape)}")
