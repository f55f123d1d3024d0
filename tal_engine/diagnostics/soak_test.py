"""Certifies a stream's promise over many hours, run faster than real time: no final is late, and memory does not grow.

Knows a stream, its events and this process's memory; knows nothing of models. The measuring itself takes a fixed space.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._util.extras import need
from ..errors import require
from ..events import Event
from ..streaming.finalizer import MOMENT
from ..streaming.localizer import StreamingLocalizer
from ..streaming.window import FeatureVector
from ..video import open_video

#: So many times a run looks at memory.
SAMPLES = 240
#: The first share of a run is warm-up: buffers and allocators fill.
WARM_UP = 0.2
#: Growth below it over the whole run is not told from pages that an allocator keeps, MiB (our choice).
RESOLUTION_MIB = 1.0
#: A slope within so many standard errors of 0 is noise.
ERRORS = 2.0
#: Lateness is counted in steps of so many seconds.
_BIN_S = 0.01
#: Snippets that an action goes on for at least, now and then, in a run over features.
_STILL = 64
#: In a run over frames the clock leaps so often, by a little more than the stream bridges, and each so many-th frame
#: comes twice.
_LEAP_EVERY_S, _TWICE_EVERY = 600.0, 97

#: What a run does: seconds of the stream so far, and the events of one push.
Steps = Iterable[tuple[float, list[Event]]]


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth of memory by least squares: MiB an hour of the stream, its standard error, and the hours it is seen over.

    Neighbouring samples are alike, so the error is that of independent samples times sqrt((1 + r) / (1 - r)), r being
    the correlation of residuals with the ones before.
    """

    mib_per_hour: float
    standard_error: float
    hours: float

    @property
    def noise(self) -> float:
        """The largest slope that this run could not tell from 0, MiB an hour: a longer run tells smaller ones."""
        return max(ERRORS * self.standard_error, RESOLUTION_MIB / self.hours)

    @property
    def flat(self) -> bool:
        """What growth there is, is noise."""
        return self.mib_per_hour <= self.noise


@dataclass(frozen=True)
class Certificate:
    """What a run gave. what: "features" pushed into the head, or "frames" through the whole path.

    hours: of the stream. curve: by name, values at each sample: "hours"; "rss_mib" of the process; "state_kib" that the
    stream keeps; "lateness_s", the longest since the sample before. lateness_s: p50, p99 and max over all finals;
    start_lateness_s: the same of started events, after the onset that they tell, where the plan promises it.
    """

    what: Literal["features", "frames"]
    hours: float
    wall_s: float
    declared_latency_s: float
    finals: int
    late_events: int
    lateness_s: dict[str, float]
    slope: Slope
    frames_refused: int
    unanalysed_s: float
    curve: dict[str, list[float]]
    declared_start_latency_s: float | None = None
    starts: int = 0
    late_starts: int = 0
    start_lateness_s: dict[str, float] = field(default_factory=dict)

    @property
    def broken(self) -> tuple[str, ...]:
        """Which promises do not hold, in words; empty if all do."""
        s, out = self.slope, []
        if not self.finals:
            out.append("nothing became final, so lateness was not seen: a lower --conf, or another source")
        if self.late_events:
            out.append(f"{self.late_events} finals came later than {self.declared_latency_s:.2f} s after their end")
        if self.late_starts:
            out.append(
                f"{self.late_starts} starts came later than {self.declared_start_latency_s:.2f} s after their onset"
            )
        if not s.flat:
            out.append(f"memory grows by {s.mib_per_hour:.3f} +- {s.standard_error:.3f} MiB an hour")
        return tuple(out)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        slope = {**asdict(self.slope), "noise": self.slope.noise, "flat": self.slope.flat}
        return {
            **asdict(self),
            "slope": slope,
            "times_real_time": 3600 * self.hours / self.wall_s,
            "broken": self.broken,
        }


def slope_of(hours: NDArray[np.float64], mib: NDArray[np.float64]) -> Slope:
    """Fit a line to what follows the warm-up; both [n], n >= 5 after it."""
    late = hours > hours[0] + WARM_UP * (hours[-1] - hours[0])
    x, y = hours[late] - hours[late].mean(), mib[late] - mib[late].mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    rest = y - slope * x
    squares = float(rest @ rest)
    alike = min(max(float(rest[1:] @ rest[:-1]) / squares, 0.0), 0.99) if squares else 0.0
    error = math.sqrt(squares / (len(x) - 2) / spread * (1 + alike) / (1 - alike))
    return Slope(slope, error, float(hours[-1] - hours[late][0]))


class _Lateness:
    """A histogram of seconds from the told end to the decision: its size does not depend on how many there are."""

    def __init__(self, promised_s: float) -> None:
        self._promised = promised_s
        self._counts = np.zeros(math.ceil(2 * promised_s / _BIN_S) + 2, np.int64)
        self.count = self.late = 0
        self.worst = self.recent = 0.0

    def add(self, event: Event, since: float, pause: float) -> None:
        """Count an event, of what happened at `since`.

        `pause`: seconds by which the newest frame was later than frames promise to be, which comes on top.
        """
        seconds = max(event.decided_at, event.pts) - since
        self.count += 1
        self.late += seconds > self._promised + pause + MOMENT
        self.worst, self.recent = max(self.worst, seconds), max(self.recent, seconds)
        self._counts[min(max(int(seconds / _BIN_S), 0), len(self._counts) - 1)] += 1

    def summary(self) -> dict[str, float]:
        """Return p50 and p99, rounded up to a bin and never above max, and max."""
        if not self.count:
            return {}
        below = np.cumsum(self._counts)
        at = {q: int(np.searchsorted(below, math.ceil(self.count * q / 100))) for q in (50, 99)}
        percentiles = {f"p{q}": min(_BIN_S * (i + 1), self.worst) for q, i in at.items()}
        return {**percentiles, "max": self.worst}


