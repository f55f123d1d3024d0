"""A data set: annotated videos, their classes, and features that are read or extracted when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ...annotations import AnnotatedVideo, Annotations, Labels, read_annotations, read_labels
from ...annotations.points import Points, read_fps, read_points
from ...errors import DataError, TALError, UsageError
from ...records import Features
from ...timeline import Timeline
from ...vocabulary import Vocabulary
from .catalog import read_catalog
from .description import ROLES, Description, Role, TextSpec, excluded, read_description
from .feature_source import Encoders, ExtractedFeatures, FeatureSource, Progress, made_by
from .feature_store import StoredFeatures
from .label_media import probed
from .label_splits import Split
from .labelled import parts_of


@dataclass(frozen=True)
class DataSet:
    """See the module.

    roles: what a subset of the annotations is used for. protocol: a name of `metrics.PROTOCOLS`.
    contract: what makes the features; {} where nothing is recorded.
    """

    name: str
    vocabulary: Vocabulary
    videos: tuple[AnnotatedVideo, ...]
    protocol: str
    roles: Mapping[Role, str]
    source: FeatureSource
    timeline: Timeline
    text: TextSpec
    contract: dict[str, Any] = field(default_factory=dict)
    points: Points | None = None
    #: What training does about points in no instance of their class.
    points_outside: Literal["refuse", "drop", "keep"] = "refuse"
    min_snippets: int = 1
    #: Settings to train with where none are named.
    recipe: str = "thumos14"
    #: Each video gives what it has: those that cannot supervise a method are left out of its training, and counted.
    mixed: bool = False
    #: What is odd about the data set, for those who train on it.
    notes: tuple[str, ...] = ()

    def has(self, role: Role) -> bool:
        """Return whether there are videos for this role."""
        return role in self.roles and any(v.subset == self.roles[role] for v in self.videos)

    def truth(self, role: Role) -> list[AnnotatedVideo]:
        """Return all annotated videos of a role, including those too short to be localized.

        Raises:
            DataError: there are none.
        """
        if not self.has(role):
            roles = ", ".join(f"{r} ({s})" for r, s in self.roles.items() if self.has(r)) or "none"
            raise DataError(f"{self.name}: has no {role!r} videos; roles with videos: {roles}")
        return [v for v in self.videos if v.subset == self.roles[role]]

    def subset(self, role: Role) -> list[AnnotatedVideo]:
        """Return the videos to train on or to localize: those of a role with at least `min_snippets` snippets.

        Raises:
            DataError: there are none, or one to train on has no label.
        """
        videos = [v for v in self.truth(role) if not self._too_short(v)]
        if not videos:
            raise DataError(f"{self.name}: every {role} video has fewer than {self.min_snippets} snippets")
        bare = [v.name for v in videos if not v.labels and not v.background] if role == "train" else []
        if bare:
            raise DataError(f"{self.name}: {len(bare)} training videos have no label: {', '.join(bare[:20])}")
        return videos

    def features(
        self, videos: Sequence[AnnotatedVideo], streams: Sequence[str], progress: Progress | None = None
    ) -> dict[str, Features]:
        """Load features of videos, by name.

        Raises:
            DataError: listing every video that failed and why.
        """
        self.source.widths(videos, streams)  # a stream that nobody has is one error, not one a video
        out: dict[str, Features] = {}
        failed: list[str] = []
        for i, video in enumerate(videos):
            try:
                out[video.name] = self.source.load(video, streams)
            except TALError as e:
                failed.append(f"{video.name}: {e}")
            if progress is not None:
                progress(i + 1, len(videos))
        if failed:
            raise DataError(f"{len(failed)} of {len(videos)} videos have no features:\n  " + "\n  ".join(failed))
        return out

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of all feature streams that there are."""
        return self.source.streams

    def widths(self, streams: Sequence[str]) -> dict[str, int]:
        """Return the width of each stream.

        Raises:
            DataError: a stream that the data set does not have.
        """
        return self.source.widths(self.videos, streams)

    def _too_short(self, video: AnnotatedVideo) -> bool:
        if self.min_snippets <= 1:
            return False
        try:
            return self.source.count(video) < self.min_snippets
        except DataError:
            return False  # `features` says what is wrong with it


def open_dataset(
    path: str | Path,
    encoders: Encoders | None = None,
    *,
    allow_pickle: bool = False,
    labels: str | Path | Labels | None = None,
    split: Split | None = None,
) -> DataSet:
    """Open a data set.

    Args:
        path: a ``.yaml``, ``.yml`` or ``.json`` description; a folder with annotations.json and videos/; or with
            `labels` a folder of videos.
        encoders: make the features of a folder of videos; descriptions of stored features do not need them.
        allow_pickle: read annotations of the npy layout, which are pickles (plain data only).
        labels: of the videos in the folder: a file or folder for `read_labels`, or what it gave.
        split: what is held out where the labels name no subsets.

    Raises:
        DataError: something is missing or does not fit; the message names it.
        UsageError: labels for a description.
    """
    path = Path(path)
    if labels is not None:
        if not path.is_dir():
            raise UsageError(f"{path}: labels are of a folder of videos; a description names its own (labels: FILE)")
        found = labels if isinstance(labels, Labels) else read_labels(labels, path)
        return _of_labels(found, encoders, split)
    if path.is_dir():
        return _of_folder(path, encoders)
    description = read_description(path)
    return of_description(description, path.parent, path, encoders, allow_pickle=allow_pickle)


