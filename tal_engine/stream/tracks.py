"""What is known of each action that a stream has not settled yet, and which segment goes on with which.

Knows intervals of a class; knows nothing of windows' features or of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

#: Two segments of a class are the same action if they overlap by so much of what both windows saw (our choice). A
#: little under the half, which whole snippets often meet exactly and times of two windows do not.
SAME = 0.499
#: A segment of which a final already told so much is no news (our choice).
COVERED = 0.799


@dataclass(slots=True)
class Track:
    """An action as the newest window sees it.

    strong: its score reaches the operating point. clipped: its start lies before every window that saw it, or is
    known from an earlier one. id: given when it is first told of. told: what was said last, (start, end, score).
    """

    label: int
    start: float
    end: float
    score: float
    strong: bool
    clipped: bool = False
    id: str = ""
    told: tuple[float, float | None, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """What `to_dict` gave."""
        told = found["told"]
        return cls(**{**found, "told": None if told is None else tuple(told)})


def shared(a: Sequence[Track], b: Sequence[Track], left: float, right: float) -> NDArray[np.float64]:
    """Overlap (intersection over union) of each of `a` with each of `b` within [left, right), [A, B].

    Beyond `right` only `a` could go on and before `left` only `b` was seen, so neither counts. Rounded, as ties are
    common and their order must not hang on the last bit of a time.
    """
    (s, e), (t, f) = (np.clip(np.array([(x.start, x.end) for x in v]).reshape(-1, 2).T, left, right) for v in (a, b))
    inside = np.minimum(e[:, None], f) - np.maximum(s[:, None], t)
    union = (e - s)[:, None] + (f - t) - inside
    out = np.zeros(inside.shape)
    np.divide(inside, union, out=out, where=inside > 0)
    return out.round(6)


def pair(found: Sequence[Track], known: Sequence[Track], left: float, right: float) -> list[int]:
    """For each segment found now the track that it goes on with, or -1; each track goes on once.

    The largest overlaps are taken first, then the order of both lists decides.
    """
    out = [-1] * len(found)
    if not known:
        return out
    for label in dict.fromkeys(f.label for f in found):
        rows = [i for i, f in enumerate(found) if f.label == label]
        columns = [j for j, k in enumerate(known) if k.label == label]
        overlap = shared([found[i] for i in rows], [known[j] for j in columns], left, right)
        r, c = np.nonzero(overlap >= SAME)
        taken: set[int] = set()
        for n in np.argsort(-overlap[r, c], kind="stable"):
            i, j = rows[r[n]], columns[c[n]]
            if out[i] < 0 and j not in taken:
                out[i] = j
                taken.add(j)
    return out


def told_already(segment: Track, finals: Sequence[Track]) -> bool:
    """The segment is an action that one of the finals told."""
    for f in finals:
        inside = min(segment.end, f.end) - max(segment.start, f.start)
        if f.label != segment.label or inside <= 0:
            continue
        length, other = segment.end - segment.start, f.end - f.start
        if inside >= SAME * (length + other - inside) or inside >= COVERED * length:
            return True
    return False
