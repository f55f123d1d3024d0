"""Tracks of the open actions of a stream, and the matching of a window's segments to them.

Works on intervals of a class, without windows' features or events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Overlap (IoU, within what both windows saw) from which two segments of a class are the same action (our choice). A
#: little under one half, which whole snippets often meet exactly and times of two windows do not.
SAME = 0.499
#: Share of a segment that a final event covers, from which the segment is a duplicate (our choice).
COVERED = 0.799


@dataclass(slots=True)
class Track:
    """An action as the newest window sees it.

    strong: its score reaches the operating point. clipped: its start lies before every window that saw it, or is
    known from an earlier one. id: assigned with its first event. last_emitted: (start, end, score) of its last event.
    """

    label: int
    start: float
    end: float
    score: float
    strong: bool
    clipped: bool = False
    id: str = ""
    last_emitted: tuple[float, float | None, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON; `last_emitted` is called "told" in snapshots since their first version."""
        fields = asdict(self)
        fields["told"] = fields.pop("last_emitted")
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        last = fields["told"]
        others = {name: value for name, value in fields.items() if name != "told"}
        return cls(**others, last_emitted=None if last is None else tuple(last))


def shared(a: Sequence[Track], b: Sequence[Track], left: float, right: float) -> NDArray[np.float64]:
    """Compute the overlap (IoU) of each of `a` with each of `b` within [left, right), [A, B].

    Beyond `right` only `a` could continue and before `left` only `b` was seen, so neither counts. Rounded, as ties are
    common and their order must not hang on the last bit of a time.
    """
    (s, e), (t, f) = (np.clip(np.array([(x.start, x.end) for x in v]).reshape(-1, 2).T, left, right) for v in (a, b))
    inside = np.minimum(e[:, None], f) - np.maximum(s[:, None], t)
    union = (e - s)[:, None] + (f - t) - inside
    out = np.zeros(inside.shape)
    np.divide(inside, union, out=out, where=inside > 0)
    return out.round(6)


def pair(segments: Sequence[Track], tracks: Sequence[Track], left: float, right: float) -> list[int]:
    """Match each segment of this window to the track that it continues, or -1; each track continues once.

    The largest overlaps are taken first, then the order of both lists decides.
    """
    mates = [-1] * len(segments)
    if not tracks:
        return mates
    for label in dict.fromkeys(f.label for f in segments):
        rows = [i for i, f in enumerate(segments) if f.label == label]
        columns = [j for j, k in enumerate(tracks) if k.label == label]
        overlap = shared([segments[i] for i in rows], [tracks[j] for j in columns], left, right)
        r, c = np.nonzero(overlap >= SAME)
        taken: set[int] = set()
        for n in np.argsort(-overlap[r, c], kind="stable"):
            i, j = rows[r[n]], columns[c[n]]
            if mates[i] < 0 and j not in taken:
                mates[i] = j
                taken.add(j)
    return mates


def is_duplicate(segment: Track, finals: Sequence[Track]) -> bool:
    """Return whether the segment is an action that a final event already covers."""
    for f in finals:
        inside = min(segment.end, f.end) - max(segment.start, f.start)
        if f.label != segment.label or inside <= 0:
            continue
        length, other = segment.end - segment.start, f.end - f.start
        if inside >= SAME * (length + other - inside) or inside >= COVERED * length:
            return True
    return False
