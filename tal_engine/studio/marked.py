"""What labels say already: stretches that they explain, also where a head finds one action in pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from .beside import NEAR_S, parted

#: Overlap (tIoU) of two stretches from which on they mean the same action.
SAME = 0.3
#: A label is of the same action if it is nearer than this share of the usual length of its class.
SHARE = 0.5
#: And one of its class if no moment between the two, which are `NEAR_S` apart at most, has less actionness than this.
LASTS = 0.4


class Mark(NamedTuple):
    """A label: start == end for a point; label "" where nothing happens."""

    start: float
    end: float
    label: str


def overlap(a: Sequence[Any], b: Sequence[Any]) -> float:
    """Return the tIoU of two stretches by their first two values."""
    inter = min(a[1], b[1]) - max(a[0], b[0])
    union = max(a[1], b[1]) - min(a[0], b[0])
    return max(inter, 0.0) / union if union > 0 else 0.0


def widened(marks: Sequence[Mark], segments: Sequence[Sequence[Any]]) -> list[Mark]:
    """Widen points to what is found around them: the best segment of their class that holds them.

    Another segment there is most likely the same action, and to click it twice would say that there are two.
    """
    out = []
    for m in marks:
        holding = [s for s in segments if s[2] == m.label and s[0] <= m.start <= s[1]]
        if m.start == m.end and holding:
            best = max(holding, key=lambda s: s[3])
            m = Mark(min(best[0], m.start), max(best[1], m.end), m.label)
        out.append(m)
    return out


def explained(stretch: Sequence[Any], marks: Sequence[Mark]) -> bool:
    """Whether labels say already what happens in a stretch.

    A label does that overlaps by `SAME`, that lies inside (as a point does), or that holds the middle.
    """
    middle = (stretch[0] + stretch[1]) / 2
    return any(
        overlap(stretch, m) >= SAME
        or (m.label and stretch[0] <= m.start and m.end <= stretch[1])
        or m.start <= middle <= m.end
        for m in marks
    )


def usual_lengths(segments: Sequence[Sequence[Any]], thresholds: Mapping[str, float]) -> dict[str, float]:
    """Return how long actions of each class usually are, in seconds: the median of those that reach their threshold.

    Of a class without any the median of all that were found counts.

    Args:
        segments: that a head found: start, end, label, score.
        thresholds: of the score of each class.
    """
    sure, every = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for start, end, label, score in segments:
        every[label].append(end - start)
        if score >= thresholds.get(label, 0.5):
            sure[label].append(end - start)
    return {label: median(sure.get(label) or of) for label, of in every.items()}


def is_of_mark(
    stretch: Sequence[Any], marks: Sequence[Mark], usual: Mapping[str, float], lowest: Callable[[float, float], float]
) -> bool:
    """Whether a stretch is most likely a part of an action that is marked beside it, and that a head finds in pieces.

    Args:
        stretch: start, end, label; "" for any. Very near a label it does not count: heads call pieces otherwise.
        marks: labels of the video.
        usual: of `usual_lengths`.
        lowest: gives the least actionness between two moments.
    """
    start, end, label = stretch[:3]
    for m in marks:
        if not m.label:
            continue
        gap = max(m.start - end, start - m.end)
        between = (end, m.start) if m.start > end else (m.end, start)
        near = gap <= SHARE * usual.get(m.label, 0.0)
        lasts = label in ("", m.label) and gap <= NEAR_S and lowest(*between) >= LASTS
        if (near or lasts) and not parted(between, marks):
            return True
    return False
