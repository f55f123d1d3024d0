"""What is fitted: videos, each with the labels that it has, and who belongs together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..._util.untrusted import read_csv
from ...annotations.labels import Kind, Labels, VideoLabels
from ...errors import UsageError
from ...records import Features
from ...vocabulary import Vocabulary
from .known import KINDS, Supply, classes_known, known_by, labels_in, no_stronger, supply_of
from .rules import kind_for, truth_for

#: What ``--task`` takes for each kind.
TASKS = {"video": "video", "points": "point", "point": "point", "segments": "segment", "segment": "segment"}
_NAMES: Mapping[Kind, str] = {"video": "labels of videos", "point": "points", "segment": "segments"}
#: Columns of a table of groups that may hold the group.
_GROUP_COLUMNS = ("group", "person", "subject", "animal")

#: Features of the videos, by name.
FeaturesOf = Mapping[str, Features]


@dataclass(frozen=True)
class Material:
    """The videos of a fit; each gives what it has.

    kind: what the head reads, the strongest; a head of points or segments learns from weaker labels what they say.
    groups: of each video; videos of one group are held out together. notes: what was left out or taken as something
    else, for people. truth: what is measured by, `kind` unless said otherwise.
    """

    kind: Kind
    vocabulary: Vocabulary
    videos: tuple[VideoLabels, ...]
    groups: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    truth: Kind | None = None

    @property
    def measured(self) -> Kind:
        """The kind of label that detections on held-out videos are judged by."""
        return self.truth or self.kind

    @property
    def supply(self) -> Supply:
        """How many videos give what."""
        return supply_of(self.videos)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the videos."""
        return tuple(v.name for v in self.videos)

    def labels_of(self, label: str) -> int:
        """Count the labels of a class: videos, points or segments, whatever each video has."""
        return sum(labels_in(v, label) for v in self.videos)

    def part(self, keep: Sequence[bool]) -> tuple[VideoLabels, ...]:
        """Take some of the videos."""
        return tuple(v for v, k in zip(self.videos, keep, strict=True) if k)


def material_of(labels: Labels, task: str = "auto", groups: str | None = None) -> Material:
    """Take labelled videos for a fit, with what each of them has.

    Args:
        labels: what was read.
        task: "video", "points" or "segments": the strongest kind of label that is read; "auto" reads all there are, and
            `rules.kind_for` decides by their counts which kind the head is of.
        groups: a regular expression that finds the group in a video's name, by its first bracket or as a whole; or a
            ``.csv`` with the columns video and group (or person). None: the groups that the labels name, else each
            video is its own.

    Raises:
        UsageError: an unknown task, no video has such labels, or a video has no group.
        DataError: the table of groups cannot be read.
    """
    if task != "auto" and task not in TASKS:
        raise UsageError(f"task is {task!r}, must be auto, video, points or segments")
    most: Kind = "segment" if task == "auto" else next(k for k in KINDS if k == TASKS[task])
    if task != "auto" and not any(v.labels and known_by(v, most) == set(v.labels) for v in labels):
        raise UsageError(f"task is {task!r}, and no video of {labels.source} has such labels of all its classes")
    videos = tuple(no_stronger(v, most) for v in labels)
    if groups is None:
        of = tuple(f"group {v.group}" if v.group else v.name for v in videos)
    else:
        find = grouping(groups)
        of = tuple(find(v.name) for v in videos)
    used = {label for v in videos for label in v.labels}
    vocabulary = Vocabulary([c for c in labels.classes if c in used])
    counts = {k: classes_known(videos, of, k) for k in KINDS}
    kind = kind_for(counts) if task == "auto" else most
    truth = truth_for(counts)
    notes = [*labels.notes, *_said(videos, kind, truth), *_grouped(videos, of)]
    return Material(kind, vocabulary, videos, of, tuple(notes), truth)


def _said(videos: Sequence[VideoLabels], kind: Kind, truth: Kind) -> list[str]:
    """Say what comes of labels that are not all of one kind."""
    supply = supply_of(videos)
    if not supply.mixed:
        return []
    weaker = [v.name for v in videos if known_by(v, kind) != set(v.labels)]
    out = [f"{len(videos)} videos: {supply}; the head reads {_NAMES[kind]}, detections are judged by {_NAMES[truth]}"]
    if weaker:
        out.append(
            f"{len(weaker)} videos have weaker labels for some of their classes and teach what those say: "
            f"{some(weaker)}"
        )
    return out


def _grouped(videos: Sequence[VideoLabels], groups: Sequence[str]) -> list[str]:
    """Say how many groups there are, where videos belong together."""
    if len(set(groups)) == len(videos):
        return []
    return [f"{len(videos)} videos of {len(set(groups))} groups; a group is held out as a whole"]


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
