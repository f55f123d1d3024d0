"""A stream without its models: frames in, snippets out; features in, windows out; proposals in, events out.

Whoever owns the models, for one stream or for many, runs encoders on the snippets and the head on the windows, in
order, and may wait with it to batch those of several streams: what comes out does not depend on when.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, require
from ..events import Event
from ..features import contract_of
from ..manifest import Manifest
from ..options import StreamOptions
from ..records import Proposals, Snippets
from ..video.snippet import grid_of
from ..video.source import Image
from ..vocabulary import Vocabulary
from .settle import Settler
from .window import FeatureRing, Pace, Row, Window

#: So many stretches that were not analysed are remembered; their seconds are counted for ever.
GAPS_KEPT = 256


class Gap(NamedTuple):
    """A stretch of the stream that was not analysed, [start, end) in seconds of the source."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Ready:
    """A snippet that waits for its features; `pts`: of the frame that completed it, `wall`: see `Window`."""

    snippets: Snippets
    pts: float
    wall: float | None


class _Stamp(NamedTuple):
    """Of a snippet that was given out: its number since `origin`, and `Ready`'s time."""

    first: int
    origin: float
    pts: float
    wall: float | None


class _Cut(NamedTuple):
    """All is decided once `after` snippets have features: the stream ended at `end`."""

    after: int
    end: float
    pts: float
    wall: float | None


