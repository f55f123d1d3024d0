"""The people of one stream, each with windows, open actions and decisions of its own. Knows no graphs.

Whoever is seen gets a stream of features: a row for each snippet of the picture's stream from the first that shows the
person on, so its clock is the picture's, less where it begins, and what the stream promises holds for each. Who is not
seen for longer than a decision waits has nothing open any more, and is let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..events import Event
from ..options import SnippetOptions
from ..pose.features import STREAM, snippet_features
from ..pose.skeleton import JOINTS
from ..records import Proposals
from ..timeline import Timeline
from .finalizer import Finalizer
from .head_run import Found
from .marks import PendingStamp
from .online_finalizer import OnlineFinalizer
from .window import FeatureVector, StreamTiming, Window

#: Slots behind the newest whose poses are kept: snippets wait for their turn with other streams.
_KEPT = 1024


class StreamOfOne(Protocol):
    """A stream of features of one person; `StreamState` is one."""

    timing: StreamTiming
    finalizer: Finalizer | OnlineFinalizer

    @property
    def declared_latency_s(self) -> float:
        """Longest time from the end of an action to its final event."""

    @property
    def newest(self) -> float | None:
        """Seconds of the newest row."""

    def set_session_id(self, session: str) -> None:
        """Make ids differ from those of other sessions."""

    def push_row(self, row: FeatureVector, wall: float | None = None) -> None:
        """Take the features of the next snippet."""

    def flush(self, end: float | None = None) -> object:
        """End the stream."""

    def windows(self) -> list[Window]:
        """Take the windows that are due."""

    def finalize(self, window: Window, found: Found) -> list[Event]:
        """Decide the events of the oldest window."""


class SeenPeople:
    """Takes the people of each slot from `pose.follow.FollowedPoses`, and gives features of a snippet by person."""

    def __init__(self, options: SnippetOptions, most: int) -> None:
        self.most = most
        self._options = options
        self._slots: dict[int, Mapping[int, NDArray[np.float32]]] = {}

    def add(self, slot: int, people: Sequence[Any], poses: Mapping[int, NDArray[np.float32]]) -> None:
        """Take the poses [15, 4] of a slot, by number of the person."""
        self._slots[slot] = poses
        while (oldest := next(iter(self._slots))) < slot - _KEPT:
            del self._slots[oldest]

    def rows(self, snippet: int) -> dict[int, NDArray[np.float32]]:
        """Compute the features [D] of everybody who is seen in a snippet."""
        first = snippet * self._options.stride
        slots = [self._slots.get(first + i, {}) for i in range(self._options.window)]
        who = sorted({subject for poses in slots for subject in poses})
        if not who:
            return {}
        nobody = np.zeros((len(JOINTS), 4), np.float32)
        shown = np.stack([[poses.get(subject, nobody) for poses in slots] for subject in who])
        return dict(zip(who, snippet_features(shown[..., :3], shown[..., 3], self._options.fps), strict=True))


@dataclass
class _One:
    """A person: its stream of features, where that begins in seconds of the stream, and snippets since it was seen."""

    state: StreamOfOne
    begins: float
    unseen: int = 0


class PeopleOfStream:
    """Who is seen in a stream, and what each of them does.

    Args:
        options: of the snippets.
        most: people that are followed at a time.
        make: makes a stream of features for a name.
        source: name of the stream.
    """

    def __init__(self, options: SnippetOptions, most: int, make: Callable[[str], StreamOfOne], source: str) -> None:
        self.most = most
        self._options, self._make, self._source = options, make, source
        empty = np.zeros((1, options.window, len(JOINTS)), np.float32)
        #: Features of a snippet that does not show a person.
        self._nobody: NDArray[np.float32] = snippet_features(np.zeros((*empty.shape, 3)), empty, options.fps)[0]
        self._seen: deque[SeenPeople] = deque()
        self._people: dict[int, _One] = {}
        self._due: deque[tuple[int, _One, Window]] = deque()
        self._new: list[Window] = []
        #: Final events that came too late, of everybody, and the longest time that one took, seconds.
        self.late_events, self.worst_latency_s = 0, 0.0
        self.session = ""

    def recorder(self) -> SeenPeople:
        """Return what the next part of the stream, up to its cut, has its people taken by."""
        return SeenPeople(self._options, self.most)

    def expect(self, seen: SeenPeople) -> None:
        """Note that a snippet waits for its poses."""
        self._seen.append(seen)

    def add(self, stamp: PendingStamp, time: Timeline) -> None:
        """Give everybody the features of the oldest snippet that has none."""
        rows = self._seen.popleft().rows(stamp.first)
        begins = stamp.origin + float(time.left(float(stamp.first))) - float(time.left(0.0))
        wall = None if stamp.wall is None else stamp.wall + stamp.origin + float(time.right(float(stamp.first + 1)))
        for subject in rows:
            if subject not in self._people:
                # When it begins is part of its name, and so of its events' ids: its own clock begins at 0.
                state = self._make(f"{self._source}#{subject} from {begins:.6f}")
                state.set_session_id(self.session)
                self._people[subject] = _One(state, begins)
        for subject, one in list(self._people.items()):
            row = rows.get(subject)
            one.unseen = 0 if row is not None else one.unseen + 1
            one.state.push_row({STREAM: self._nobody if row is None else row}, wall)
            if one.unseen * time.step > one.state.declared_latency_s + time.step:
                self._let_go(subject, None)
            self._take(subject, one)
        self._keep_few()

    def cut(self, end: float) -> None:
        """Decide what everybody does; the stream ends at `end` seconds, or was interrupted."""
        for subject, one in list(self._people.items()):
            self._let_go(subject, end - one.begins)
            self._take(subject, one)

    def windows(self) -> list[Window]:
        """Take the windows that are due; each is returned once, and finalized in this order."""
        new, self._new = self._new, []
        return new

    def finalize(self, window: Window, proposals: Proposals) -> list[Event]:
        """Decide the events of the oldest window that is due."""
        subject, one, due = self._due.popleft()
        assert due is window  # noqa: S101 - windows are finalized in order
        decided = one.state.finalizer
        before = decided.late_events
        events = [self._of(event, subject, one.begins) for event in one.state.finalize(window, proposals)]
        self.late_events += decided.late_events - before
        self.worst_latency_s = max(self.worst_latency_s, decided.worst_latency_s)
        return events

    @property
    def open_actions(self) -> int:
        """How many actions of everybody are known and not final."""
        return sum(one.state.finalizer.open_actions for one in self._people.values())

    def _take(self, subject: int, one: _One) -> None:
        new = one.state.windows()
        self._due += [(subject, one, window) for window in new]
        self._new += new

    def _let_go(self, subject: int, end: float | None) -> None:
        one = self._people.pop(subject)
        time, newest = one.state.timing.timeline, one.state.newest
        inside = end is not None and newest is not None and end > newest - min(time.step, time.width)
        one.state.flush(end if inside else None)

    def _keep_few(self) -> None:
        """Let those go who were not seen for longest, where more were seen than twice as many as are followed."""
        while len(self._people) > 2 * self.most:
            subject = max(self._people, key=lambda s: self._people[s].unseen)
            one = self._people[subject]
            self._let_go(subject, None)
            self._take(subject, one)

    def _of(self, event: Event, subject: int, begins: float) -> Event:
        end = None if event.end is None else event.end + begins
        return replace(
            event, source=self._source, subject=subject, start=event.start + begins, end=end,
            decided_at=event.decided_at + begins, pts=event.pts + begins,
        )  # fmt: skip
