"""The event rule of online heads: activations in, snippet by snippet; starts, updates, ends and withdrawals out.

Knows no seconds, graphs or events: times are places on the line of snippets, where n is the middle of snippet n. Of
each class there are two sequences: `now[n]`, which has seen snippets up to n, and `seen[m]`, which has seen
m + look_ahead and comes with n = m + look_ahead. The rules, by class:

* A start is told when `now` reaches the class's threshold. Its onset is where `now` rose above `hold` times the
  threshold, at most `backdate` snippets ago. The next start is told only after more than `confirm` snippets in a row
  below that, and while fewer than two starts wait for their action.
* An action opens at m when `seen` is at least `floor` and has been below `share` times its value since the last action
  ended. It begins where `seen` rose above `share` times its peak, which is sought in the last `rise` snippets.
* It ends where `seen` fell below `share` times its peak, once it has been below for more than `confirm` snippets. Then
  it is final if its score, the mean of `seen` while it was not below, is enough and it is long enough.
* It takes the first waiting start whose onset is not after its end; further such starts are withdrawn, and all of them
  if it is not final. An open action without a start is told when `seen` reaches the threshold; `now`, which says the
  same of it later, then tells another only after it was above the hold and below again, or the action has ended.
* With `evidence` it is that which is compared with the threshold and the hold in place of `now`; `seen`, which it has
  heard, tells no start then.
* A start whose action has not opened `patience` snippets after it was told is withdrawn.
* An action longer than `longest` is cut there, and goes on as another.
* Each of `guesses` is another share by which the same rules find actions, apart from all starts: what they find is
  final only, its score times `discount` for the first of them, times its square for the second, and so on.

So each decision waits a fixed number of snippets: see `StreamTiming` for the promise that follows. Each class keeps at
most `rise` values, one open action and two starts.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..plan.online_fields import OnlineOptions
from .start_evidence import Evidence

#: Most starts of a class that wait for their action.
WAITING = 2
#: The place at which a stream begins: the edge of its first snippet.
BEGIN = -0.5
#: Activations are rounded to so many places.
DECIMALS = 3


class Decision(NamedTuple):
    """Something that is told of an action.

    at: the newest snippet. action: its number, the same in all that is told of it. start, end: places on the line of
    snippets, `BEGIN` where the stream begins and infinite where it ends; `end` is None while it is open. cut: it was
    cut, or the stream was, before it ended. clipped: it goes on from one that was cut.
    """

    at: int
    kind: Literal["started", "updated", "final", "withdrawn"]
    action: int
    label: int
    start: float
    end: float | None
    score: float
    cut: bool = False
    clipped: bool = False


@dataclass(slots=True)
class Start:
    """A start that waits for its action: what was last told of it, and the snippet at which it was."""

    action: int
    onset: float
    at: int
    told: float
    score: float


@dataclass(slots=True)
class OpenAction:
    """An action that has not ended: `end` is where it fell below, `below` snippets ago."""

    start: float
    peak: float
    total: float
    count: int
    below: int = 0
    end: float = 0.0
    clipped: bool = False


@dataclass(slots=True)
class ClassState:
    """What is known of one class. last: of `now`, or its evidence; rose: where it rose above the hold, None below it.

    low: snippets in a row below the hold. silent: `seen` told a start, and `now` was not above the hold since. lowest:
    the least of `seen` since the last action ended. recent: the last values of `seen`, newest last.
    """

    last: float = 0.0
    rose: float | None = None
    armed: bool = True
    low: int = 0
    silent: bool = False
    lowest: float = 0.0
    recent: list[float] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    open: OpenAction | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ClassState:
        """Read what `to_dict` wrote."""
        starts, action = [Start(**s) for s in fields["starts"]], fields["open"]
        return cls(**{**fields, "starts": starts, "open": None if action is None else OpenAction(**action)})


class Track(NamedTuple):
    """What is followed of a class: actions at one share of their peak. weight: of scores. guess: finals alone."""

    label: int
    share: float
    weight: float
    guess: bool


class OnlineMachine:
    """Decides for all classes of one stream.

    Args:
        options: the rules' numbers.
        floors: the least score of a final by label id, [C].
        shortest: snippets that an action must last to be told as final.
        longest: snippets after which an action is cut; 0 allows all.

    >>> from tal_engine.inference.online_machine import OnlineMachine
    >>> from tal_engine.plan.online_fields import OnlineOptions
    >>> machine = OnlineMachine(OnlineOptions(look_ahead=0, start=(0.5,)), np.zeros(1))
    >>> [d.kind for v in (0.0, 0.9, 0.9, 0.0, 0.0) for d in machine.step(np.array([v]), np.array([v]))]
    ['started', 'final']
    """

    def __init__(
        self, options: OnlineOptions, floors: NDArray[np.float64], shortest: float = 0.0, longest: float = 0.0
    ) -> None:
        self._o, self._floors = options, floors
        self._shortest, self._longest = shortest, longest
        shares = (options.share, *options.guesses)
        self._tracks = [
            Track(label, share, options.discount**k, k > 0)
            for label in range(len(options.start))
            for k, share in enumerate(shares)
        ]
        self._evidence = None if options.evidence is None else Evidence(options.evidence)
        self._numbered = 0
        self.begin()

    def begin(self) -> None:
        """Forget everything but the numbers that were given: a stream begins."""
        #: Snippets so far.
        self.count = 0
        self._states = [ClassState() for _ in self._tracks]
        if self._evidence is not None:
            self._evidence.before = None

    @property
    def open_actions(self) -> int:
        """Number of actions that were told and not decided."""
        return sum(len(c.starts) for c in self._states)

    def step(self, now: NDArray[Any] | None, seen: NDArray[Any]) -> list[Decision]:
        """Take what the head gave at the next snippet.

        Args:
            now: activations [C] of this snippet; None after the end of the stream, while the look-ahead is made up.
            seen: activations [C] of the snippet `look_ahead` before; not looked at before there is one.

        Raises:
            FeatureError: an activation is NaN or infinite; nothing was changed.
        """
        if not (np.isfinite(seen).all() and (now is None or np.isfinite(now).all())):
            raise FeatureError(f"the head gave activations that are NaN or infinite at snippet {self.count}")
        n, m = self.count, self.count - self._o.look_ahead
        told: list[Decision] = []
        nows, delayed = [] if now is None else _rounded(now), _rounded(seen)
        if self._evidence is not None and now is not None:
            nows = self._evidence.step(nows, delayed if m >= 0 else nows)
        for track, state in zip(self._tracks, self._states, strict=True):
            if now is not None and not track.guess:
                told += self._start(state, track.label, nows[track.label], n)
            if m >= 0:
                told += self._see(state, track, delayed[track.label], m, n)
        self.count += 1
        return told

    def finish(self) -> list[Decision]:
        """Decide what is open: the stream ends with the last snippet."""
        told: list[Decision] = []
        for track, state in zip(self._tracks, self._states, strict=True):
            if state.open is not None:
                end = state.open.end if state.open.below else math.inf
                told += self._close(state, track, end, cut=not state.open.below)
            told += [self._withdrawn(s, track.label) for s in state.starts]
        self.begin()
        return told

    def _start(self, state: ClassState, label: int, value: float, n: int) -> list[Decision]:
        """Follow `now` of one class and tell a start."""
        threshold = self._o.start[label]
        hold = self._o.hold * threshold
        if value >= hold:
            if state.rose is None:
                state.rose = _crossing(state.last, value, hold, n) if n else BEGIN
            state.low, state.silent = 0, False
        else:
            state.rose, state.low = None, state.low + 1
            state.armed = state.armed or (state.low > self._o.confirm and not state.silent)
        state.last = value
        if value < threshold or not state.armed or len(state.starts) >= WAITING:
            return []
        assert state.rose is not None  # noqa: S101 - the hold is not above the threshold
        state.armed = False
        return [self._tell(state, label, max(state.rose, n - self._o.backdate), value, n)]

    def _tell(self, state: ClassState, label: int, onset: float, score: float, n: int) -> Decision:
        self._numbered += 1
        state.starts.append(Start(self._numbered, onset, n, onset, score))
        return Decision(self.count, "started", self._numbered, label, onset, None, score)

    def _see(self, state: ClassState, track: Track, value: float, m: int, n: int) -> list[Decision]:
        """Follow `seen` of one class: open, change, end, cut."""
        state.recent.append(value)
        del state.recent[: -self._o.rise]
        told: list[Decision] = []
        if state.open is None:
            if value >= self._o.floor and track.share * value > state.lowest:
                start = self._risen(state, track.share * value, m)
                state.open = OpenAction(start, value, 0.0, 0)
            else:
                state.lowest = min(state.lowest, value)
        if state.open is not None:
            told += self._follow(state, state.open, track, value, m, n)
        if state.open is None:
            late = [s for s in state.starts if s.at + self._o.patience <= m]
            state.starts = [s for s in state.starts if s not in late]
            told += [self._withdrawn(s, track.label) for s in late]
        return told

    def _follow(
        self, state: ClassState, action: OpenAction, track: Track, value: float, m: int, n: int
    ) -> list[Decision]:
        if value > action.peak:
            action.peak = value
            action.start = max(action.start, self._risen(state, track.share * value, m))
        level = track.share * action.peak
        if value < level:
            action.below += 1
            if action.below == 1:
                action.end = _crossing(state.recent[-2], value, level, m)
            if action.below > self._o.confirm:
                state.lowest = min(state.recent[-action.below :])
                return self._close(state, track, action.end, cut=False)
            return []
        action.below, action.total, action.count = 0, action.total + value, action.count + 1
        cut = self._cut(state, action, track, m)
        return [*cut, *self._refresh(state, state.open or action, track, value, n)]

    def _refresh(self, state: ClassState, action: OpenAction, track: Track, value: float, n: int) -> list[Decision]:
        """Tell an open action that was not told, or that its start is elsewhere."""
        if track.guess:
            return []
        label = track.label
        if not state.starts:
            if value < self._o.start[label] or self._evidence is not None:
                return []
            state.armed, state.silent = False, True
            return [self._tell(state, label, max(action.start, n - self._o.backdate), value, n)]
        mine = state.starts[0]
        if action.start < mine.at and abs(action.start - mine.told) > 1:
            mine.told, mine.score = action.start, value
            return [
                Decision(self.count, "updated", mine.action, label, action.start, None, value, clipped=action.clipped)
            ]
        return []

    def _cut(self, state: ClassState, action: OpenAction, track: Track, m: int) -> list[Decision]:
        if not self._longest or m + 0.5 - action.start <= self._longest:
            return []
        where = max(action.start + self._longest, m - self._o.confirm - 1.0)
        peak = action.peak
        told = self._close(state, track, where, cut=True)
        state.open = OpenAction(where, peak, 0.0, 0, clipped=True)
        return told

    def _close(self, state: ClassState, track: Track, end: float, *, cut: bool) -> list[Decision]:
        action = state.open
        assert action is not None  # noqa: S101 - callers have one
        state.open = None
        state.armed, state.silent = state.armed or state.silent, False
        label, score = track.label, track.weight * action.total / action.count if action.count else 0.0
        mine = [s for s in state.starts if s.onset <= end]
        state.starts = [s for s in state.starts if s.onset > end]
        enough = action.count > 0 and score >= self._floors[label] and end > action.start
        if not enough or end - action.start < self._shortest:
            return [self._withdrawn(s, label) for s in mine]
        if not mine:
            self._numbered += 1
        number = mine[0].action if mine else self._numbered
        final = Decision(self.count, "final", number, label, action.start, end, score, cut, action.clipped)
        return [final, *(self._withdrawn(s, label) for s in mine[1:])]

    def _withdrawn(self, start: Start, label: int) -> Decision:
        return Decision(self.count, "withdrawn", start.action, label, start.told, None, start.score)

    def _risen(self, state: ClassState, level: float, m: int) -> float:
        """Find where the recent values rose above a level; the newest is above."""
        values = state.recent
        for back in range(1, len(values)):
            if values[-1 - back] < level:
                return _crossing(values[-1 - back], values[-back], level, m - back + 1)
        oldest = m - len(values) + 1
        return float(oldest) if oldest else BEGIN

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to resume, ready for JSON."""
        known = {} if self._evidence is None else {"before": self._evidence.before}
        return {
            "count": self.count, "numbered": self._numbered, "classes": [s.to_dict() for s in self._states], **known
        }  # fmt: skip

    def restore(self, numbers: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.count, self._numbered = numbers["count"], numbers["numbered"]
        self._states = [ClassState.from_dict(s) for s in numbers["classes"]]
        if self._evidence is not None:
            self._evidence.before = numbers["before"]


def _rounded(values: NDArray[Any]) -> list[float]:
    """Round activations, so that times do not hang on the last bits of sums, which batches change."""
    rounded: list[float] = np.asarray(values, np.float64).round(DECIMALS).tolist()
    return rounded


def _crossing(before: float, after: float, level: float, n: int) -> float:
    """Return where a line from `before` at n - 1 to `after` at n meets a level between them."""
    return n - 1 + (level - before) / (after - before)
