"""Proves on one's own video that a stream gives what it promises, or says exactly where it does not.

Three questions: do the chunks in which frames come matter, is the stream of a file what the file gives, and what do
the plan's window and look-ahead change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import require
from ..events import Event
from ..features.card_store import rows_of
from ..inference.operating_point import overlap
from ..options import StreamOptions
from ..records import Segment
from ..streaming.head_run import run_head, suppressed
from ..streaming.localizer import StreamingLocalizer
from ..streaming.marks import PendingSnippet
from ..streaming.stream_state import StreamState
from ..video import open_video

if TYPE_CHECKING:
    from ..engine import TALEngine

#: Runtimes add in another order for another batch: scores of the same segment may differ by this share. Times may not.
SCORE_TOLERANCE = 1e-4
ROUNDING_MS = 1e-6
#: Segments of one class are the same one, moved, from this overlap on.
SAME = 0.5
#: Frames of a chunk at most; far over a snippet, so that some chunks complete several.
LONGEST_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Moved:
    """A segment that both have; how far the second's is later, milliseconds, and how much higher its score."""

    first: Segment
    start_ms: float
    end_ms: float
    score: float

    @property
    def same(self) -> bool:
        """Nothing that counts."""
        return not self.in_time and abs(self.score) <= SCORE_TOLERANCE * max(abs(self.first.score), 1)

    @property
    def in_time(self) -> bool:
        """A boundary is elsewhere; not just written as another sum of the same numbers."""
        return max(abs(self.start_ms), abs(self.end_ms)) > ROUNDING_MS


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two lists of segments: what only the second has, what only the first has, and the rest."""

    appeared: tuple[Segment, ...]
    vanished: tuple[Segment, ...]
    common: tuple[Moved, ...]

    @property
    def none(self) -> bool:
        """They are equal."""
        return not self.appeared and not self.vanished and all(m.same for m in self.common)

    @property
    def compared(self) -> int:
        """How many segments both lists have together, a pair counting once; with 0, `none` says nothing."""
        return len(self.appeared) + len(self.vanished) + len(self.common)

    def lines(self) -> Iterator[str]:
        """Describe each difference in a line."""
        for mark, segments in (("appeared", self.appeared), ("vanished", self.vanished)):
            for s in segments:
                yield f"{mark}: {_text(s)}"
        for m in self.common:
            if not m.same:
                times = f"{m.start_ms:+.0f} ms, {m.end_ms:+.0f} ms, " if m.in_time else ""
                yield f"{'moved' if m.in_time else 'scored'}: {_text(m.first)}: {times}score {m.score:+.4f}"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Report:
    """What was found on one video; `chunks` has one difference for each chunking."""

    video: str
    duration: float
    options: StreamOptions
    chunks: tuple[Difference, ...]
    #: With a window and a look-ahead that cover the video, against `localize`.
    whole: Difference
    #: With `options`, against `localize`: measured, not promised.
    window: Difference
    declared_latency_s: float
    worst_latency_s: float
    late_events: int

    @property
    def ok(self) -> bool:
        """Every promise holds."""
        return self.whole.none and all(c.none for c in self.chunks) and not self.late_events

    @property
    def compared(self) -> bool:
        """Whether each comparison had segments; one of nothing with nothing proves nothing."""
        return self.whole.compared > 0 and all(c.compared for c in self.chunks)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        return {**asdict(self), "ok": self.ok, "compared": self.compared}


def difference(first: Iterable[Segment], second: Iterable[Segment]) -> Difference:
    """Match segments of each class by overlap, the largest first."""
    a, b = sorted(first), sorted(second)
    pairs = [(-overlap(x, y), i, j) for i, x in enumerate(a) for j, y in enumerate(b) if x.label == y.label]
    mates: dict[int, int] = {}
    for shared, i, j in sorted(pairs):
        if -shared >= SAME and i not in mates and j not in mates.values():
            mates[i] = j
    common = tuple(
        Moved(a[i], 1e3 * (b[j].start - a[i].start), 1e3 * (b[j].end - a[i].end), b[j].score - a[i].score)
        for i, j in sorted(mates.items())
    )
    appeared = tuple(y for j, y in enumerate(b) if j not in mates.values())
    return Difference(appeared, tuple(x for i, x in enumerate(a) if i not in mates), common)


def verify(
    engine: TALEngine,
    path: str | Path,
    options: StreamOptions | None = None,
    *,
    chunkings: int = 20,
    seed: int = 0,
    min_score: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Run a video as a file, frame by frame, and in random chunks, and compare.

    Args:
        engine: has encoders.
        path: the video.
        options: of the stream; None takes the plan's.
        chunkings: how many times it is cut into chunks of 1 to 64 frames; features are then made chunk by chunk.
        seed: of the chunks.
        min_score: leave out segments below it, everywhere; None takes the plan's operating point. Lower it where
            nothing is found, as there is nothing to compare then.
        progress: called with (runs done, runs in all).

    Raises:
        VideoError: the video cannot be read.
        PlanError: the plan has no encoders.
    """
    require(chunkings >= 1, "chunkings", chunkings, "at least 1")
    options = engine.plan.manifest.stream if options is None else options
    runs = chunkings + 3
    report = progress or (lambda *_: None)

    file = engine.localize(path, min_score=min_score)
    report(1, runs)
    length = file.info.duration + engine.plan.manifest.snippet.window / engine.plan.manifest.snippet.fps
    whole = options
    if engine.plan.manifest.online is None:  # an online head sees all of the past and waits for what it was trained to
        whole = replace(options, window=max(length, options.window), look_ahead=max(length, options.window))
    whole = replace(whole, max_still=float("inf"), max_action=0.0, min_action=0.0, pad=0.0)
    covered, _ = _frame_by_frame(engine, path, whole, min_score)
    report(2, runs)
    single, stream = _frame_by_frame(engine, path, options, min_score)
    report(3, runs)
    rng, chunks = np.random.default_rng(seed), []
    for i in range(chunkings):
        chunks.append(difference(single, _in_chunks(engine, path, options, rng, min_score)))
        report(4 + i, runs)
    return Report(
        video=str(path),
        duration=file.info.duration,
        options=options,
        chunks=tuple(chunks),
        whole=difference(file, covered),
        window=difference(file, single),
        declared_latency_s=stream.declared_latency_s,
        worst_latency_s=stream.state.finalizer.worst_latency_s,
        late_events=stream.state.finalizer.late_events,
    )


