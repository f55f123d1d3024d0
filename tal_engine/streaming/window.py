"""The features of the last seconds of a stream, and when the head has to run on them.

Works on snippets, by number and seconds, without images, heads or actions.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..features.card_store import EncodedRow
from ..options import SnippetOptions, StreamOptions
from ..plan.manifest import Manifest
from ..plan.online_fields import OnlineOptions
from ..records import Features, Place
from ..timeline import Timeline

#: One snippet's features: stream name -> [D] float32.
FeatureVector = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class StreamTiming:
    """The seconds of `StreamOptions` in whole snippets; seconds are rounded up, `step` to the nearest.

    Decisions compare whole snippets, so rounding of a clock never moves a decision to another evaluation.
    """

    timeline: Timeline
    window: int
    step: int
    look_ahead_snippets: int
    gap: int
    #: Seconds of a slot: a snippet is complete once the next frame arrives.
    slot: float

    @classmethod
    def of(cls, options: StreamOptions, snippet: SnippetOptions) -> StreamTiming:
        """Derive the timing for snippets of this geometry."""
        timeline = Timeline(0.0, snippet.stride / snippet.fps, snippet.window / snippet.fps)

        def up(seconds: float) -> int:
            return math.ceil(round(seconds / timeline.step, 6))

        step = max(round(options.step / timeline.step), 1)
        gap = max(up(options.gap), 1)  # an action that reaches the newest snippet may continue
        window = max(up(options.window), step + gap, 2 * gap)  # an action that may continue is in the next window again
        return cls(timeline, window, step, min(max(up(options.look_ahead), gap), window), gap, 1.0 / snippet.fps)

    @property
    def wait_inside_snippets(self) -> int:
        """Number of snippets that a decision waits once the window slides.

        Waiting past half of the window loses starts; waiting past the overlap of two windows loses whole actions.
        """
        return min(self.look_ahead_snippets, max(min(self.window // 2, self.window - self.step), self.gap))

    @property
    def tolerance(self) -> float:
        """Seconds that an end may move back between two evaluations without being missed: one snippet."""
        return self.timeline.step

    @property
    def latency_s(self) -> float:
        """Longest time from the end of an action to its final event, in seconds of the stream's clock."""
        return (self.look_ahead_snippets + self.step) * self.timeline.step + self.tolerance

    @property
    def max_latency_s(self) -> float:
        """The promised latency in seconds: `latency_s` plus one frame, which completes a snippet."""
        return self.latency_s + self.slot


@dataclass(frozen=True, slots=True)
class OnlineTiming(StreamTiming):
    """The timing of a head that reads each snippet once: it waits as long as it was trained to.

    gap: snippets below that an action outlasts. backdate: see `OnlineOptions`.
    """

    backdate: int = 1

    @classmethod
    def of_online(cls, online: OnlineOptions, snippet: SnippetOptions) -> OnlineTiming:
        """Derive the timing for snippets of this geometry."""
        timeline = Timeline(0.0, snippet.stride / snippet.fps, snippet.window / snippet.fps)
        return cls(timeline, 1, 1, online.look_ahead, online.confirm, 1.0 / snippet.fps, online.backdate)

    @property
    def latency_s(self) -> float:
        """Longest time from the end of an action to its final event, in seconds of the stream's clock."""
        return (self.look_ahead_snippets + self.gap + 1) * self.timeline.step + self.timeline.width / 2

    @property
    def start_latency_s(self) -> float:
        """Longest time from the onset of an action to its started event, in seconds of the stream's clock."""
        return self.backdate * self.timeline.step + self.timeline.width / 2

    @property
    def max_start_latency_s(self) -> float:
        """The promised latency of starts in seconds: `start_latency_s` plus one frame, which completes a snippet."""
        return self.start_latency_s + self.slot


def timing_of(manifest: Manifest, options: StreamOptions | None = None) -> StreamTiming | OnlineTiming:
    """Derive the timing of a plan's streams; `options` replace the plan's, of a head that sees windows."""
    if manifest.online is not None:
        return OnlineTiming.of_online(manifest.online, manifest.snippet)
    return StreamTiming.of(manifest.stream if options is None else options, manifest.snippet)


@dataclass(slots=True, eq=False)
class Recollection:
    """What an online head remembers of one stream, [M], and what it does where a stream begins, [M]."""

    memory: NDArray[np.float32]
    nothing: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Features on which the head has to run.

    first: index of the first snippet since `origin`; count: one past the last. right: seconds where the last snippet
    ends, or where the stream was cut. last: whether the stream ends with it. pts: of the newest frame. wall: seconds
    of wall clock minus seconds of stream, or None. recollection, rows: for an online head, what it remembers of the
    stream, and the snippets that it reads next, [n, D] by name.
    """

    features: Features
    first: int
    count: int
    origin: float
    right: float
    last: bool
    pts: float
    wall: float | None
    recollection: Recollection | None = None
    rows: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def seen(self) -> float:
        """End of the last complete snippet in the window, in seconds."""
        time = self.features.timeline
        return min(self.right, float(time.right(self.count - self.first)))

    @property
    def left(self) -> float:
        """Start of the window, in seconds."""
        return self.features.timeline.start


class FeatureRing:
    """Rows of the last `window` snippets since `origin` seconds."""

    def __init__(self, timing: StreamTiming, streams: Mapping[str, int], contract: dict[str, Any]) -> None:
        self._timing = timing
        self._streams = dict(streams)
        self._contract = contract
        self._rows: deque[dict[str, NDArray[np.float32]]] = deque(maxlen=timing.window)
        #: Where the same rows lie on the GPU; None for rows that do not, such as restored ones.
        self._places: deque[Place | None] = deque(maxlen=timing.window)
        self.count = 0
        self.origin = 0.0

    def begin(self, origin: float) -> None:
        """Drop all rows; the next row is snippet 0 and begins at `origin`."""
        self._rows.clear()
        self._places.clear()
        self.count, self.origin = 0, origin

    def check(self, row: FeatureVector) -> None:
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

    def add(self, row: FeatureVector) -> bool:
        """Append the next snippet's features, which were checked; return whether the head has to run."""
        self._rows.append({name: np.array(row[name], np.float32) for name in self._streams})
        self._places.append(row.place if isinstance(row, EncodedRow) else None)
        self.count += 1
        return self.count % self._timing.step == 0

    def right(self) -> float:
        """Return the seconds at which the newest snippet ends."""
        return float(self.origin + self._timing.timeline.right(self.count))

    def window(self, pts: float, wall: float | None, end: float | None = None) -> Window:
        """Return what the head reads now; `end`: the stream was cut there."""
        first = self.count - len(self._rows)
        time = self._timing.timeline
        right = self.right() if end is None else end
        streams = {name: np.stack([row[name] for row in self._rows]) for name in self._streams}
        moved = Timeline(self.origin + float(time.left(first)), time.step, time.width)
        places = tuple(p for p in self._places if p is not None)
        features = Features(streams, moved, right, self._contract, places if len(places) == len(self._rows) else ())
        return Window(features, first, self.count, self.origin, right, end is not None, pts, wall)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """Return numbers and arrays that `restore` needs to resume."""
        rows = {name: np.stack([row[name] for row in self._rows]) for name in self._streams} if self._rows else {}
        return {"count": self.count, "origin": self.origin}, rows

    def restore(self, numbers: Mapping[str, Any], rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Resume from a `state`."""
        self.begin(numbers["origin"])
        self.count = numbers["count"]
        for values in zip(*(rows[name] for name in self._streams if name in rows), strict=True):
            self._rows.append(dict(zip(self._streams, values, strict=True)))
            self._places.append(None)