class StreamState:
    """One stream. Not safe to share between threads; memory does not depend on the stream's length.

    The calls, in this order and as often as there is something: `push` or `flush`; then `add` the features of every
    snippet that they gave; then take the `windows` and `settle` each with its proposals.
    """

    def __init__(self, manifest: Manifest, plan: str, source: str, options: StreamOptions | None = None) -> None:
        """Begin.

        Args:
            manifest: of the plan.
            plan: its hash, for events.
            source: name of the stream, for events.
            options: None takes the plan's.
        """
        self.manifest, self.plan, self.source = manifest, plan, source
        self.options = manifest.stream if options is None else options
        self.pace = Pace.of(self.options, manifest.snippet)
        vocabulary = Vocabulary(manifest.vocabulary)
        self._settler = Settler(
            self.pace, self.options, manifest.segment, vocabulary, source, f"sha256:{plan.removeprefix('sha256:')}"
        )
        self._ring = FeatureRing(self.pace, manifest.streams, contract_of(manifest.snippet, manifest.encoders))
        self._grid = grid_of(self.manifest.snippet)
        self._live = False  # a frame came since the last cut
        self._origin = 0.0  # its seconds
        self._pts, self._interval = 0.0, 0.0  # of the newest frame, and seconds between the last two
        self._wall: float | None = None
        self._given = self._added = 0  # snippets so far
        self._from = 0  # snippets given before this grid
        self._of_rows = False
        self._stamps: deque[_Stamp] = deque()
        self._cuts: deque[_Cut] = deque()
        self._windows: deque[Window] = deque()
        #: Frames whose time was not a number or did not come after the last one's: left out.
        self.refused = 0
        self.gaps: deque[Gap] = deque(maxlen=GAPS_KEPT)
        self.unanalysed_s = 0.0

    @property
    def declared_latency_s(self) -> float:
        """Seconds from the end of an action to its final at most, by the stream's clock.

        Look-ahead (or gap, if longer), step and a snippet, and one frame: a snippet is complete when the next is there.
        Where frames are more than a slot apart, the time between the last two comes on top.
        """
        return self.pace.declared_s

    @property
    def late_events(self) -> int:
        """Finals that broke the promise; 0."""
        return self._settler.late_events

    @property
    def worst_latency_s(self) -> float:
        """The longest that a final took so far."""
        return self._settler.worst_latency_s

    def apart(self, session: str) -> None:
        """Ids differ from those of other streams of its name: for a source whose frames never come again."""
        self._settler.session = session

    @property
    def newest(self) -> float | None:
        """Seconds of the newest frame; None at the start and after a cut."""
        return self._pts if self._live else None

    def resumed(self, wall: float) -> float:
        """Seconds of the stream at a wall clock time after a restart: it goes on by the clock, and never back."""
        soonest = self._pts + 1.0 / self.manifest.snippet.fps
        return soonest if self._wall is None else max(wall - self._wall, soonest)

    @property
    def open_actions(self) -> int:
        """Actions that are known and not settled."""
        return self._settler.open_actions

    def push(self, image: Callable[[], Image], pts: float, wall: float | None = None) -> Iterator[Ready]:
        """Take a frame that is on screen from `pts` seconds on; read the snippets to the end.

        A frame whose time is not finite or not after the last one's is left out and counted. After `max_still`
        seconds without a frame the stream is cut: what is open is decided and the clock begins again at this frame.

        Args:
            image: gives the picture, [H, W, 3] uint8 RGB, when a slot shows it.
            pts: seconds, as the source counts.
            wall: wall clock of the frame, seconds since 1970.
        """
        if not math.isfinite(pts) or (self._live and pts <= self._pts):
            self.refused += 1
            return
        if self._of_rows:
            raise UsageError(f"{self.source}: a frame was pushed into a stream of features")
        if self._live and pts - self._pts > self.options.max_still:
            end = self._end()
            yield from self._finish(end)
            self.gaps.append(Gap(end, pts))
            self.unanalysed_s += pts - end
        if not self._live:
            self._live, self._origin, self._pts = True, pts, pts
        self._interval, self._pts = pts - self._pts, pts
        self._wall = None if wall is None else wall - pts
        for window in self._grid.push(pts - self._origin, image):
            yield self._ready(window)

    def flush(self, end: float | None = None) -> Iterator[Ready]:
        """End the stream: everything will be decided. The next frame begins another one; read to the end.

        Args:
            end: seconds where the last frame leaves the screen; None: it stays as long as the one before it.

        Raises:
            UsageError: `end` is not after the newest frame's time, or within the newest row's own or later.
        """
        if not self._live:
            return
        end = self._end() if end is None else end
        newest = self._pts - min(self.pace.timeline.step, self.pace.timeline.width) * self._of_rows
        require(newest < end < math.inf, "end", end, f"seconds after the newest frame ({newest})")
        yield from self._finish(end)

    def _end(self) -> float:
        if self._of_rows:
            return self._pts
        return self._pts + min(self._interval or 1.0 / self.manifest.snippet.fps, self.pace.timeline.width)

    def _finish(self, end: float) -> Iterator[Ready]:
        for window in self._grid.finish(end - self._origin):
            yield self._ready(window)
        self._close(end)

    def cut(self) -> None:
        """End the stream without its last, incomplete snippet, whose pictures cannot be made."""
        if self._live:
            self._close(self._end())

    def _close(self, end: float) -> None:
        if self._given > self._from:
            self._cuts.append(_Cut(self._given, end, self._pts, self._wall))
        self._grid, self._live, self._from, self._of_rows = grid_of(self.manifest.snippet), False, self._given, False
        self._at_cut()

    def _ready(self, window: list[Image]) -> Ready:
        time, stamp = self.pace.timeline, _Stamp(self._given - self._from, self._origin, self._pts, self._wall)
        self._stamps.append(stamp)
        self._given += 1
        end = float(time.right(stamp.first + 1))
        return Ready(Snippets(np.stack(window)[None], None, stamp.first, time, end), stamp.pts, stamp.wall)

    def push_row(self, row: Row, wall: float | None = None) -> None:
        """Take the features of the next snippet of a stream that has no frames; its clock begins at 0.

        Args:
            row: stream name -> [D].
            wall: wall clock where the snippet ends, seconds since 1970.

        Raises:
            UsageError: frames were pushed: their features are added with `add`.
            FeatureError: see `FeatureRing.check`; nothing was taken.
        """
        if self._live and not self._of_rows:
            raise UsageError(f"{self.source}: features were pushed into a stream of frames")
        self._ring.check(row)
        self._live, self._origin, self._of_rows = True, 0.0, True
        number = self._given - self._from
        self._pts = float(self.pace.timeline.right(number + 1))
        self._wall = None if wall is None else wall - self._pts
        self._stamps.append(_Stamp(number, 0.0, self._pts, self._wall))
        self._given += 1
        self.add(row)

    def add(self, row: Row) -> None:
        """Take the features of the oldest snippet that has none yet.

        Raises:
            UsageError: every snippet has its features.
            FeatureError: see `FeatureRing.check`; nothing was taken.
        """
        if not self._stamps:
            raise UsageError(f"{self.source}: features were added and no snippet waits for them")
        self._ring.check(row)
        stamp = self._stamps.popleft()
        if stamp.first == 0:
            self._ring.begin(stamp.origin)
        self._added += 1
        if self._ring.add(row):
            self._windows.append(self._ring.window(stamp.pts, stamp.wall))
        self._at_cut()

    def _at_cut(self) -> None:
        while self._cuts and self._cuts[0].after == self._added:
            cut = self._cuts.popleft()
            self._windows.append(self._ring.window(cut.pts, cut.wall, cut.end))

    def windows(self) -> Iterator[Window]:
        """Windows that the head is due on, in order; each is given once and must be settled in this order."""
        while self._windows:
            yield self._windows.popleft()

    def settle(self, window: Window, proposals: Proposals) -> list[Event]:
        """Events, in order, of the oldest window that is not settled; proposals are suppressed ones, best first."""
        return self._settler.settle(window, proposals)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Numbers, ready for JSON, and arrays, from which `restore` goes on.

        Raises:
            UsageError: snippets wait for features, or windows for the head.
        """
        waiting = self._given - self._added + len(self._windows)
        if waiting:
            raise UsageError(f"{self.source}: cannot be kept now, {waiting} snippets or windows are not done")
        grid, pictures = self._grid.state()
        ring, rows = self._ring.state()
        numbers = {name: getattr(self, f"_{name}") for name in _NUMBERS} | {name: getattr(self, name) for name in _OPEN}
        numbers |= {"gaps": [list(g) for g in self.gaps], "grid": grid, "ring": ring, "settler": self._settler.state()}
        return numbers, {**pictures, **{f"rows.{name}": values for name, values in rows.items()}}

    def restore(self, numbers: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a `state` of a stream of the same plan and options."""
        for name in _NUMBERS:
            setattr(self, f"_{name}", numbers[name])
        for name in _OPEN:
            setattr(self, name, numbers[name])
        self._added = self._given
        self.gaps = deque((Gap(*g) for g in numbers["gaps"]), maxlen=GAPS_KEPT)
        self._grid.restore(numbers["grid"], arrays)
        rows = {name.removeprefix("rows."): a for name, a in arrays.items() if name.startswith("rows.")}
        self._ring.restore(numbers["ring"], rows)
        self._settler.restore(numbers["settler"])


#: Numbers of a `StreamState` that are kept, by their names in it.
_NUMBERS = ("live", "origin", "pts", "interval", "wall", "given", "from", "of_rows")
_OPEN = ("refused", "unanalysed_s")
