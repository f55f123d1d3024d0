"""What is fitted: videos with labels of one kind, and who belongs together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from ..._util.untrusted import read_csv
from ...annotations.labels import Kind, Labels, VideoLabels
from ...annotations.points import Point
from ...errors import UsageError
from ...records import Features
from ...vocabulary import Vocabulary

#: Weakest first: an action occurs in a video, a moment of it, its start and its end.
KINDS: tuple[Kind, ...] = get_args(Kind)
#: What ``--task`` takes for each kind.
TASKS = {"video": "video", "points": "point", "point": "point", "segments": "segment", "segment": "segment"}
#: Columns of a table of groups that may hold the group.
_GROUP_COLUMNS = ("group", "person", "subject", "animal")

#: Features of the videos, by name.
FeaturesOf = Mapping[str, Features]


@dataclass(frozen=True)
class Material:
    """The videos of a fit, all read as one kind of label.

    groups: of each video; videos of one group are held out together. notes: what was left out or taken as something
    else, for people.
    """

    kind: Kind
    vocabulary: Vocabulary
    videos: tuple[VideoLabels, ...]
    groups: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Of the videos."""
        return tuple(v.name for v in self.videos)

    def labels_of(self, label: str) -> int:
        """Count the labels of a class: videos, points or segments, by the kind."""
        return sum(number(v, self.kind, label) for v in self.videos)

    def part(self, keep: Sequence[bool]) -> tuple[VideoLabels, ...]:
        """Take some of the videos."""
        return tuple(v for v, k in zip(self.videos, keep, strict=True) if k)


def number(video: VideoLabels, kind: Kind, label: str) -> int:
    """Count the labels of a class in one video."""
    if kind == "video":
        return int(label in video.labels)
    return sum(x.label == label for x in (video.points if kind == "point" else video.segments))


def material_of(labels: Labels, task: str = "auto", groups: str | None = None) -> Material:
    """Read labelled videos as one kind of label; those whose labels are weaker are left out, and that is noted.

    Args:
        labels: what was read.
        task: "auto" takes the strongest kind that every video has; or "video", "points", "segments".
        groups: a regular expression that finds the group in a video's name, by its first bracket or as a whole; or a
            ``.csv`` with the columns video and group (or person). None: each video is its own.

    Raises:
        UsageError: an unknown task, no video has such labels, or a video has no group.
        DataError: the table of groups cannot be read.
    """
    kind = _kind(labels, task)
    yes, no = labels.supervising(kind)
    notes = [*labels.notes]
    if no:
        notes.append(f"{len(no)} videos lack {kind} labels of some of their classes and are left out: {some(no)}")
    stronger = [v for v in yes if KINDS.index(_strongest(v)) > KINDS.index(kind)]
    if stronger and task == "auto":
        notes.append(
            f"{len(stronger)} videos have more than {kind} labels, which is all that every video has; the rest is not "
            f"read: {some(stronger)}"
        )
    videos = tuple(_read_as(v, kind) for v in yes)
    find = (lambda name: name) if groups is None else grouping(groups)
    used = {label for v in videos for label in v.labels}
    vocabulary = Vocabulary([c for c in labels.classes if c in used])
    return Material(kind, vocabulary, videos, tuple(find(v.name) for v in videos), tuple(notes))


def _kind(labels: Labels, task: str) -> Kind:
    if task == "auto":
        return next(k for k in reversed(KINDS) if not labels.supervising(k)[1])
    if task not in TASKS:
        raise UsageError(f"task is {task!r}, must be auto, video, points or segments")
    kind: Kind = next(k for k in KINDS if k == TASKS[task])
    if not any(not v.background for v in labels.supervising(kind)[0]):
        raise UsageError(f"task is {task!r}, and no video of {labels.source} has such labels of all its classes")
    return kind


def _strongest(video: VideoLabels) -> Kind:
    return "segment" if video.segments else "point" if video.points else "video"


def _read_as(video: VideoLabels, kind: Kind) -> VideoLabels:
    """Reduce a video to labels of a kind; the middle of a segment without a point is a point of it."""
    if kind == "segment":
        return replace(video, told=video.labels)
    free = [s for s in video.segments if not any(_holds(s.start, s.end, s.label, p) for p in video.points)]
    middles = [Point((s.start + s.end) / 2, s.label) for s in free]
    points = tuple(sorted([*video.points, *middles])) if kind == "point" else ()
    return replace(video, told=video.labels, points=points, segments=())


def _holds(start: float, end: float, label: str, point: Point) -> bool:
    return point.label == label and start <= point.seconds <= end


def grouping(text: str) -> Callable[[str], str]:
    """Make what finds the group of a video by its name; see `material_of`."""
    if text.lower().endswith(".csv"):
        return _listed(Path(text))
    try:
        pattern = re.compile(text)
    except re.error as e:
        raise UsageError(f"groups is {text!r}, no regular expression: {e}") from e

    def group(name: str) -> str:
        found = pattern.search(name)
        if found is None:
            raise UsageError(f"groups is {text!r}, which finds nothing in the video name {name!r}")
        return found[1] if pattern.groups else found[0]

    return group


def _listed(path: Path) -> Callable[[str], str]:
    rows = [row for _, row in read_csv(path, "table of groups", required=("video",))]
    column = next((c for c in _GROUP_COLUMNS if rows and c in rows[0]), None)
    if column is None:
        raise UsageError(f"{path}: has no column of the groups, such as {', '.join(_GROUP_COLUMNS)}")
    known = {Path(str(r["video"])).stem: str(r[column]) for r in rows}

    def group(name: str) -> str:
        stem = Path(name).name
        found = known.get(stem) or known.get(Path(stem).stem)
        if found is None:
            raise UsageError(f"{path}: has no group of video {name!r}")
        return found

    return group


def some(videos: Sequence[VideoLabels | str], most: int = 5) -> str:
    """Name the first ones and say how many more there are."""
    names = [v if isinstance(v, str) else v.name for v in videos]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
