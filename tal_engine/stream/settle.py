"""Which actions of a stream are settled: proposals of window after window become events that do not change.

Knows intervals, their windows and the pace; knows nothing of frames, features or heads. The rules:

* Window k ends at b, the decision line lies the look-ahead before b. A segment that ends by the line, and after the
  line of window k - 1 less a slack, becomes final. So each action is decided when its end has had the look-ahead, and
  none later than `Pace.latency_s` after its end. What goes on at the line waits.
* Segments of one window do not suppress each other: suppression has done that. A segment that a final of an earlier
  window told already is no news.
* Once the window moves, starts get lost. Tracks know them: a segment at the window's left edge that goes on with a
  track takes its start, and is marked.
* What is longer than allowed is told in parts. Of its class nothing that ends by a cut is news any more, and what goes
  on there begins at the cut; but not what the same decision tells.
* At the end everything is decided. If nothing was before, the finals are what the one window gives, unchanged.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..events import Event
from ..options import SegmentOptions, StreamOptions
from ..records import Proposals
from ..vocabulary import Vocabulary
from .tracks import Track, pair, told_already
from .window import Pace, Window

log = logging.getLogger("tal_engine")

#: What counts as the same moment, seconds: far under a frame, far over what float64 loses of a wall clock.
MOMENT = 1e-5
#: A change of score that is worth an update, as a share of the score that was told (our choice).
SCORE_CHANGE = 0.05


class Settler:
    """Decides. Memory: the segments of one window, and the finals that still lie in it."""

    def __init__(
        self,
        pace: Pace,
        options: StreamOptions,
        segment: SegmentOptions,
        vocabulary: Vocabulary,
        source: str,
        plan: str,
    ) -> None:
        self._pace, self._options, self._segment = pace, options, segment
        self._vocabulary, self._source, self._plan = vocabulary, source, plan
        self._numbered = 0
        #: Part of all ids, where a stream of the same name may begin with the same times.
        self.session = ""
        #: Finals that were decided later than `Pace.latency_s` after their end: none, ever.
        self.late_events = 0
        #: Seconds from the end of an action to its decision, the longest so far.
        self.worst_latency_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Nothing is known: the stream starts, or starts again after a cut."""
        self._tracks: list[Track] = []
        self._finals: list[Track] = []
        self._line = self._right = float("-inf")
        self._moved = False
        #: Where the longest allowed action of a class was cut, by label.
        self._cuts: dict[int, float] = {}

    @property
    def open_actions(self) -> int:
        """Actions that are known and not settled."""
        return sum(t.strong for t in self._tracks)

    def settle(self, window: Window, proposals: Proposals) -> list[Event]:
        """Events of one more window, whose `proposals` are suppressed, best first."""
        told: list[Event] = []
        if window.first > 0 and not self._moved:
            # What leaves now was seen whole by the window before, for the last time.
            self._moved = True
            told += self._decide(window, self._right - self._pace.wait_inside * self._pace.timeline.step)
        self._finals = [f for f in self._finals if f.end > window.left]
        told += self._follow(window, self._found(window, proposals.data))
        wait = self._pace.wait_inside if self._moved else self._pace.wait
        told += self._decide(window, window.right - (0 if window.last else wait * self._pace.timeline.step))
        told += [self._withdraw(t, window) for t in self._tracks if t.told] if window.last else self._announce(window)
        self._right = window.right
        if window.last:
            self.begin()
        return told

    def _found(self, window: Window, rows: NDArray[np.void]) -> list[Track]:
        """Segments of this window, best first, as tracks that nothing is known of."""
        floor = self._segment.min_score
        low = floor - self._options.hysteresis * abs(floor) if np.isfinite(floor) else floor
        most = self._segment.top_k or len(rows)
        found = []
        for i, row in enumerate(rows[rows["score"] >= low]):
            start, end, score, label = float(row["start"]), float(row["end"]), float(row["score"]), int(row["label"])
            clipped = window.first > 0 and start <= window.left + MOMENT
            if end > self._cuts.get(label, float("-inf")) + MOMENT:
                strong = score >= floor and i < most
                found.append(self._after_cut(Track(label, start, end, score, strong, clipped)))
        return found

    def _after_cut(self, track: Track) -> Track:
        """What is left of it: what of its class was cut off is not told again."""
        cut = self._cuts.get(track.label, float("-inf"))
        return replace(track, start=cut, clipped=True) if track.start < cut else track

    def _follow(self, window: Window, found: Sequence[Track]) -> list[Event]:
        """Let the tracks go on with the segments of this window; withdraw those that do not."""
        known = [*self._tracks, *self._finals]
        mates = pair(found, known, window.left, self._right)
        tracks = []
        for segment, mate in zip(found, mates, strict=True):
            if mate >= len(self._tracks) or (mate < 0 and told_already(segment, self._finals)):
                continue
            if mate >= 0:
                before = known[mate]
                segment.id, segment.told = before.id, before.told
                if segment.clipped and before.start < segment.start:
                    segment.start = before.start
            tracks.append(segment)
        lost = [t for j, t in enumerate(self._tracks) if t.told and j not in mates]
        self._tracks = tracks
        return [self._withdraw(t, window) for t in lost]

    def _decide(self, window: Window, line: float) -> list[Event]:
        """Finals of the tracks that end by the line; tracks that missed it are gone."""
        told: list[Event] = []
        waiting: list[Track] = []
        made: list[Track] = []
        oldest = self._line - self._pace.slack
        for track in self._tracks:
            rest = self._cut_long(track, line, oldest, window, made, told)
            if rest.end > line + MOMENT:
                waiting.append(rest)
            elif rest.strong and rest.end > oldest + MOMENT and self._long_enough(rest):
                made.append(rest)
                told.append(self._final(rest, window, truncated=window.last and rest.end > window.right - self._edge))
            elif rest.told:
                told.append(self._withdraw(rest, window))
        # Only now: segments of one window do not suppress each other.
        self._tracks = [self._after_cut(t) for t in waiting]
        self._finals += made
        self._line = max(self._line, line)
        return sorted(told, key=_place)

    @property
    def _edge(self) -> float:
        """Seconds before the newest moment in which an action still goes on."""
        return self._pace.gap * self._pace.timeline.step - MOMENT

    def _long_enough(self, track: Track) -> bool:
        return track.end - track.start >= self._options.min_action - MOMENT

    def _cut_long(
        self, track: Track, line: float, oldest: float, window: Window, made: list[Track], told: list[Event]
    ) -> Track:
        """Tell of the parts of an action that is longer than allowed; what is left of it."""
        if not self._options.max_action or not track.strong:
            return track
        longest = max(self._options.max_action, self._pace.timeline.step)
        while track.start + longest < min(track.end, line) - MOMENT:
            cut = max(track.start + longest, oldest + 2 * MOMENT)
            if cut >= track.end - MOMENT:
                break
            part = replace(track, end=cut)
            made.append(part)
            told.append(self._final(part, window, truncated=True))
            self._cuts[track.label] = max(cut, self._cuts.get(track.label, cut))
            track = replace(track, start=cut, clipped=True, id="", told=None)
        return track

    def _announce(self, window: Window) -> list[Event]:
        """Tell of what is known and not settled, where it is new or has changed."""
        told = []
        for t in self._tracks:
            is_open = t.end > window.right - self._edge
            if not (t.told or (t.strong and (is_open or self._long_enough(t)))):
                continue
            now = (t.start, None if is_open else t.end, t.score)
            if t.told is None or self._differs(t.told, now):
                kind: Literal["new", "update"] = "update" if t.told else "new"
                t.told = now
                told.append(self._event(kind, t, window, "provisional", end=now[1]))
        return told

    def _differs(self, a: tuple[float, float | None, float], b: tuple[float, float | None, float]) -> bool:
        step = self._pace.timeline.step + MOMENT
        if (a[1] is None) != (b[1] is None) or abs(a[0] - b[0]) > step:
            return True
        moved = a[1] is not None and b[1] is not None and abs(a[1] - b[1]) > step
        return moved or abs(a[2] - b[2]) > SCORE_CHANGE * abs(a[2])

    def _final(self, track: Track, window: Window, *, truncated: bool) -> Event:
        latency = window.seen - track.end
        self.worst_latency_s = max(self.worst_latency_s, latency)
        if latency > self._pace.latency_s + MOMENT:
            self.late_events += 1
            log.error("%s: a final is %.2f s late, %.2f s are promised", self._source, latency, self._pace.latency_s)
        return self._event("end", track, window, "final", end=track.end, truncated=truncated)

    def _withdraw(self, track: Track, window: Window) -> Event:
        """Take back what was told last."""
        start, end, score = track.told or (track.start, None, track.score)
        return self._event("end", replace(track, start=start, score=score), window, "withdrawn", end=end)

    def _event(
        self,
        kind: Literal["new", "update", "end"],
        track: Track,
        window: Window,
        status: Literal["provisional", "final", "withdrawn"],
        *,
        end: float | None,
        truncated: bool = False,
    ) -> Event:
        track.id = track.id or self._new_id(track, window)
        pad = self._options.pad
        start = max(track.start - pad, window.origin) if pad else track.start
        if end is not None and pad:
            end = min(end + pad, window.right)
        moment = window.right if end is None else end
        return Event(
            type=kind,
            id=track.id,
            source=self._source,
            label=self._vocabulary.name(track.label),
            class_id=track.label,
            score=track.score,
            start_time=start,
            end_time=end,
            status=status,
            decided_at=window.right,
            pts=window.pts,
            wall_time=None if window.wall is None else _utc(moment + window.wall),
            plan=self._plan,
            truncated=truncated,
            start_clipped=track.clipped,
        )

    def _new_id(self, track: Track, window: Window) -> str:
        """The same for the same stream; another one for another stream of the same name."""
        self._numbered += 1
        source = f"{self._source}\n{self.session}" if self.session else self._source
        seen = f"{source}\n{self._numbered}\n{track.label}\n{track.start:.3f}\n{window.right:.3f}"
        return hashlib.sha256(seen.encode()).hexdigest()[:20]

    def state(self) -> dict[str, Any]:
        """What `restore` goes on from, ready for JSON."""
        return {
            "tracks": [t.to_dict() for t in self._tracks],
            "finals": [t.to_dict() for t in self._finals],
            "line": _number(self._line),
            "right": _number(self._right),
            "moved": self._moved,
            "cuts": [[label, at] for label, at in self._cuts.items()],
            "numbered": self._numbered,
            "session": self.session,
            "late_events": self.late_events,
            "worst_latency_s": self.worst_latency_s,
        }

    def restore(self, found: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._tracks = [Track.from_dict(t) for t in found["tracks"]]
        self._finals = [Track.from_dict(t) for t in found["finals"]]
        self._line, self._right = (float("-inf") if found[n] is None else found[n] for n in ("line", "right"))
        self._moved, self._numbered = found["moved"], found["numbered"]
        self.session = found.get("session", "")
        self._cuts = dict(found["cuts"])
        self.late_events, self.worst_latency_s = found["late_events"], found["worst_latency_s"]


def _place(event: Event) -> tuple[float, float, int]:
    """Of an event among those of one decision; rounded, as ties are common and hang on the last bit of a time."""
    return round(event.end_time or 0.0, 5), round(event.start_time, 5), event.class_id


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
