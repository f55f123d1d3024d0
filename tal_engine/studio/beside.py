"""Labels beside a question that may be of the same action: to mark an action twice says that there are two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: A label that is so near, seconds, may be of the action that is asked about.
NEAR_S = 8.0


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

    >>> from tal_engine.studio.marked import Mark
    >>> beside(2.0, 4.0, "jump", [Mark(6.5, 6.5, "jump")])
    ". 'jump' is marked 2.5 s later: reject this if it is the same action"
    """
    gaps = [(max(m.start - end, start - m.end), m) for m in marks if m.label and label in ("", m.label)]
    gap, near = min(gaps, key=lambda g: g[0], default=(NEAR_S + 1, None))
    between = (end, end + gap) if near is not None and near.start > end else (start - gap, start)
    if near is None or gap > NEAR_S or parted(between, marks):
        return ""
    where = f"{gap:.1f} s {'later' if near.start > end else 'earlier'}" if gap > 0 else "in it"
    return f". {near.label!r} is marked {where}: reject this if it is the same action"


def parted(between: tuple[float, float], marks: Sequence[Marked]) -> bool:
    """Whether somebody said that nothing happens somewhere in a stretch.

    Args:
        between: start and end, seconds.
        marks: labels of the video.
    """
    return any(not m.label and m.start < between[1] and m.end > between[0] for m in marks)
