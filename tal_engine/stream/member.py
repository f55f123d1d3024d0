"""One stream of many: its source, its state, and what became of it. Knows no model and no other stream."""

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
from ..records import Proposals
from ..video.live import LiveFrame, LiveSource
from . import snapshot
from .state import Ready, StreamState
from .window import Row, Window

log = logging.getLogger("tal_engine")

#: Frames that a stream may bring in one turn, so that a fast file does not keep others waiting.
_TURN_FRAMES = 64


@dataclass
class Member:
    """A stream of a scheduler; the numbers are for people and gauges."""

    source: LiveSource
    state: StreamState
    done: bool = False
    #: A model failed on its data: it has no further events, and its state is not kept any more.
    lost: bool = False
    #: When its last frame came, by `time.monotonic`.
    heard: float = field(default_factory=time.monotonic)
    #: Why it ended before its time.
    error: TALError | None = None
    frames: int = 0
    finals: int = 0
    #: Seconds of wall clock from the end of the last final action to its event; None where nothing is final yet, or
    #: the source is no live one.
    lag_s: float | None = None
    #: Is shown each picture and its seconds: annotated video, clips.
    show: Callable[[NDArray[np.uint8], float], None] | None = None
    #: Snippets that wait for their features.
    ready: list[Ready] = field(default_factory=list)
    #: Seconds that are added to the source's clock, which begins at 0 with each start; None: the first frame tells.
    shift: float | None = None
    #: It goes on from a state that was kept.
    restored: bool = False

    @property
    def name(self) -> str:
        """The source's name, without passwords."""
        return self.source.name

    @property
    def condition(self) -> str:
        """The source's state; a stream that cannot go on has failed, whatever its source does."""
        return "failed" if self.error is not None else self.source.state

    def missed(self) -> dict[str, float]:
        """Seconds that were not analysed so far, by reason."""
        return {str(reason): seconds for reason, seconds in self.source.coverage.totals.items()}

    def report(self) -> dict[str, Any]:
        """What became of it, plain values."""
        return {
            "frames": self.frames,
            "finals": self.finals,
            "error": None if self.error is None else str(self.error),
            "late_events": self.state.late_events,
            "worst_latency_s": round(self.state.worst_latency_s, 6),
            "frames_refused": self.state.refused,
            "warnings": list(self.source.warnings),
            "coverage": self.source.coverage.to_dict(),
        }

    def take(self, share: int) -> None:
        """Take frames until there are `share` snippets, the turn is over or nothing has come; at the end, end.

        A live source that is silent for longer than `max_still` is cut: what is open must not wait for its next frame.
        """
        try:
            for _ in range(_TURN_FRAMES):
                if len(self.ready) >= share or not self._frame():
                    break
            silent = time.monotonic() - self.heard > self.state.options.max_still
            if silent and self.source.is_live and self.state.newest is not None:
                self.ready.extend(self.state.flush())
            if self.source.state in ("ended", "failed"):
                self._end()
        except Exception as e:  # a picture that cannot be made, of a bug as well: the others go on
            self._fail(e)

    def _frame(self) -> bool:
        frame = self.source.poll()
        if frame is None:
            return False
        if self.shift is None:
            self.shift = self._begin(frame)
        self.frames, self.heard = self.frames + 1, time.monotonic()
        seconds, image = frame.pts_seconds + self.shift, frame.image
        if self.show is not None:
            picture = image()
            self.show(picture, seconds)
            image = lambda: picture  # noqa: E731 - made once
        for ready in self.state.push(image, seconds, frame.wall):
            self.ready.append(ready)
        return True

    def _begin(self, frame: LiveFrame) -> float:
        """The shift, now that the source is open and known to be live or not."""
        if not self.source.is_live:
            return 0.0
        if self.restored:
            return self.state.resumed(frame.wall) - frame.pts_seconds
        self.state.apart(f"{frame.wall:.3f}")  # its clock begins at 0 each time, and each time it is another stream
        return 0.0

    def end(self) -> None:
        """The stream is over: what is open will be decided."""
        try:
            self._end()
        except Exception as e:
            self._fail(e)

    def _end(self) -> None:
        self.done, self.error = True, self.source.error
        if self.error is not None:
            log.error("%s", self.error)
        last = self.state.newest
        end = None if last is None else last + self.source.frame_seconds
        for ready in self.state.flush(end):
            self.ready.append(ready)

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, TALError)
        log.error("%s: %s", self.name, error, exc_info=None if known else error)
        self.done = True
        self.error = error if isinstance(error, TALError) else SourceError(f"{self.name}: {_named(error)}")
        self.source.close()
        self.state.cut()

    def lose(self, error: Exception) -> None:
        """A model failed on its data: nothing more can be decided."""
        log.error(
            "%s: a model failed on it: %s", self.name, error, exc_info=None if isinstance(error, TALError) else error
        )
        self.done = self.lost = True
        self.error = BackendError(f"{self.name}: a model failed on it: {_named(error)}")
        self.ready = []
        self.source.close()

    def add(self, rows: Sequence[Row]) -> None:
        """Take the features of all snippets that are `ready`; a stream whose features are no numbers is lost."""
        try:
            for row in rows:
                self.state.add(row)
        except Exception as e:
            self.lose(e)
        self.ready = []

    def settle(self, window: Window, proposals: Callable[[], Proposals]) -> list[Event]:
        """Events of a window; keeps count. None of a stream that is lost, now or before."""
        if self.lost:
            return []
        try:
            told = self.state.settle(window, proposals())
        except Exception as e:  # scores that are no numbers, such as of an overflow
            self.lose(e)
            return []
        for event in told:
            if event.is_final and event.end_time is not None:
                self.finals += 1
                if self.source.is_live and window.wall is not None:
                    self.lag_s = time.time() - (event.end_time + window.wall)
        return told

    def keep(self, path: Path) -> None:
        """Keep the stream's state for `restore`; a file that was read to its end begins anew the next time.

        Raises:
            OSError: the file cannot be written.
        """
        if self.lost:
            return
        if self.done and not self.source.is_live:
            path.unlink(missing_ok=True)
        else:
            snapshot.save(path, self.state)

    def restore(self, path: Path) -> None:
        """Go on from a file of `keep`; the time since then is not analysed where the source is live.

        Raises:
            SnapshotError: the file is damaged, or of another plan, source or options.
        """
        snapshot.load(path, self.state)
        self.restored = True


def _named(error: Exception) -> str:
    return str(error) if isinstance(error, TALError) else f"{type(error).__name__}: {error}"
