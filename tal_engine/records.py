"""The values that flow from stage to stage; each carries its time base."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .errors import FeatureError
from .timeline import Timeline
from .vocabulary import Vocabulary


class _ByValue:
    """Equality of records that hold arrays: same kind, same values, NaN equal to NaN. Not hashable."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare)  # type: ignore[arg-type]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        numbers = np.issubdtype(a.dtype, np.inexact)
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=numbers)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return type(a) is type(b) and bool(a == b)


class Place:
    """Where a row lies in a store on a card. It moves when the store is tidied, and is free once nobody holds this."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


#: One proposal: seconds, score, label id.
PROPOSAL = np.dtype([("start", "f8"), ("end", "f8"), ("score", "f8"), ("label", "i4")])


@dataclass(frozen=True, slots=True, eq=False)
class Snippets(_ByValue):
    """A batch of consecutive snippets.

    frames: [N, window, H, W, 3] uint8 RGB. flow: [N, window, H, W, 2] float32 pixels a slot, or
    None. first: index of the first snippet in the video. end: seconds of video read so far. pose: [N, window, 15, 4]
    float32, the joints of the main person and their visibility (`pose.follow`), or None. followed: of snippets of live
    streams, whose person each shows: what finds its poses in order (`pose.follow.FollowedPoses`).
    """

    frames: NDArray[np.uint8]
    flow: NDArray[np.float32] | None
    first: int
    timeline: Timeline
    end: float
    pose: NDArray[np.float32] | None = None
    followed: tuple[Any, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Features(_ByValue):
    """Feature vectors of one video: stream name -> [T, D] float32, all of the same T.

    contract: what made them (see ``features.contract``); empty when unknown. places: where the rows of a window of a
    live stream also lie on a card; empty where they do not.

    >>> import numpy as np
    >>> from tal_engine import Features, Timeline
    >>> features = Features({"rgb": np.zeros((3, 4), np.float32)}, Timeline(0.0, 0.64, 0.64), 1.92)
    >>> len(features)
    3
    """

    streams: dict[str, NDArray[np.float32]]
    timeline: Timeline
    duration: float
    contract: dict[str, Any] = field(default_factory=dict)
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)

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


@dataclass(frozen=True, slots=True, eq=False)
class Activations(_ByValue):
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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OnlineActivations(Activations):
    """What an online head gives of a whole video; `cas`, `attention` (actionness) and what follows see a look-ahead.

    now: activations [T, C] that have seen nothing after their snippet; of `cas` they are the first guess. start, end:
    how likely an action starts, or ends, at a snippet [T]. hazard: how likely the one that goes on at a snippet ends
    within the plan's horizon [T], without look-ahead. All are probabilities.
    """

    now: NDArray[np.float32]
    start: NDArray[np.float32]
    end: NDArray[np.float32]
    hazard: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Boundaries(_ByValue):
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


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid(_ByValue):
    """Class scores [P, C] of moments, and their distances [P, 2] to the start and the end of an action; float32.

    Moments of a level follow each other, levels too; distances are in time steps of the level. What heads give that say
    at each moment what goes on and how long; see `options.PyramidOptions`.
    """

    score: NDArray[np.float32]
    distance: NDArray[np.float32]
    timeline: Timeline
    duration: float

    def __len__(self) -> int:
        return int(self.score.shape[0])


#: What a head may give of a video.
Scored = Activations | Boundaries | Pyramid


@dataclass(frozen=True, slots=True, eq=False)
class Proposals(_ByValue):
    """Machine form: array of `PROPOSAL`, seconds."""

    data: NDArray[np.void]
    duration: float

    def __len__(self) -> int:
        return int(self.data.shape[0])


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """An action from `start` to `end` seconds, half open, with its class and score.

    subject: the number of the person, where people were told apart.

    >>> from tal_engine import Segment
    >>> segment = Segment(1.5, 4.0, "squat", 0.9)
    >>> segment.end - segment.start
    2.5
    """

    start: float
    end: float
    label: str
    score: float
    subject: int | None = None

    @property
    def title(self) -> str:
        """The label, with the person's number where people were told apart."""
        return self.label if self.subject is None else f"{self.label} #{self.subject}"


#: What pictures say of a video that is unlike its plan's training videos; `Info.warnings` says more.
UNLIKE = "unlike anything this plan was trained on: labels may be wrong"


@dataclass(slots=True)
class Info:
    """How a localization came about: what to look at when a result surprises."""

    source: str
    duration: float = 0.0
    fps: float | None = None
    #: The plan: its hash, and its name.
    plan: str = ""
    plan_name: str = ""
    snippets: int = 0
    frames: int = 0
    frames_lost: int = 0
    #: Scores are in [0, 1]: the share of such segments that is right; see docs/scores.md.
    calibrated: bool = False
    #: Share of videos like the plan's training videos that are less usual than this one, in [0, 1]; None where the plan
    #: does not know what it was trained on. And whether the video counts as unlike all of them.
    domain: float | None = None
    out_of_domain: bool = False
    warnings: list[str] = field(default_factory=list)
    #: Seconds spent by stage. Two runs that find the same take different times, so they do not count for equality.
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


class VideoSegments(Sequence[Segment]):
    """The segments of one video, best first, and how they were found; `results.Localization` can also write itself.

    Two are equal if all of their values are, except for the time that it took to find them.
    """

    #: Everybody who was found, where people were told apart: gives the people of a picture and its seconds.
    people: Callable[[Any, float], Sequence[Any]] | None = None

    def __init__(
        self,
        segments: Iterable[Segment],
        info: Info,
        vocabulary: Vocabulary,
        activations: Scored | None = None,
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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VideoSegments):
            return NotImplemented
        mine, others = ((x.segments, x.info, x.vocabulary, x.activations) for x in (self, other))
        return mine == others

    def __hash__(self) -> int:
        return hash(self.segments)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.info.source!r}, {len(self)} segments, {self.info.duration:.2f} s)"

    def by_time(self) -> list[Segment]:
        """Return the segments in order of their start."""
        return sorted(self.segments, key=lambda s: (s.start, s.end, s.label))