def certify(
    stream: StreamingLocalizer,
    what: Literal["features", "frames"],
    steps: Steps,
    hours: float,
    progress: Callable[[float, float], None] | None = None,
    resident: Callable[[], float] | None = None,
) -> Certificate:
    """Run a stream for so many hours of its own time and measure.

    Args:
        stream: a fresh one, which `steps` pushes into.
        what: says what is pushed.
        steps: `feature_steps` or `frame_steps`; need not end.
        hours: of the stream; at least `SAMPLES` pushes are made.
        progress: called with (hours done, hours) at each sample.
        resident: gives the memory to look at, bytes; default: this process's resident size.

    Raises:
        UsageError: `hours` is not positive.
        MissingExtraError: psutil is not installed, and `resident` is not given.
    """
    require(0 < hours < math.inf, "hours", hours, "positive")
    if resident is None:
        process = need("psutil").Process()
        resident = lambda: float(process.memory_info().rss)  # noqa: E731
    names = ("hours", "rss_mib", "state_kib", "lateness_s")
    curve, taken = np.zeros((SAMPLES, len(names))), 0
    late, promised = _Lateness(stream.declared_latency_s), stream.declared_start_latency_s
    starts = _Lateness(promised or 0.0)

    def add(event: Event, pause: float) -> None:
        if event.is_final and event.end is not None:
            late.add(event, event.end, pause)
        elif event.kind == "started" and promised is not None:
            starts.add(event, event.start, pause)

    slot, before = 1.0 / stream.state.manifest.snippet.fps, 0.0
    began = time.perf_counter()
    for seconds, events in steps:
        for event in events:
            add(event, max(seconds - before - slot, 0.0) if what == "frames" else 0.0)
        before = seconds
        if seconds >= 3600 * hours * (taken + 1) / SAMPLES:
            kept = _kept_bytes(stream) / 2**10
            curve[taken] = seconds / 3600, resident() / 2**20, kept, late.recent
            taken, late.recent = taken + 1, 0.0
            if progress is not None:
                progress(seconds / 3600, hours)
            if taken == SAMPLES:
                break
    for event in stream.flush():
        add(event, 0.0)
    curve = curve[:taken]
    return Certificate(
        what=what,
        hours=float(curve[-1, 0]),
        wall_s=time.perf_counter() - began,
        declared_latency_s=stream.declared_latency_s,
        finals=late.count,
        late_events=late.late,
        lateness_s=late.summary(),
        declared_start_latency_s=promised,
        starts=starts.count,
        late_starts=starts.late,
        start_lateness_s=starts.summary(),
        slope=slope_of(curve[:, 0], curve[:, 1]),
        frames_refused=stream.state.refused,
        unanalysed_s=stream.state.unanalysed_s,
        curve={name: [round(float(v), 4) for v in column] for name, column in zip(names, curve.T, strict=True)},
    )


def _kept_bytes(stream: StreamingLocalizer) -> int:
    """Count the bytes that the stream would need to resume after a restart: its buffers."""
    numbers, arrays = stream.state.state()
    return len(str(numbers)) + sum(a.nbytes for a in arrays.values())


def feature_steps(stream: StreamingLocalizer, rows: dict[str, NDArray[np.float32]], seed: int = 0) -> Steps:
    """Push features for ever: pieces of `rows`, [N, D] by stream, of random length from random places.

    So actions follow each other at all distances, and now and then one is far longer than those of the rows.
    """
    rng = np.random.default_rng(seed)
    count, step = len(next(iter(rows.values()))), stream.state.timing.timeline.step
    given = 0
    while True:
        first = int(rng.integers(count))
        piece = np.arange(first, first + int(rng.integers(1, count + 1))) % count
        if rng.random() < 0.05:
            piece = np.repeat(piece[:1], max(2 * stream.state.timing.window, _STILL))  # stands still for two windows
        for i in piece:
            row: FeatureVector = {name: values[i] for name, values in rows.items()}
            given += 1
            yield given * step, stream.push_features(row)


def frame_steps(stream: StreamingLocalizer, video: Path) -> Steps:
    """Push the frames of a video for ever, one showing after the other, with leaps of the clock and repeated frames."""
    still = stream.state.options.max_still
    shift, leap, count = 0.0, _LEAP_EVERY_S if math.isfinite(still) else math.inf, 0
    while True:
        with open_video(video) as source:
            seconds = shift
            for frame in source.frames:
                seconds = shift + frame.pts_seconds
                events = stream.push(frame.image, seconds)
                count += 1
                if count % _TWICE_EVERY == 0:
                    events += stream.push(frame.image, seconds)
                yield seconds, events
            shift = seconds + source.frame_seconds
        if shift >= leap:
            shift += 1.5 * still
            leap = shift + _LEAP_EVERY_S


def synthetic_video(path: Path, seed: int = 0) -> Path:
    """Render a minute of made-up exercises; needs nothing that is not in the package."""
    from ..demo.demo_set import write_video
    from ..demo.render import render
    from ..demo.script import write_script

    script = write_script("certify", seed, duration=(60.0, 60.0))
    write_video(path, render(script), script.fps)
    return path