def _frame_by_frame(
    engine: TALEngine, path: str | Path, options: StreamOptions, min_score: float | None
) -> tuple[list[Segment], StreamingLocalizer]:
    stream = StreamingLocalizer(engine, str(path), options, min_score=min_score)
    events: list[Event] = []
    with open_video(path) as video:
        last = 0.0
        for frame in video.frames:
            events += stream.push(frame.image, frame.pts_seconds)
            last = frame.pts_seconds
        events += stream.flush(last + video.frame_seconds)
    return _segments(events), stream


def _in_chunks(
    engine: TALEngine, path: str | Path, options: StreamOptions, rng: np.random.Generator, min_score: float | None
) -> list[Segment]:
    """Compute features and windows only once per chunk of frames, as a busy engine would."""
    state = StreamState(engine.plan.manifest.with_segment(min_score, None), engine.plan.sha256, str(path), options)
    events: list[Event] = []
    with open_video(path) as video:
        frames, last = iter(video.frames), 0.0
        while chunk := list(islice(frames, int(rng.integers(1, LONGEST_CHUNK + 1)))):
            events += _catch_up(engine, state, [r for f in chunk for r in state.push(f.image, f.pts_seconds)])
            last = chunk[-1].pts_seconds
        events += _catch_up(engine, state, state.flush(last + video.frame_seconds))
    return _segments(events)


def _catch_up(engine: TALEngine, state: StreamState, waiting: Sequence[PendingSnippet]) -> list[Event]:
    if waiting:
        one = waiting[0].snippets
        together = replace(one, frames=np.concatenate([r.snippets.frames for r in waiting]))
        for row in rows_of(engine.encode_snippets(together)):
            state.add(row)
    events: list[Event] = []
    windows = state.windows()
    for window, found in zip(windows, run_head(engine, windows), strict=True):
        events += state.finalize(window, suppressed(found, engine.plan.manifest.nms))
    return events


def _segments(events: Iterable[Event]) -> list[Segment]:
    return [Segment(e.start, e.end, e.label, e.score) for e in events if e.is_final and e.end is not None]


def _text(s: Segment) -> str:
    return f"{s.label} {s.start:.2f} - {s.end:.2f} ({s.score:.3f})"
