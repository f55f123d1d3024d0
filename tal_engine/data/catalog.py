"""A data set is a description: annotated videos, their classes, and where the files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..annotations import AnnotatedVideo, read_annotations
from ..errors import FeatureError
from ..video.source import VIDEO_SUFFIXES
from ..vocabulary import Vocabulary


@dataclass(frozen=True)
class Catalog:
    """The videos of a data set and its classes."""

    root: Path
    vocabulary: Vocabulary
    videos: tuple[AnnotatedVideo, ...]

    def subset(self, name: str) -> list[AnnotatedVideo]:
        """The videos of a subset.

        Raises:
            FeatureError: there are none.
        """
        found = [v for v in self.videos if v.subset == name]
        if not found:
            known = sorted({v.subset for v in self.videos})
            raise FeatureError(f"{self.root}: no videos in subset {name!r}; subsets: {', '.join(known)}")
        return found

    def video_path(self, video: AnnotatedVideo) -> Path:
        """Where the video file is: ``videos/NAME.*`` or ``NAME.*`` under the root."""
        for folder in (self.root / "videos", self.root):
            for suffix in sorted(VIDEO_SUFFIXES):
                path = folder / f"{video.name}{suffix}"
                if path.exists():
                    return path
        raise FeatureError(f"{self.root}: no video file for {video.name!r}")


def read_catalog(root: str | Path) -> Catalog:
    """Read ``ROOT/annotations.json``.

    Classes come from its "classes" list, or in alphabetical order from the annotations.

    Raises:
        FeatureError: missing or malformed, or a label that is not among the classes.
    """
    root = Path(root)
    path = root / "annotations.json"
    if not path.exists():
        raise FeatureError(f"{path}: no such file; a data folder needs annotations.json and videos/")
    found = read_annotations(path)
    videos = tuple(v for v in found if v.subset != "clips")
    names = found.classes or sorted({label for v in videos for label in (*v.labels, *v.instance_labels)})
    vocabulary = Vocabulary(names)
    for v in videos:
        unknown = sorted({*v.labels, *v.instance_labels} - set(vocabulary))
        if unknown:
            raise FeatureError(f"{path}: {v.name} has label {unknown[0]!r}, which is not in classes")
    return Catalog(root, vocabulary, videos)
