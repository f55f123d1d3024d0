"""The values that flow from stage to stage; each carries its time base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .errors import FeatureError
from .timeline import Timeline
from .vocabulary import Vocabulary

#: One proposal: seconds, score, label id.
PROPOSAL = np.dtype([("start", "f8"), ("end", "f8"), ("score", "f8"), ("label", "i4")])


@dataclass(frozen=True, slots=True)
class Snippets:
    """A batch of consecutive snippets.

    frames: [N, window, H, W, 3] uint8 RGB. flow: [N, window, H, W, 2] float32 pixels a slot, or
    None. first: index of the first snippet in the video. end: seconds of video read so far.
    """

    frames: NDArray[np.uint8]
    flow: NDArray[np.float32] | None
    first: int
    timeline: Timeline
    end: float


@dataclass(frozen=True, slots=True)
class Features:
    """Feature vectors of one video: stream name -> [T, D] float32, all of the same T.

    contract: what made them (see ``features.contract``); empty when unknown.
    """

    streams: dict[str, NDArray[np.float32]]
    timeline: Timeline
    duration: float
    contract: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: a.shape[0] for name, a in self.streams.items() if a.ndim == 2}
        bad = [f"{n} has shape {list(a.shape)}" for n, a in self.streams.items() if a.ndim != 2]
        if not self.streams or bad:
            raise FeatureError(f"features must be [T, D] arrays by stream name; {', '.join(bad) or 'got none'}")
        if len(set(lengths.values())) > 1:
            raise FeatureError(f"feature streams differ in length: {lengths}")
        for name, array in self.streams.items():
            broken = ~np.isfinite(array).all(axis=1)
            if broken.any():
                raise FeatureError(f"stream {name!r}: feature {int(np.argmax(broken))} is NaN or infinite")

    def __len__(self) -> int:
        return int(next(iter(self.streams.values())).shape[0])


@dataclass(frozen=True, slots=True)
class Activations:
    """Class activation sequence [T, C(+1)] and attention [T], float32.

    video: class probabilities [C] of the whole video, for heads that do not take them from the
    largest values of the CAS.
    """

    cas: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    timeline: Timeline
    duration: float
    video: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return int(self.cas.shape[0])


@dataclass(frozen=True, slots=True)
class Boundaries:
    """How likely an action starts, or ends, where each snippet begins, [T] each, and the embedding [T, D]; float32.

    What heads give that find proposals first and say then what they are; see `options.BoundaryOptions`.
    """

    start: NDArray[np.float32]
    end: NDArray[np.float32]
    embedding: NDArray[np.float32]
    timeline: Timeline
    duration: float

    def __len__(self) -> int:
        return int(self.start.shape[0])


@dataclass(frozen=True, slots=True)
class Proposals:
    """Machine form: array of `PROPOSAL`, seconds."""

    data: NDArray[np.void]
    duration: float

    def __len__(self) -> int:
        return int(self.data.shape[0])


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """User form: an action from `start` to `end` seconds, half open, with its class and score."""

    start: float
    end: float
    label: str
    score: float


@dataclass(slots=True)
class Info:
    """How a localization came about: what to look at when a result surprises."""

    source: str
    duration: float = 0.0
    fps: float | None = None
    plan: str = ""
    snippets: int = 0
    frames: int = 0
    frames_lost: int = 0
    warnings: list[str] = field(default_factory=list)
    #: Seconds spent by stage.
    seconds: dict[str, float] = field(default_factory=dict)


class Localization(Sequence[Segment]):
    """The segments of one video, best first, with what is needed to write and draw them."""

    def __init__(
        self,
        segments: Iterable[Segment],
        info: Info,
        vocabulary: Vocabulary,
        activations: Activations | Boundaries | None = None,
    ) -> None:
        self.segments = tuple(segments)
        self.info = info
        self.vocabulary = vocabulary
        self.activations = activations

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...
    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        return self.segments[index]

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __repr__(self) -> str:
        return f"Localization({self.info.source!r}, {len(self)} segments, {self.info.duration:.2f} s)"

    def by_time(self) -> list[Segment]:
        """The segments in order of their start."""
        return sorted(self.segments, key=lambda s: (s.start, s.end, s.label))

    def to_activitynet(self) -> dict[str, Any]:
        """The ActivityNet detection form, as a dict ready for JSON."""
        from .sinks.activitynet import document

        return document([self])

    def to_csv(self, path: str | Path) -> None:
        """Write ``video,label,start,end,score`` rows."""
        from .sinks.table import write

        write(path, [self])

    def to_jsonl(self, path: str | Path) -> None:
        """Write one JSON object a segment."""
        from .sinks.jsonl import write

        write(path, [self])

    def to_srt(self, path: str | Path) -> None:
        """Write SubRip subtitles, one cue a segment."""
        from .sinks.subtitles import write

        write(path, self, "srt")

    def to_vtt(self, path: str | Path) -> None:
        """Write WebVTT subtitles, one cue a segment."""
        from .sinks.subtitles import write

        write(path, self, "vtt")

    def plot(self, path: str | Path, truth: Iterable[Segment] | None = None) -> None:
        """Draw the timeline to a picture file (needs the ``plot`` extra)."""
        from .sinks.plot import draw

        draw(path, self, truth)
