"""The features of the last seconds of a stream, and when the head is due on them.

Knows snippets by number and seconds; knows nothing of pictures, heads or actions.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..options import SnippetOptions, StreamOptions
from ..records import Features
from ..timeline import Timeline

#: One snippet's features: stream name -> [D] float32.
Row = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Pace:
    """The seconds of `StreamOptions` in whole snippets; seconds are rounded up, `step` to the nearest.

    Decisions compare snippets with snippets, so no clock that is off by a hair moves one to another evaluation.
    """

    timeline: Timeline
    window: int
    step: int
    wait: int
    gap: int
    #: Seconds of a slot: a snippet is complete when the next frame is there.
    slot: float

    @classmethod
    def of(cls, options: StreamOptions, snippet: SnippetOptions) -> Pace:
        """For snippets of this geometry."""
        timeline = Timeline(0.0, snippet.stride / snippet.fps, snippet.window / snippet.fps)

        def up(seconds: float) -> int:
            return math.ceil(round(seconds / timeline.step, 6))

        step = max(round(options.step / timeline.step), 1)
        gap = max(up(options.gap), 1)  # what reaches the newest snippet may go on
        window = max(up(options.window), step + gap, 2 * gap)  # what may go on is seen again in the next one
        return cls(timeline, window, step, min(max(up(options.look_ahead), gap), window), gap, 1.0 / snippet.fps)

    @property
    def wait_inside(self) -> int:
        """How many snippets a decision waits once the window moves.

        Past half of it, waiting longer loses starts; past what a window shares with the next one, whole actions.
        """
        return min(self.wait, max(min(self.window // 2, self.window - self.step), self.gap))

    @property
    def slack(self) -> float:
        """Seconds that an end may move back between two evaluations without being missed: a snippet's."""
        return self.timeline.step

    @property
    def latency_s(self) -> float:
        """No final is decided later than this after the end of its action, by the stream's own clock."""
        return (self.wait + self.step) * self.timeline.step + self.slack

    @property
    def declared_s(self) -> float:
        """The same by the frames that a source gives: what is promised."""
        return self.latency_s + self.slot


@dataclass(frozen=True, slots=True)
class Window:
    """Features on which the head is due.

    first: index of the first snippet since `origin`; count: one past the last. right: seconds where the last one
    ends, or where the stream was cut. last: nothing comes after it. pts: of the newest frame. wall: seconds of wall
    clock minus seconds of stream, or None.
    """

    features: Features
    first: int
    count: int
    origin: float
    right: float
    last: bool
    pts: float
    wall: float | None

    @property
    def seen(self) -> float:
        """Seconds where what it shows ends: a last, incomplete snippet may be left out."""
        time = self.features.timeline
        return min(self.right, float(time.right(self.count - self.first)))

    @property
    def left(self) -> float:
        """Seconds where it begins."""
        return self.features.timeline.start


class FeatureRing:
    """Rows of the last `window` snippets since `origin` seconds."""

    def __init__(self, pace: Pace, streams: Mapping[str, int], contract: dict[str, Any]) -> None:
        self._pace = pace
        self._streams = dict(streams)
        self._contract = contract
        self._rows: deque[dict[str, NDArray[np.float32]]] = deque(maxlen=pace.window)
        self.count = 0
        self.origin = 0.0

    def begin(self, origin: float) -> None:
        """Forget everything; the next row is snippet 0 and begins at `origin`."""
        self._rows.clear()
        self.count, self.origin = 0, origin

    def check(self, row: Row) -> None:
        """Refuse features that the head cannot read.

        Raises:
            FeatureError: a stream is missing, has another width, or is NaN or infinite.
        """
        for name, dim in self._streams.items():
            if name not in row:
                raise FeatureError(f"the head reads stream {name!r}, the row has {sorted(row)}")
            shape = list(np.shape(row[name]))
            if shape != [dim]:
                raise FeatureError(f"stream {name!r}: a row has shape {shape}, the head reads [{dim}]")
            if not np.isfinite(row[name]).all():
                raise FeatureError(f"stream {name!r}: feature {self.count} is NaN or infinite")

    def add(self, row: Row) -> bool:
        """Take the next snippet's features, which were checked; is the head due?"""
        self._rows.append({name: np.array(row[name], np.float32) for name in self._streams})
        self.count += 1
        return self.count % self._pace.step == 0

    def right(self) -> float:
        """Seconds where the newest snippet ends."""
        return float(self.origin + self._pace.timeline.right(self.count))

    def window(self, pts: float, wall: float | None, end: float | None = None) -> Window:
        """What the head reads now; `end`: the stream was cut there."""
        first = self.count - len(self._rows)
        time = self._pace.timeline
        right = self.right() if end is None else end
        streams = {name: np.stack([row[name] for row in self._rows]) for name in self._streams}
        moved = Timeline(self.origin + float(time.left(first)), time.step, time.width)
        features = Features(streams, moved, right, self._contract)
        return Window(features, first, self.count, self.origin, right, end is not None, pts, wall)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """Numbers and arrays from which `restore` goes on."""
        rows = {name: np.stack([row[name] for row in self._rows]) for name in self._streams} if self._rows else {}
        return {"count": self.count, "origin": self.origin}, rows

    def restore(self, numbers: Mapping[str, Any], rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Go on from a `state`."""
        self.begin(numbers["origin"])
        self.count = numbers["count"]
        for values in zip(*(rows[name] for name in self._streams if name in rows), strict=True):
            self._rows.append(dict(zip(self._streams, values, strict=True)))
