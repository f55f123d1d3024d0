"""Labels of videos: what each video gives, and what was left out of the file that they were read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...records import Segment
from ..points import Point
from ..truth import AnnotatedVideo
from .label_rows import KINDS, Kind, Problem

#: Videos (or groups of them) that `tal fit` needs of a class: two thirds to train on and one to be held out.
LEAST_VIDEOS = 3


@dataclass(frozen=True)
class VideoLabels:
    """One video and what is known about it; times in seconds.

    name: what the video is called from now on. path: its file, None where no folder was given. told: classes that were
    given for the video as a whole. background: somebody said that none of the actions occurs. subset: "" where the file
    names none. duration: 0 where it is not known. ambiguous: stretches that were annotated as undecidable. group: such
    as the person in it; videos of one group are held out together. "" where the file does not say.
    """

    name: str
    path: Path | None = None
    told: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    segments: tuple[Segment, ...] = ()
    background: bool = False
    subset: str = ""
    duration: float = 0.0
    ambiguous: tuple[tuple[float, float], ...] = ()
    group: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes that are known to occur, sorted: a video with points or segments counts as labelled too."""
        return tuple(sorted({*self.told, *(p.label for p in self.points), *(s.label for s in self.segments)}))

    def of(self, kind: Kind) -> tuple[str, ...]:
        """Return the classes that this video has labels of a kind for, sorted; any kind says that its action occurs."""
        if kind == "video":
            return self.labels
        return tuple(sorted({x.label for x in (self.points if kind == "point" else self.segments)}))

    @property
    def timed(self) -> bool:
        """Every class of the video has segments, or nothing happens in it: its truth is known for evaluation."""
        return self.of("segment") == self.labels and bool(self.segments or self.background)

    def annotated(self, subset: str) -> AnnotatedVideo:
        """Convert the video to that of data sets, in a subset; its segments are the instances."""
        return AnnotatedVideo(self.name, subset, self.duration, self.segments, self.ambiguous, self.labels,
                              background=self.background)  # fmt: skip


@dataclass(frozen=True)
class ClassCount:
    """What there is of a class: videos, points, segments and their seconds, videos without times, groups of videos."""

    label: str
    videos: int
    points: int
    segments: int
    seconds: float
    without_times: int
    groups: int = 0


@dataclass(frozen=True)
class Labels:
    """See `read_labels`.

    videos: by name, in order. problems: rows that were left out. notes: what is odd and does no harm. unlabelled:
    videos of the folder that no row names. classes: in alphabetical order, or as the file lists them.
    """

    source: Path
    videos: Mapping[str, VideoLabels]
    classes: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    folder: Path | None = None

    def __iter__(self) -> Iterator[VideoLabels]:
        return iter(self.videos.values())

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def kind(self) -> Literal["video", "point", "segment", "mixed"]:
        """What every labelled video gives at its strongest, or "mixed"; background videos go with any."""
        kinds = {"segment" if v.segments else "point" if v.points else "video" for v in self if not v.background}
        return kinds.pop() if len(kinds) == 1 else "mixed"  # type: ignore[return-value]

    @property
    def rows_left_out(self) -> int:
        """How many rows the problems are about."""
        return sum(p.rows for p in self.problems)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the file names, sorted."""
        return tuple(sorted({v.group for v in self if v.group}))

    def counts(self) -> list[ClassCount]:
        """Count what there is of each class, in the order of the classes."""
        videos, bare, points, segments = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        seconds: dict[str, float] = dict.fromkeys(self.classes, 0.0)
        for v in self:
            videos.update(v.labels)
            bare.update(set(v.labels) - {*v.of("point"), *v.of("segment")})
            points.update(p.label for p in v.points)
            segments.update(s.label for s in v.segments)
            for s in v.segments:
                seconds[s.label] += s.end - s.start
        groups = {c: len({v.group for v in self if v.group and c in v.labels}) for c in self.classes}
        return [ClassCount(c, videos[c], points[c], segments[c], round(seconds[c], 3), bare[c], groups[c])
                for c in self.classes]  # fmt: skip

    def supervising(self, kind: Kind) -> tuple[list[VideoLabels], list[VideoLabels]]:
        """Split videos into those that can supervise a method which reads labels of a kind, and the others.

        "video": every labelled video. "point": videos of which every class has a point, or a segment that holds one.
        "segment": videos of which every class has segments. Background videos say that nothing happens: to all.
        """
        yes: list[VideoLabels] = []
        no: list[VideoLabels] = []
        for v in self:
            known = {*v.of(kind), *(v.of("segment") if kind == "point" else ())}
            (yes if v.background or set(v.labels) <= known else no).append(v)
        return yes, no

    def missing(self) -> list[str]:
        """List what the labels lack, a sentence each."""
        out = []
        for c in self.counts():
            alone = sum(not v.group and c.label in v.labels for v in self)
            if (units := c.groups + alone) < LEAST_VIDEOS:
                what = "group of videos" if self.groups else "video"
                what = what if units == 1 else "groups of videos" if self.groups else "videos"
                out.append(f"class {c.label!r} is in {units} {what}; tal fit needs {LEAST_VIDEOS} (--min-videos)")
        for kind in KINDS[1:]:
            yes, no = self.supervising(kind)
            if no and any(not v.background for v in yes):
                out.append(
                    f"{len(no)} of {len(self)} videos lack {kind}s of some of their classes, and teach a method of "
                    f"{kind}s little or nothing of them: {_some([v.name for v in no])}"
                )
        single = [v.name for v in self if not v.group]
        if self.groups and single:
            out.append(f"{len(single)} of {len(self)} videos have no group, each is one by itself: {_some(single)}")
        if self.unlabelled:
            out.append(f"{len(self.unlabelled)} videos of the folder have no label: {_some(self.unlabelled)}")
        return out

    def document(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        return {
            "source": str(self.source),
            "kind": self.kind,
            "videos": len(self),
            "background": sum(v.background for v in self),
            "groups": {g: [v.name for v in self if v.group == g] for g in self.groups},
            "classes": [c.__dict__ for c in self.counts()],
            "missing": self.missing(),
            "notes": list(self.notes),
            "left_out": [p.document() for p in self.problems],
            "unlabelled": list(self.unlabelled),
        }


def _some(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
