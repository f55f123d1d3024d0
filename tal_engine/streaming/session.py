"""One stream of many: its source, its state, and its counters. Independent of models and of other streams."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, SourceError, TALError
from ..events import Event
from ..live.live_source import LiveFrame, LiveSource
from . import snapshot
from .head_run import Found
from .marks import PendingSnippet
from .stream_state import StreamState
from .window import FeatureVector, Window

log = logging.getLogger("tal_engine")

#: Most frames of a stream in one turn, so that a fast file does not delay others.
_TURN_FRAMES = 64


@dataclass
class StreamSession:
    """A stream of a scheduler; the counters are for people and metrics."""

    source: LiveSource
    state: StreamState
    done: bool = False
    #: A model failed on its data: it emits no further events, and its state is not saved any more.
    failed: bool = False
    #: When its last frame arrived, by `time.monotonic`.
    last_frame_at: float = field(default_factory=time.monotonic)
    #: Why it ended before its time.
    error: TALError | None = None
    frames: int = 0
    finals: int = 0
    #: Wall-clock seconds from the end of the last final action to its event; None if nothing is final yet, or the
    #: source is not live.
    lag_s: float | None = None
    #: Receives each image and its seconds: annotated video, clips.
    show: Callable[[NDArray[np.uint8], float], None] | None = None
    #: Snippets that wait for their features.
    ready: list[PendingSnippet] = field(default_factory=list)
    #: Seconds added to the source's clock, which begins at 0 with each start; None before the first frame.
    shift: float | None = None
    #: Whether it was resumed from a saved state.
    restored: bool = False

    @property
    def name(self) -> str:
        """The source's name, without passwords."""
        return self.source.name

    @property
    def condition(self) -> str:
        """The source's state; a stream that cannot go on has failed, whatever its source does."""
        return "failed" if self.error is not None else self.source.state

    def unanalysed(self) -> dict[str, float]:
        """Return the seconds that were not analysed so far, by reason."""
        return {str(reason): seconds for reason, seconds in self.source.coverage.totals.items()}

    def report(self) -> dict[str, Any]:
        """Summarise the stream in plain values."""
        return {
            "frames": self.frames,
            "finals": self.finals,
            "error": None if self.error is None else str(self.error),
            "late_events": self.state.finalizer.late_events,
            "worst_latency_s": round(self.state.finalizer.worst_latency_s, 6),
            "frames_refused": self.state.refused,
            "domain": None if self.state.domain is None else round(self.state.domain, 6),
            "warnings": [*self.source.warnings, *self.state.notes],
            "coverage": self.source.coverage.to_dict(),
        }

    def take(self, share: int) -> None:
        """Take frames until there are `share` snippets, the turn is over or no frame waits; end the stream at its end.

        A live source that is silent for longer than `max_still` is cut: open actions must not wait for its next frame.
        """
        try:
            for _ in range(_TURN_FRAMES):
                if len(self.ready) >= share or not self._frame():
                    break
            silent = time.monotonic() - self.last_frame_at > self.state.options.max_still
            if silent and self.source.is_live and self.state.newest is not None:
                self.ready += self.state.flush()
            if self.source.state in ("ended", "failed"):
                self._end()
        except Exception as e:  # an image that cannot be decoded, or a bug: the other streams continue
            self._source_failed(e)

    def _frame(self) -> bool:
        frame = self.source.poll()
        if frame is None:
            return False
        if self.shift is None:
            self.shift = self._begin(frame)
        self.frames, self.last_frame_at = self.frames + 1, time.monotonic()
        seconds, image = frame.pts_seconds + self.shift, frame.image
        if self.show is not None:
            picture = image()
            self.show(picture, seconds)
            image = lambda: picture  # noqa: E731 - made once
        self.ready += self.state.push(image, seconds, frame.wall)
        return True

    def _begin(self, frame: LiveFrame) -> float:
        """Return the shift of time, now that the source is open and known to be live or not."""
        if not self.source.is_live:
            return 0.0
        if self.restored:
            return self.state.resumed(frame.wall) - frame.pts_seconds
        # The source's clock begins at 0 with each start, and each time it is another stream.
        self.state.set_session_id(f"{frame.wall:.3f}")
        return 0.0

    def end(self) -> None:
        """End the stream: its open actions will be decided."""
        try:
            self._end()
        except Exception as e:
            self._source_failed(e)

    def _end(self) -> None:
        self.done, self.error = True, self.source.error
        if self.error is not None:
            log.error("%s", self.error)
        last = self.state.newest
        end = None if last is None else last + self.source.frame_seconds
        self.ready += self.state.flush(end)

    def _source_failed(self, error: Exception) -> None:
        expected = isinstance(error, TALError)
        log.error("%s: %s", self.name, error, exc_info=None if expected else error)
        self.done = True
        self.error = error if isinstance(error, TALError) else SourceError(f"{self.name}: {_named(error)}")
        newest = self.state.newest
        self.source.give_up(0.0 if newest is None else newest - (self.shift or 0.0))
        self.state.cut()

    def fail(self, error: Exception) -> None:
        """Mark the stream as failed, because a model failed on its data; nothing more is decided."""
        log.error(
            "%s: a model failed on it: %s", self.name, error, exc_info=None if isinstance(error, TALError) else error
        )
        self.done = self.failed = True
        self.error = BackendError(f"{self.name}: a model failed on it: {_named(error)}")
        self.ready = []
        self.source.give_up(self.state.finalizer.decided - (self.shift or 0.0))

    def add(self, rows: Sequence[FeatureVector]) -> None:
        """Add the features of all `ready` snippets; a stream whose features are NaN or infinite is marked as failed."""
        try:
            for row in rows:
                self.state.add(row)
        except Exception as e:
            self.fail(e)
        self.ready = []

    def finalize(self, window: Window, found: Callable[[], Found]) -> list[Event]:
        """Decide and count the events of a window; none if the stream has failed."""
        if self.failed:
            return []
        try:
            events = self.state.finalize(window, found())
        except Exception as e:  # scores that are NaN, such as after an overflow
            self.fail(e)
            return []
        for event in events:
            if event.is_final and event.end is not None:
                self.finals += 1
                if self.source.is_live and window.wall is not None:
                    self.lag_s = time.time() - (event.end + window.wall)
        return events

    def save(self, path: Path) -> None:
        """Save the stream's state for `restore`; a file that was read to its end starts over the next time.

        Raises:
            OSError: the file cannot be written.
        """
        if self.failed:
            return
        if self.done and not self.source.is_live:
            path.unlink(missing_ok=True)
        else:
            snapshot.save(path, self.state)

    def restore(self, path: Path) -> None:
        """Resume from a file of `save`, if there is one; for a live source the time since then is not analysed.

        Raises:
            SnapshotError: the file is damaged, or of another plan, source or options.
        """
        if path.exists():
            snapshot.load(path, self.state)
            self.restored = True


def _named(error: Exception) -> str:
    return str(error) if isinstance(error, TALError) else f"{type(error).__name__}: {error}"
