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

from ..errors import TALError
from ..events import Event
from ..records import Proposals
from ..video.live import LiveSource
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
    shift: float | None = 0.0

    @property
    def name(self) -> str:
        """The source's name, without passwords."""
        return self.source.name

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
                self.end()
        except TALError as e:  # a picture that cannot be made: the others go on
            self._fail(e)

    def _frame(self) -> bool:
        frame = self.source.poll()
        if frame is None:
            return False
        self.frames, self.heard = self.frames + 1, time.monotonic()
        if self.shift is None:
            self.shift = self.state.resumed(frame.wall) - frame.pts_seconds
        seconds, image = frame.pts_seconds + self.shift, frame.image
        if self.show is not None:
            picture = image()
            self.show(picture, seconds)
            image = lambda: picture  # noqa: E731 - made once
        for ready in self.state.push(image, seconds, frame.wall):
            self.ready.append(ready)
        return True

    def end(self) -> None:
        """The stream is over: what is open will be decided."""
        self.done, self.error = True, self.source.error
        if self.error is not None:
            log.error("%s", self.error)
        last = self.state.newest
        end = None if last is None else last + self.source.frame_seconds
        for ready in self.state.flush(end):
            self.ready.append(ready)

    def _fail(self, error: TALError) -> None:
        log.error("%s: %s", self.name, error)
        self.done, self.error = True, error
        self.source.close()
        self.state.cut()

    def add(self, rows: Sequence[Row]) -> None:
        """Take the features of all snippets that are `ready`."""
        for row in rows:
            self.state.add(row)
        self.ready = []

    def settle(self, window: Window, proposals: Proposals) -> list[Event]:
        """Events of a window; keeps count."""
        told = self.state.settle(window, proposals)
        for event in told:
            if event.is_final and event.end_time is not None:
                self.finals += 1
                if self.source.is_live and window.wall is not None:
                    self.lag_s = time.time() - (event.end_time + window.wall)
        return told

    def save(self, path: Path) -> None:
        """Keep the stream's state for `restore`."""
        snapshot.save(path, self.state)

    def restore(self, path: Path) -> None:
        """Go on from a file of `save`; the time since then is not analysed where the source is live.

        Raises:
            SnapshotError: the file is damaged, or of another plan, source or options.
        """
        snapshot.load(path, self.state)
        if self.source.is_live:
            self.shift = None
