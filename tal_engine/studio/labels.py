"""A label as people make it, and what a change of one is: checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from ..errors import UsageError

LabelKind = Literal["point", "segment", "nothing"]
KINDS: tuple[LabelKind, ...] = get_args(LabelKind)
Op = Literal["add", "change", "remove"]
OPS: tuple[Op, ...] = get_args(Op)
#: A label may end this many seconds after its video: ends of files are not known more exactly.
_SLACK_S = 0.5
_LONGEST_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody says of a video: a moment, a stretch, or that nothing happens there. Times in seconds.

    label: the class; "" where nothing happens. revision: of the project when it was last changed, which orders
    labels; edited: the time then by the clock of the machine, which is only shown.
    """

    id: str
    video: str
    kind: LabelKind
    start: float
    end: float
    label: str
    subject: str = ""
    note: str = ""
    author: str = ""
    edited: str = ""
    revision: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {name: getattr(self, name) for name in _FIELDS}  # asdict copies each value: ten times as long

    def same(self, other: Label) -> bool:
        """Whether another label says the same, whoever said it."""
        return _said(self) == _said(other)


_FIELDS = tuple(f.name for f in fields(Label))


def _said(x: Label) -> tuple[object, ...]:
    return x.id, x.video, x.kind, x.start, x.end, x.label, x.subject, x.note


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one label; base: the revision of the label that it was made on, 0 for one that was not there."""

    op: Op
    label: Label
    base: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {"op": self.op, "label": self.label.document, "base": self.base}

    def about(self, subject: str) -> Change:
        """Return the same change of a label about somebody."""
        return replace(self, label=replace(self.label, subject=subject))


def label_of(document: Mapping[str, Any]) -> Label:
    """Make a label of what `Label.document` gave."""
    return Label(**document)


def checked(label: Label, duration: float, classes: Collection[str]) -> Label:
    """Return a label as it is stored: a point ends where it starts, and times lie in the video.

    Args:
        label: as it came.
        duration: of its video, seconds; 0 where it is not known.
        classes: that there are.

    Raises:
        UsageError: a value makes no sense; it is named, and what is allowed.

    >>> checked(Label("a", "v", "point", 1.0, 0.0, "jump"), 9.0, ["jump"]).end
    1.0
    """
    if label.kind not in KINDS:
        raise UsageError(f"kind is {label.kind!r}, must be one of {', '.join(KINDS)}")
    if label.kind == "nothing" and label.label:
        raise UsageError(f"label is {label.label!r}, must be empty where nothing happens")
    if label.kind != "nothing" and label.label not in classes:
        allowed = ", ".join(sorted(classes)) or "none yet: add one first"
        raise UsageError(f"label is {label.label[:100]!r}, must be a class of the project ({allowed})")
    if not label.id or len(label.id) > 100:
        raise UsageError(f"id is {label.id[:100]!r}, must be 1 to 100 characters")
    for name in ("subject", "note", "author"):
        if len(getattr(label, name)) > _LONGEST_TEXT:
            raise UsageError(f"{name} has {len(getattr(label, name))} characters, at most {_LONGEST_TEXT}")
    start, end = float(label.start), float(label.start if label.kind == "point" else label.end)
    if not (math.isfinite(start) and math.isfinite(end)):
        raise UsageError(f"start is {start:g} and end {end:g}, must be finite")
    most = duration + _SLACK_S if duration else math.inf
    if not 0 <= start <= end <= most:
        raise UsageError(f"start is {start:g} and end {end:g}, must be 0 <= start <= end <= {most:g} s")
    if label.kind != "point" and start == end:
        raise UsageError(f"start and end are {start:g}, a {label.kind} must take some time; a moment is a point")
    return replace(label, start=start, end=end)
