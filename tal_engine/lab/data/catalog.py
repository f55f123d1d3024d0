"""A data set is a description: annotated videos, their classes, and where the files lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..._util.names import VIDEO_SUFFIXES
from ...annotations import AnnotatedVideo, read_annotations
from ...errors import DataError
from ...vocabulary import Vocabulary


@dataclass(frozen=True)
class Catalog:
    """The videos of a data set and its classes. paths: the files of videos that do not lie where names say."""

    root: Path
    vocabulary: Vocabulary
    videos: tuple[AnnotatedVideo, ...]
    paths: Mapping[str, Path] = field(default_factory=dict)

    def subset(self, name: str) -> list[AnnotatedVideo]:
        """Return the videos of a subset.

        Raises:
            DataError: there are none.
        """
        videos = [v for v in self.videos if v.subset == name]
        if not videos:
            subsets = sorted({v.subset for v in self.videos})
            raise DataError(f"{self.root}: no videos in subset {name!r}; subsets: {', '.join(subsets)}")
        return videos

    def video_path(self, video: AnnotatedVideo) -> Path:
        """Find the video file: ``videos/NAME.*`` or ``NAME.*`` under the root."""
        if video.name in self.paths:
            return self.paths[video.name]
        for folder in (self.root / "videos", self.root):
            for suffix in sorted(VIDEO_SUFFIXES):
                path = folder / f"{video.name}{suffix}"
                if path.exists():
                    return path
        raise DataError(f"{self.root}: no video file for {video.name!r}")


def read_catalog(root: str | Path) -> Catalog:
    """Read ``ROOT/annotations.json``.

    Classes come from its "classes" list, or in alphabetical order from the annotations.

    Raises:
        DataError: missing or malformed, or a label that is not among the classes.
    """
    root = Path(root)
    path = root / "annotations.json"
    if not path.exists():
        raise DataError(f"{path}: no such file; a data folder needs annotations.json and videos/").missing(path)
    annotations = read_annotations(path)
    videos = tuple(v for v in annotations if v.subset != "clips")
    names = annotations.classes or sorted({label for v in videos for label in (*v.labels, *v.instance_labels)})
    vocabulary = Vocabulary(names)
    for v in videos:
        unknown = sorted({*v.labels, *v.instance_labels} - set(vocabulary))
        if unknown:
            raise DataError(f"{path}: {v.name} has label {unknown[0]!r}, which is not in classes")
    return Catalog(root, vocabulary, videos)
