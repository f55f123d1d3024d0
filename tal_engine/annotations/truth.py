"""What is known about the videos of a data set."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, UsageError
from ..records import Segment
from .class_numbers import ClassNumbers
from .tables import Table

#: THUMOS14's label of stretches that no one could decide; never a class.
AMBIGUOUS = "Ambiguous"


@dataclass(frozen=True)
class AnnotatedVideo:
    """One video: its labels are weak supervision, its instances the truth for evaluation.

    duration: seconds, 0 where the file does not say. ambiguous: (start, end) of stretches that
    were annotated as undecidable. video_labels: classes that the file gives for the video as a
    whole ("labels_all" of the npy layout), None where it gives none; they may differ from the
    classes of the instances. fps: of the original video, 0 where the file does not say. background: somebody said that
    none of the classes occurs in it; a video without labels for which nobody said so is a mistake.
    """

    name: str
    subset: str
    duration: float
    instances: tuple[Segment, ...]
    ambiguous: tuple[tuple[float, float], ...] = ()
    video_labels: tuple[str, ...] | None = None
    fps: float = 0.0
    background: bool = False

    @property
    def instance_labels(self) -> tuple[str, ...]:
        """Classes of the instances, sorted."""
        return tuple(sorted({s.label for s in self.instances}))

    @property
    def labels(self) -> tuple[str, ...]:
        """What weak supervision sees, sorted: the video's own labels, else the classes of its instances."""
        return self.instance_labels if self.video_labels is None else self.video_labels


@dataclass(frozen=True)
class Annotations:
    """The videos of an annotation file, by name, and its class list if it has one.

    numbers: what class numbers of detection files mean, where the annotations say so (THUMOS14's folders).
    """

    source: Path
    videos: dict[str, AnnotatedVideo]
    classes: tuple[str, ...] = ()
    form: str = ""
    notes: tuple[str, ...] = field(default=())
    numbers: ClassNumbers | None = None

    def __iter__(self) -> Iterator[AnnotatedVideo]:
        return iter(self.videos.values())

    def __len__(self) -> int:
        return len(self.videos)

    def subset(self, name: str | None) -> dict[str, AnnotatedVideo]:
        """Return the videos of a subset; case is ignored, None takes all.

        Raises:
            DataError: there are none.
        """
        if name is None:
            return dict(self.videos)
        found = {k: v for k, v in self.videos.items() if v.subset.lower() == name.lower()}
        if not found:
            known = ", ".join(sorted({v.subset for v in self})) or "none"
            raise DataError(f"{self.source}: no videos in subset {name!r}; subsets: {known}")
        return found

    def only_subset(self, detected: Collection[str]) -> str:
        """Return the one subset with detected videos: a whole file as truth would silently halve a score.

        Raises:
            UsageError: there is no such subset, or more than one.
        """
        present = sorted({v.subset for v in self})
        hit = sorted({self.videos[name].subset for name in detected if name in self.videos})
        if len(present) == 1:
            return present[0]
        if len(hit) != 1:
            have = f"detections are in {', '.join(hit)}" if hit else "no detection is in a video of it"
            raise UsageError(f"{self.source}: has subsets {', '.join(present)} and {have}; choose one with --subset")
        return hit[0]

    def table(self, subset: str | None = None) -> Table:
        """Return the instances of a subset as columns, classes in alphabetical order."""
        videos = self.subset(subset)
        labels = sorted({s.label for v in videos.values() for s in v.instances})
        return Table.of_segments({n: v.instances for n, v in videos.items()}, str(self.source), labels)


def video(
    name: str, subset: str, duration: float, found: list[Segment], labels: object = None, fps: float = 0.0
) -> AnnotatedVideo:
    """Create a video, separating its ambiguous stretches from its instances.

    Raises:
        ValueError: the duration is not a number of seconds, fps not a rate, or labels not a list of names.
    """
    if not 0 <= duration < math.inf:
        raise ValueError(f"duration {duration} is not 0 or more seconds")
    if not 0 <= fps < math.inf:
        raise ValueError(f"fps {fps} is not 0 or more frames a second")
    if labels is not None and not (isinstance(labels, list) and all(isinstance(v, str) for v in labels)):
        raise ValueError(f"labels {labels!r} is not a list of class names")
    instances = tuple(s for s in found if s.label != AMBIGUOUS)
    doubtful = tuple((s.start, s.end) for s in found if s.label == AMBIGUOUS)
    whole = tuple(sorted(set(labels))) if isinstance(labels, list) else None
    return AnnotatedVideo(name, subset, duration, instances, doubtful, whole, fps)