def _of_labels(labels: Labels, encoders: Encoders | None, split: Split | None) -> DataSet:
    """Open labelled videos of a folder, in which their features are kept."""
    parts = parts_of(probed(labels), split)
    root = parts.catalog.root
    source = ExtractedFeatures(parts.catalog, encoders)
    about: dict[str, Any] = {"name": root.resolve().name, "protocol": "activitynet", "recipe": "demo"}
    return DataSet(source=source, **about, **parts.fields(), **made_by(encoders))


def _of_folder(root: Path, encoders: Encoders | None) -> DataSet:
    catalog = read_catalog(root)
    present = {v.subset for v in catalog.videos}
    return DataSet(
        name=root.resolve().name,
        vocabulary=catalog.vocabulary,
        videos=catalog.videos,
        protocol="activitynet",
        recipe="demo",
        roles={r: r for r in ROLES if r in present},
        source=ExtractedFeatures(catalog, encoders),
        **made_by(encoders),
    )


def of_description(
    description: Description,
    root: Path,
    source: Path,
    encoders: Encoders | None = None,
    *,
    allow_pickle: bool = False,
) -> DataSet:
    """Open the data set of a description with paths relative to `root`; `source` is named in errors.

    Raises:
        DataError: see `open_dataset`.
    """
    if description.label_file is not None:
        return _of_described_labels(description, root, source, encoders)
    assert description.annotations is not None  # noqa: S101 - the description has either
    annotations = read_annotations(root / description.annotations, allow_pickle=allow_pickle)
    present = {v.subset for v in annotations}
    for role, subset in description.subsets.items():
        if subset not in present:
            subsets = ", ".join(sorted(present))
            raise DataError(f"{source}: subsets.{role} is {subset!r}, the annotations have {subsets}")
    left_out = excluded(description, root)
    unknown = sorted(set(left_out) - set(annotations.videos))
    if unknown:
        raise DataError(f"{source}: exclude names {unknown[0]!r}, which the annotations do not have")
    videos = tuple(_supervised(v, description, source) for v in annotations if v.name not in left_out)
    vocabulary = _vocabulary(description, annotations, source)
    return DataSet(
        vocabulary=vocabulary,
        videos=videos,
        roles=description.subsets,
        source=_stored(description, root, description.subsets),
        points=_points(description, root, vocabulary),
        points_outside="refuse" if description.points is None else description.points.outside,
        **_described(description, root),
    )


def _described(description: Description, root: Path) -> dict[str, Any]:
    """Return the fields of a data set that its description sets."""
    text = description.text
    if text.weights is not None:
        text = text.model_copy(update={"weights": str(root / text.weights)})
    same = {name: getattr(description, name) for name in ("name", "protocol", "recipe", "min_snippets")}
    return {**same, "timeline": description.snippet.timeline, "text": text}


def _stored(description: Description, root: Path, roles: Mapping[Role, str]) -> StoredFeatures:
    role_of: dict[str, Role] = {subset: role for role, subset in reversed(list(roles.items()))}
    return StoredFeatures(
        root, tuple(description.features), description.snippet.timeline, role_of, description.length,
        description.short_features,
    )  # fmt: skip


def labels_of(description: Description, root: Path) -> Labels:
    """Read the file of labels that a description names, without the videos that it excludes.

    Raises:
        DataError: see `read_labels`.
    """
    videos = None if description.videos is None else root / description.videos
    found = read_labels(root / str(description.label_file), videos, classes=description.classes)
    gone = excluded(description, root)
    kept = {name: v for name, v in found.videos.items() if name not in gone}
    return probed(replace(found, videos=kept))


def _of_described_labels(description: Description, root: Path, source: Path, encoders: Encoders | None) -> DataSet:
    """Open a data set with labels of a file, and features of files or of encoders."""
    labels = labels_of(description, root)
    present = {v.subset for v in labels}
    for role, subset in description.subsets.items():
        if subset not in present:
            known = ", ".join(sorted(present - {""})) or "none"
            raise DataError(f"{source}: subsets.{role} is {subset!r}, the labels name {known}")
    parts = parts_of(labels, Split(**description.split.model_dump()), description.subsets or None)
    if description.features:
        stored = _stored(description, root, parts.roles)
        return DataSet(source=stored, **parts.fields(), **_described(description, root))
    extracted = ExtractedFeatures(parts.catalog, encoders)
    return DataSet(source=extracted, **parts.fields(), **(_described(description, root) | made_by(encoders)))


def _supervised(video: AnnotatedVideo, description: Description, source: Path) -> AnnotatedVideo:
    if description.labels == "instances":
        return replace(video, video_labels=None)
    if video.video_labels is None and video.subset == description.subsets.get("train"):
        raise DataError(f"{source}: labels is 'video', and the annotations give none for {video.name!r}")
    return video


def _vocabulary(description: Description, annotations: Annotations, source: Path) -> Vocabulary:
    used = {label for v in annotations for label in (*v.instance_labels, *(v.video_labels or ()))}
    names = description.classes or list(annotations.classes) or sorted(used)
    missing, extra = sorted(used - set(names)), sorted(set(names) - {*annotations.classes, *used})
    if missing:
        raise DataError(f"{source}: class {missing[0]!r} occurs in the annotations and is not among the classes")
    if extra:
        raise DataError(f"{source}: class {extra[0]!r} is among the classes and not in the annotations")
    return Vocabulary(names)


def _points(description: Description, root: Path, vocabulary: Vocabulary) -> Points | None:
    spec = description.points
    if spec is None:
        return None
    fps = read_fps(root / spec.fps) if spec.fps is not None else None
    points = read_points(root / spec.path, fps, annotator=spec.annotator, seed=spec.seed)
    for video, of in points.items():
        for p in of:
            if p.label not in vocabulary:
                raise DataError(f"{root / spec.path}: {video} has a point of {p.label!r}, which is not a class")
    return points
