"""The one table that every annotation format is read into and written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

Kind = Literal["segment", "point", "video"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing that somebody, or a model, says of a video.

    A segment has a start and an end, a point only a start, a label of the whole video neither.

    Attributes:
        video: name of the video, as its file calls it.
        label: name of the action or behaviour.
        start: seconds from the first frame, or None.
        end: seconds; the first moment after the action, or None.
        subject: who does it; "" where nobody is named.
        score: of a prediction; None where a person said it.
        comment: free text.

    Example:
        >>> Annotation("mouse.mp4", "groom", 1.5, 3.0).kind
        'segment'
    """

    video: str
    label: str
    start: float | None = None
    end: float | None = None
    subject: str = ""
    score: float | None = None
    comment: str = ""

    @property
    def kind(self) -> Kind:
        """What it is, by the times that it has."""
        return "video" if self.start is None else "point" if self.end is None else "segment"


@dataclass(frozen=True, slots=True)
class Media:
    """What a file says of a video that it annotates: its path, duration in seconds, frame rate, size and frames."""

    path: str = ""
    duration: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None


_TEXTS = ("video", "label", "subject", "comment")
_NUMBERS = ("start", "end", "score")


@dataclass(frozen=True, eq=False)
class AnnotationTable:
    """Annotations by column, so that a million of them are read in about a second.

    Attributes:
        video, label, subject, comment: [N] str objects; "" where there is none.
        start, end, score: [N] float64; NaN where there is none. Times are seconds.
        media: by name of the video, what the file says of it.
        notes: what the reader left out or assumed, a sentence each.

    Raises:
        DataError: columns of different lengths.

    Example:
        >>> table = AnnotationTable.of([Annotation("a.mp4", "jump", 1.0, 2.0)])
        >>> len(table), table.labels
        (1, ('jump',))
    """

    video: NDArray[np.object_]
    label: NDArray[np.object_]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    subject: NDArray[np.object_]
    score: NDArray[np.float64]
    comment: NDArray[np.object_]
    media: Mapping[str, Media] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in (*_TEXTS, *_NUMBERS)}
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns of different lengths: {lengths}")

    @classmethod
    def of(
        cls, rows: Iterable[Annotation], media: Mapping[str, Media] | None = None, notes: Iterable[str] = ()
    ) -> AnnotationTable:
        """Make a table of annotations."""
        kept = list(rows)
        texts: dict[str, Any] = {name: objects([getattr(r, name) for r in kept]) for name in _TEXTS}
        numbers: dict[str, Any] = {
            name: np.array([_number(getattr(r, name)) for r in kept], float) for name in _NUMBERS
        }
        return cls(**texts, **numbers, media=dict(media or {}), notes=tuple(notes))

    def __len__(self) -> int:
        return len(self.video)

    def __iter__(self) -> Iterator[Annotation]:
        columns = (self.video, self.label, self.start, self.end, self.subject, self.score, self.comment)
        for video, label, start, end, subject, score, comment in zip(*(c.tolist() for c in columns), strict=True):
            yield Annotation(video, label, _value(start), _value(end), subject, _value(score), comment)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AnnotationTable):
            return NotImplemented
        same = all(np.array_equal(getattr(self, n), getattr(other, n)) for n in _TEXTS)
        return same and all(np.array_equal(getattr(self, n), getattr(other, n), equal_nan=True) for n in _NUMBERS)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Names of all videos: of those with media first, then as they occur."""
        return tuple(dict.fromkeys([*self.media, *self.video.tolist()]))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted(set(self.label.tolist())))

    @property
    def kinds(self) -> NDArray[np.str_]:
        """[N] "segment", "point" or "video"."""
        timed = np.where(np.isnan(self.end), "point", "segment")
        return np.where(np.isnan(self.start), "video", timed)

    def where(self, mask: NDArray[Any]) -> AnnotationTable:
        """Select rows by a mask [N] or by indices, with the same media and notes."""
        columns: dict[str, Any] = {name: getattr(self, name)[mask] for name in (*_TEXTS, *_NUMBERS)}
        return AnnotationTable(**columns, media=self.media, notes=self.notes)

    def of_video(self, name: str) -> AnnotationTable:
        """Select the rows of one video, by start; labels of the whole video come first."""
        rows = self.where(np.flatnonzero(self.video == name))
        rows = replace(rows, media={name: self.media[name]} if name in self.media else {})
        return rows.where(np.lexsort((np.nan_to_num(rows.end, nan=-1.0), np.nan_to_num(rows.start, nan=-1.0))))


def joined(tables: Iterable[AnnotationTable]) -> AnnotationTable:
    """Concatenate several tables in their order."""
    parts = list(tables)
    if len(parts) == 1:
        return parts[0]
    texts: dict[str, Any] = {n: np.concatenate([objects([]), *(getattr(t, n) for t in parts)]) for n in _TEXTS}
    numbers: dict[str, Any] = {n: np.concatenate([np.zeros(0), *(getattr(t, n) for t in parts)]) for n in _NUMBERS}
    media = {name: m for t in parts for name, m in t.media.items()}
    return AnnotationTable(**texts, **numbers, media=media, notes=tuple(x for t in parts for x in t.notes))


def objects(values: Iterable[str]) -> NDArray[np.object_]:
    """Create an [N] array of texts as Python objects, which neither pads nor cuts them."""
    kept = list(values)
    column = np.empty(len(kept), object)
    column[:] = kept
    return column


def lanes(table: AnnotationTable) -> list[AnnotationTable]:
    """Split rows so that none overlap within a part, in as few parts as can be; rows are sorted by start.

    Touching segments do not overlap. For formats whose tiers hold no overlaps.
    """
    order = np.lexsort((table.end, table.start))
    ends: list[float] = []
    rows: list[list[int]] = []
    for i in order.tolist():
        start, end = float(table.start[i]), float(table.end[i])
        free = next((k for k, last in enumerate(ends) if last <= start), None)
        if free is None:
            free = len(ends)
            ends.append(0.0)
            rows.append([])
        ends[free] = end
        rows[free].append(i)
    return [table.where(np.array(r, int)) for r in rows]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _value(number: float) -> float | None:
    return None if number != number else number
