"""Makes the events of one stream and their ids; what happened, and when, others decide."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from ..events import Event, Kind
from ..vocabulary import Vocabulary
from .window import Window


class Teller:
    """Knows the names: of the stream, the plan and the classes.

    Args:
        vocabulary: names of the classes.
        source: name of the stream.
        plan: "sha256:" and the plan's hash.
        pad: seconds that segments are made longer by on both sides, within the stream so far.
    """

    def __init__(self, vocabulary: Vocabulary, source: str, plan: str, pad: float) -> None:
        self._vocabulary, self.source, self._plan, self._pad = vocabulary, source, plan, pad
        #: Part of all ids, if streams of the same name may begin with the same times.
        self.session = ""
        #: Ids that were given.
        self.numbered = 0

    def new_id(self, label: int, start: float, right: float) -> str:
        """Return a new id: the same for the same stream, another for another stream of the same name."""
        self.numbered += 1
        source = f"{self.source}\n{self.session}" if self.session else self.source
        seen = f"{source}\n{self.numbered}\n{label}\n{start:.3f}\n{right:.3f}"
        return hashlib.sha256(seen.encode()).hexdigest()[:20]

    def event(
        self,
        kind: Kind,
        window: Window,
        *,
        known_as: str,
        label: int,
        score: float,
        start: float,
        end: float | None,
        truncated: bool = False,
        clipped: bool = False,
    ) -> Event:
        """Return an event that `window` decides; times are seconds before `pad`."""
        if self._pad:
            start = max(start - self._pad, window.origin)
            end = None if end is None else min(end + self._pad, window.right)
        moment = window.right if end is None else end
        return Event(
            kind=kind,
            id=known_as,
            source=self.source,
            label=self._vocabulary.name(label),
            label_id=label,
            score=score,
            start=start,
            end=end,
            decided_at=window.right,
            pts=window.pts,
            wall_time=None if window.wall is None else _utc(moment + window.wall),
            plan=self._plan,
            truncated=truncated,
            start_clipped=clipped,
        )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
