"""Labels beside a question that may be of the same action: to mark an action twice says that there are two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Protocol

#: A label that is so near, seconds, may be of the action that is asked about.
NEAR_S = 8.0


#: A label of a class is of the same action if it is nearer than this share of the usual length of its class.
SHARE = 0.5


class Marked(Protocol):
    """A label: start == end for a point; label "" where nothing happens."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def label(self) -> str: ...


def beside(start: float, end: float, label: str, marks: Sequence[Marked]) -> str:
    """Name the nearest label that may be of the action that is asked about, and what to answer then; "" for none.

    Args:
        start: of the question, seconds.
        end: of the question, seconds.
        label: its class; "" for any.
        marks: labels of the video.

    >>> from tal_engine.studio.questions import Mark
    >>> beside(2.0, 4.0, "jump", [Mark(6.5, 6.5, "jump")])
    ". 'jump' is marked 2.5 s later: reject this if it is the same action"
    """
    gaps = [(max(m.start - end, start - m.end), m) for m in marks if m.label and label in ("", m.label)]
    gap, near = min(gaps, key=lambda g: g[0], default=(NEAR_S + 1, None))
    between = (end, end + gap) if near is not None and near.start > end else (start - gap, start)
    if near is None or gap > NEAR_S or _parted(between, marks):
        return ""
    where = f"{gap:.1f} s {'later' if near.start > end else 'earlier'}" if gap > 0 else "in it"
    return f". {near.label!r} is marked {where}: reject this if it is the same action"


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


def is_of_mark(stretch: Sequence[Any], marks: Sequence[Marked], usual: Mapping[str, float]) -> bool:
    """Whether a stretch is most likely a part of an action that is marked beside it, and that a head finds in pieces.

    Args:
        stretch: start, end, label; label "" for any.
        marks: labels of the video.
        usual: of `usual_lengths`.
    """
    start, end, label = stretch[:3]
    for m in marks:
        if not m.label or (label and label != m.label):
            continue
        gap = max(m.start - end, start - m.end)
        between = (end, m.start) if m.start > end else (m.end, start)
        if gap <= SHARE * usual.get(m.label, 0.0) and not _parted(between, marks):
            return True
    return False


def _parted(between: tuple[float, float], marks: Sequence[Marked]) -> bool:
    """Whether somebody said that nothing happens somewhere in a stretch."""
    return any(not m.label and m.start < between[1] and m.end > between[0] for m in marks)
