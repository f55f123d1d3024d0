"""Turn the proposals of successive windows of a stream into events, of which final ones never change.

Works on intervals, windows and the stream's timing, without frames, features or heads. The rules:

* Window k ends at b; the decision line lies the look-ahead before b. A segment that ends by the line, and after the
  line of window k - 1 minus a tolerance, becomes final. So each action is decided once the look-ahead has passed since
  its end, and never later than `StreamTiming.latency_s` after its end. Actions that continue at the line wait.
* Segments of one window do not suppress each other, since suppression has been done. A segment already covered by a
  final event of an earlier window is dropped as a duplicate.
* Once the window slides, starts leave it. Tracks remember them: a segment at the window's left edge that continues a
  track takes the track's start, and is marked as clipped.
* Actions longer than `max_action` are emitted in parts. Later segments of the class that end before a cut are dropped,
  and those across it start at the cut; segments of the same decision are exempt.
* At the end everything is decided. If nothing was decided before, the finals are the segments of the only window.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import Event, Kind
from ..inference.score_rule import ScoreRule
from ..options import StreamOptions
from ..records import Proposals
from ..vocabulary import Vocabulary
from .teller import Teller
from .tracker import Track, is_duplicate, pair
from .window import StreamTiming, Window

log = logging.getLogger("tal_engine")

#: What counts as the same moment, seconds: far under a frame, far over what float64 loses of a wall clock.
MOMENT = 1e-5
#: Change of score that causes an update, as a share of the score last emitted (our choice).
SCORE_CHANGE = 0.05


class Finalizer:
    """Decides when segments become events. Memory: the segments of one window, and the finals that still overlap it."""

    def __init__(
        self,
        timing: StreamTiming,
        options: StreamOptions,
        rule: ScoreRule,
        vocabulary: Vocabulary,
        source: str,
        plan: str,
    ) -> None:
        self._timing, self._options, self._rule = timing, options, rule
        self._teller = Teller(vocabulary, source, plan, options.pad)
        #: Finals decided later than `StreamTiming.latency_s` after their end; always 0 unless there is a bug.
        self.late_events = 0
        #: Seconds from the end of an action to its decision, the longest so far.
        self.worst_latency_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Forget all tracks: the stream starts, or restarts after a cut."""
        self._tracks: list[Track] = []
        self._finals: list[Track] = []
        self._line = self._right = float("-inf")
        self._moved = False
        #: Where the longest allowed action of a class was cut, by label.
        self._cuts: dict[int, float] = {}

    def set_session(self, session: str) -> None:
        """Make ids differ from those of other streams of the same name."""
        self._teller.session = session

    @property
    def decided(self) -> float:
        """Seconds up to which everything is decided; 0 at the start."""
        return max(self._line, 0.0)

    @property
    def open_actions(self) -> int:
        """Number of actions that are tracked and not final."""
        return sum(t.strong for t in self._tracks)

    def finalize(self, window: Window, proposals: Proposals) -> list[Event]:
        """Decide the events of one more window, whose `proposals` are suppressed, best first."""
        events: list[Event] = []
        if window.first > 0 and not self._moved:
            # Segments that leave now were wholly inside the previous window, for the last time.
            self._moved = True
            events += self._decide(window, self._right - self._timing.wait_inside_snippets * self._timing.timeline.step)
        self._finals = [f for f in self._finals if f.end > window.left]
        events += self._follow(window, self._tracks_of(window, proposals.data))
        wait = self._timing.wait_inside_snippets if self._moved else self._timing.look_ahead_snippets
        events += self._decide(window, window.right - (0 if window.last else wait * self._timing.timeline.step))
        events += (
            [self._withdraw(t, window) for t in self._tracks if t.last_emitted]
            if window.last
            else self._announce(window)
        )
        self._right = window.right
        if window.last:
            self.begin()
        return events

    def _tracks_of(self, window: Window, rows: NDArray[np.void]) -> list[Track]:
        """Turn this window's segments, best first, into tracks without a history."""
        floors = self._rule.floors
        finite = np.where(np.isfinite(floors), floors, 0.0)
        low = floors - self._options.hysteresis * np.abs(finite)
        most = self._rule.top_k or len(rows)
        tracks = []
        for i, row in enumerate(rows[rows["score"] >= low[rows["label"]]]):
            start, end, score, label = float(row["start"]), float(row["end"]), float(row["score"]), int(row["label"])
            clipped = window.first > 0 and start <= window.left + MOMENT
            if end > self._cuts.get(label, float("-inf")) + MOMENT:
                strong = bool(score >= floors[label]) and i < most
                tracks.append(self._after_cut(Track(label, start, end, score, strong, clipped)))
        return tracks

    def _after_cut(self, track: Track) -> Track:
        """Shorten a track to what lies after its class was last cut; the part before was emitted."""
        cut = self._cuts.get(track.label, float("-inf"))
        return replace(track, start=cut, clipped=True) if track.start < cut else track

    def _follow(self, window: Window, segments: Sequence[Track]) -> list[Event]:
        """Continue the tracks with the segments of this window; withdraw tracks without a segment."""
        earlier = [*self._tracks, *self._finals]
        mates = pair(segments, earlier, window.left, self._right)
        tracks = []
        for segment, mate in zip(segments, mates, strict=True):
            if mate >= len(self._tracks) or (mate < 0 and is_duplicate(segment, self._finals)):
                continue
            if mate >= 0:
                before = earlier[mate]
                segment.id, segment.last_emitted = before.id, before.last_emitted
                if segment.clipped and before.start < segment.start:
                    segment.start = before.start
            tracks.append(segment)
        lost = [t for j, t in enumerate(self._tracks) if t.last_emitted and j not in mates]
        self._tracks = tracks
        return [self._withdraw(t, window) for t in lost]

    def _decide(self, window: Window, line: float) -> list[Event]:
        """Emit finals of the tracks that end by the line; discard tracks that missed it."""
        events: list[Event] = []
        waiting: list[Track] = []
        decided: list[Track] = []
        oldest = self._line - self._timing.tolerance
        for track in self._tracks:
            rest = self._cut_long(track, line, oldest, window, decided, events)
            if rest.end > line + MOMENT:
                waiting.append(rest)
            elif rest.strong and rest.end > oldest + MOMENT and self._long_enough(rest):
                decided.append(rest)
                events.append(self._final(rest, window, truncated=window.last and rest.end > window.right - self._edge))
            elif rest.last_emitted:
                events.append(self._withdraw(rest, window))
        # Only after the loop: segments of one window do not suppress each other.
        self._tracks = [self._after_cut(t) for t in waiting]
        self._finals += decided
        self._line = max(self._line, line)
        return sorted(events, key=_place)

    @property
    def _edge(self) -> float:
        """Seconds before the newest moment within which an action may continue."""
        return self._timing.gap * self._timing.timeline.step - MOMENT

    def _long_enough(self, track: Track) -> bool:
        return track.end - track.start >= self._options.min_action - MOMENT

    def _cut_long(
        self, track: Track, line: float, oldest: float, window: Window, decided: list[Track], events: list[Event]
    ) -> Track:
        """Emit the parts of an action longer than `max_action`; return the rest of it."""
        if not self._options.max_action or not track.strong:
            return track
        longest = max(self._options.max_action, self._timing.timeline.step)
        while track.start + longest < min(track.end, line) - MOMENT:
            cut = max(track.start + longest, oldest + 2 * MOMENT)
            if cut >= track.end - MOMENT:
                break
            part = replace(track, end=cut)
            decided.append(part)
            events.append(self._final(part, window, truncated=True))
            self._cuts[track.label] = max(cut, self._cuts.get(track.label, cut))
            track = replace(track, start=cut, clipped=True, id="", last_emitted=None)
        return track

    def _announce(self, window: Window) -> list[Event]:
        """Emit provisional events of tracks that are new or have changed."""
        events = []
        for t in self._tracks:
            is_open = t.end > window.right - self._edge
            if not (t.last_emitted or (t.strong and (is_open or self._long_enough(t)))):
                continue
            now = (t.start, None if is_open else t.end, t.score)
            if t.last_emitted is None or self._differs(t.last_emitted, now):
                kind: Kind = "updated" if t.last_emitted else "started"
                t.last_emitted = now
                events.append(self._event(kind, t, window, end=now[1]))
        return events

    def _differs(self, a: tuple[float, float | None, float], b: tuple[float, float | None, float]) -> bool:
        step = self._timing.timeline.step + MOMENT
        if (a[1] is None) != (b[1] is None) or abs(a[0] - b[0]) > step:
            return True
        moved = a[1] is not None and b[1] is not None and abs(a[1] - b[1]) > step
        return moved or abs(a[2] - b[2]) > SCORE_CHANGE * abs(a[2])

    def _final(self, track: Track, window: Window, *, truncated: bool) -> Event:
        latency = window.seen - track.end
        self.worst_latency_s = max(self.worst_latency_s, latency)
        if latency > self._timing.latency_s + MOMENT:
            self.late_events += 1
            log.error(
                "%s: a final event is %.2f s late, %.2f s are promised",
                self._teller.source, latency, self._timing.latency_s,
            )  # fmt: skip
        return self._event("final", track, window, end=track.end, truncated=truncated)

    def _withdraw(self, track: Track, window: Window) -> Event:
        """Emit a withdrawn event with the last emitted values."""
        start, end, score = track.last_emitted or (track.start, None, track.score)
        return self._event("withdrawn", replace(track, start=start, score=score), window, end=end)

    def _event(
        self,
        kind: Kind,
        track: Track,
        window: Window,
        *,
        end: float | None,
        truncated: bool = False,
    ) -> Event:
        track.id = track.id or self._teller.new_id(track.label, track.start, window.right)
        return self._teller.event(
            kind, window, known_as=track.id, label=track.label, score=track.score, start=track.start, end=end,
            truncated=truncated, clipped=track.clipped,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to resume, ready for JSON."""
        return {
            "tracks": [t.to_dict() for t in self._tracks],
            "finals": [t.to_dict() for t in self._finals],
            "line": _number(self._line),
            "right": _number(self._right),
            "moved": self._moved,
            "cuts": [[label, at] for label, at in self._cuts.items()],
            "numbered": self._teller.numbered,
            "session": self._teller.session,
            "late_events": self.late_events,
            "worst_latency_s": self.worst_latency_s,
        }

    def restore(self, numbers: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self._tracks = [Track.from_dict(t) for t in numbers["tracks"]]
        self._finals = [Track.from_dict(t) for t in numbers["finals"]]
        self._line, self._right = (float("-inf") if numbers[n] is None else numbers[n] for n in ("line", "right"))
        self._moved, self._teller.numbered = numbers["moved"], numbers["numbered"]
        self._teller.session = numbers.get("session", "")
        self._cuts = dict(numbers["cuts"])
        self.late_events, self.worst_latency_s = numbers["late_events"], numbers["worst_latency_s"]


def _place(event: Event) -> tuple[float, float, int]:
    """Return an event's sort key within one decision; rounded, as ties are common and hang on a time's last bit."""
    return round(event.end or 0.0, 5), round(event.start, 5), event.label_id


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
