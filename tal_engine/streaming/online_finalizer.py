"""Turn what an online head gives, snippet by snippet, into events within the promised times.

The rule is `inference.online_machine`'s; this knows the clock: middles of snippets become seconds, what is told late is
counted, and actions get ids.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np

from ..events import Event
from ..inference.online_machine import BEGIN, Decision, OnlineMachine
from ..inference.online_scoring import Reading
from ..inference.score_rule import ScoreRule
from ..options import StreamOptions
from ..plan.online_fields import OnlineOptions
from ..vocabulary import Vocabulary
from .finalizer import MOMENT
from .teller import Teller
from .window import OnlineTiming, Window

log = logging.getLogger("tal_engine")


class OnlineFinalizer:
    """Decides the events of one stream. Memory: the machine's, and an id for each start that waits."""

    def __init__(
        self,
        timing: OnlineTiming,
        options: StreamOptions,
        online: OnlineOptions,
        rule: ScoreRule,
        vocabulary: Vocabulary,
        source: str,
        plan: str,
    ) -> None:
        self._timing, self._online, self._rule = timing, online, rule
        self._teller = Teller(vocabulary, source, plan, options.pad)
        step = timing.timeline.step
        longest = max(options.max_action / step, 1.0) if options.max_action else 0.0
        self._machine = OnlineMachine(online, rule.floors, options.min_action / step, longest)
        #: Finals, and starts, told later than promised; always 0 unless there is a bug.
        self.late_events = 0
        #: Seconds from the end of an action to its final, and from its onset to its start: the longest so far.
        self.worst_latency_s = self.worst_start_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Forget all actions: the stream starts, or restarts after a cut."""
        self._machine.begin()
        self._ids: dict[int, str] = {}
        self._right = 0.0

    def set_session(self, session: str) -> None:
        """Make ids differ from those of other streams of the same name."""
        self._teller.session = session

    @property
    def decided(self) -> float:
        """Seconds up to which everything is decided; 0 at the start."""
        return max(self._right - self._timing.latency_s, 0.0)

    @property
    def open_actions(self) -> int:
        """Number of actions that were told and are not final."""
        return self._machine.open_actions

    def finalize(self, window: Window, reading: Reading) -> list[Event]:
        """Decide the events of the next snippet; of the last window, those of the look-ahead after the end.

        Raises:
            FeatureError: the head gave activations that are NaN or infinite.
        """
        out = reading.outputs
        told: list[Decision] = []
        for i in range(len(out["cas"])):
            told += self._machine.step(None if window.last else out["now"][i], out["cas"][i])
        if window.last:
            told += self._machine.finish()
        events = [self._event(d, window) for d in told]
        self._right = window.right
        if window.last:
            self.begin()
        return events

    def _event(self, d: Decision, window: Window) -> Event:
        start = self._seconds(d.start, window)
        end = None if d.end is None else max(self._seconds(d.end, window), start)
        score = float(self._rule.maps[d.label](np.array([d.score]))[0]) if self._rule.maps else d.score
        self._time(d, window, start, end)
        ids = self._ids
        known = ids.get(d.action) or self._teller.new_id(d.label, start, window.right)
        if d.kind in ("final", "withdrawn"):
            ids.pop(d.action, None)
        else:
            ids[d.action] = known
        return self._teller.event(
            d.kind, window, known_as=known, label=d.label, score=score, start=start, end=end, truncated=d.cut,
            clipped=d.clipped,
        )  # fmt: skip

    def _seconds(self, place: float, window: Window) -> float:
        """Return the seconds of a place on the line of snippets, within the stream."""
        if place <= BEGIN:
            return window.origin
        if math.isinf(place):
            return window.right
        time = self._timing.timeline
        return min(max(window.origin + place * time.step + time.width / 2, window.origin), window.right)

    def _time(self, d: Decision, window: Window, start: float, end: float | None) -> None:
        """Count how late a final, or a start, is told."""
        if d.kind == "final" and end is not None:
            latency, promised = window.seen - end, self._timing.latency_s
            self.worst_latency_s = max(self.worst_latency_s, latency)
        elif d.kind == "started":
            latency, promised = window.seen - start, self._timing.start_latency_s
            self.worst_start_s = max(self.worst_start_s, latency)
        else:
            return
        if latency > promised + MOMENT:
            self.late_events += 1
            log.error(
                "%s: a %s event is %.2f s late, %.2f s are promised", self._teller.source, d.kind, latency, promised
            )

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to resume, ready for JSON."""
        return {
            "machine": self._machine.state(),
            "ids": [[action, known] for action, known in self._ids.items()],
            "right": self._right,
            "numbered": self._teller.numbered,
            "session": self._teller.session,
            "late_events": self.late_events,
            "worst_latency_s": self.worst_latency_s,
            "worst_start_s": self.worst_start_s,
        }

    def restore(self, numbers: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self._machine.restore(numbers["machine"])
        self._ids, self._right = dict(numbers["ids"]), numbers["right"]
        self._teller.numbered, self._teller.session = numbers["numbered"], numbers["session"]
        self.late_events = numbers["late_events"]
        self.worst_latency_s, self.worst_start_s = numbers["worst_latency_s"], numbers["worst_start_s"]
