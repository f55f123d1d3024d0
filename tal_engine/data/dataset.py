"""A data set: annotated videos, their classes, and features that are read or extracted when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from ..annotations import AnnotatedVideo, Annotations, read_annotations
from ..annotations.points import Points, read_fps, read_points
from ..errors import FeatureError, TALError
from ..features import EncoderGraph, contract_of
from ..manifest import Encoder
from ..nn.text import TextEncoder
from ..options import SnippetOptions
from ..records import Features
from ..timeline import Timeline
from ..vocabulary import Vocabulary
from .catalog import Catalog, read_catalog
from .description import ROLES, Description, Role, TextSpec, excluded, read_description
from .features import FeatureStore
from .stored import StoredFeatures

#: Called with (videos done, videos).
Progress = Callable[[int, int], None]


class Encoders(Protocol):
    """What makes features of videos (``tal_engine.export.encoders.EncoderSet``)."""

    @property
    def snippet(self) -> SnippetOptions: ...
    @property
    def specs(self) -> Mapping[str, Encoder]: ...
    @property
    def text(self) -> TextEncoder | None: ...
    def open(self, streams: Iterable[str], device: str = ...) -> list[EncoderGraph]: ...


class FeatureSource(Protocol):
    """Where the features of a data set come from."""

    def widths(self, videos: Sequence[AnnotatedVideo], streams: Sequence[str]) -> dict[str, int]: ...
    def load(self, video: AnnotatedVideo, streams: Sequence[str]) -> Features: ...
    def count(self, video: AnnotatedVideo) -> int: ...


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

    def has(self, role: Role) -> bool:
        """There are videos for this role."""
        return role in self.roles and any(v.subset == self.roles[role] for v in self.videos)

    def truth(self, role: Role) -> list[AnnotatedVideo]:
        """All annotated videos of a role, those too short to be localized too.

        Raises:
            FeatureError: there are none.
        """
        if not self.has(role):
            known = ", ".join(f"{r} ({s})" for r, s in self.roles.items() if self.has(r)) or "none"
            raise FeatureError(f"{self.name}: has no {role!r} videos; roles with videos: {known}")
        return [v for v in self.videos if v.subset == self.roles[role]]

    def subset(self, role: Role) -> list[AnnotatedVideo]:
        """The videos to train on or to localize: those of a role that have at least `min_snippets` snippets.

        Raises:
            FeatureError: there are none, or one to train on has no label.
        """
        found = [v for v in self.truth(role) if not self._too_short(v)]
        if not found:
            raise FeatureError(f"{self.name}: every {role} video has fewer than {self.min_snippets} snippets")
        bare = [v.name for v in found if not v.labels] if role == "train" else []
        if bare:
            raise FeatureError(f"{self.name}: {len(bare)} training videos have no label: {', '.join(bare[:20])}")
        return found

    def features(
        self, videos: Sequence[AnnotatedVideo], streams: Sequence[str], progress: Progress | None = None
    ) -> dict[str, Features]:
        """Features of videos, by name.

        Raises:
            FeatureError: listing every video that failed and why.
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
            raise FeatureError(f"{len(failed)} of {len(videos)} videos have no features:\n  " + "\n  ".join(failed))
        return out

    def widths(self, streams: Sequence[str]) -> dict[str, int]:
        """Width of each stream.

        Raises:
            FeatureError: a stream that the data set does not have.
        """
        return self.source.widths(self.videos, streams)

    def _too_short(self, video: AnnotatedVideo) -> bool:
        if self.min_snippets <= 1:
            return False
        try:
            return self.source.count(video) < self.min_snippets
        except FeatureError:
            return False  # `features` says what is wrong with it


class ExtractedFeatures:
    """Features that encoders make of the videos of a folder, kept beside them.

    All streams are made at once, whichever are asked for: one set of files serves every method.
    """

    def __init__(self, catalog: Catalog, encoders: Encoders | None) -> None:
        self._catalog, self._encoders = catalog, encoders

    def widths(self, videos: Sequence[AnnotatedVideo], streams: Sequence[str]) -> dict[str, int]:
        """Width of each stream."""
        self._refuse_unknown(streams)
        return {s: self._given.specs[s].dim for s in streams}

    def load(self, video: AnnotatedVideo, streams: Sequence[str]) -> Features:
        """Features of a video, extracted if they are not there yet."""
        self._refuse_unknown(streams)
        found = self._store.get(video)
        return replace(found, streams={s: found.streams[s] for s in streams})

    def count(self, video: AnnotatedVideo) -> int:
        """Snippets of a video."""
        raise FeatureError(f"{video.name}: the snippets of a video are counted by extracting them")

    @property
    def _given(self) -> Encoders:
        if self._encoders is None:
            raise FeatureError(f"{self._catalog.root}: is a folder of videos; its features need encoders, none given")
        return self._encoders

    def _refuse_unknown(self, streams: Sequence[str]) -> None:
        unknown = [s for s in streams if s not in self._given.specs]
        if unknown:
            known = ", ".join(self._given.specs)
            raise FeatureError(f"{self._catalog.root}: no encoder for stream {unknown[0]!r}; encoders: {known}")

    @cached_property
    def _store(self) -> FeatureStore:
        given = self._given
        return FeatureStore(self._catalog, given.snippet, given.open(tuple(given.specs)))


def open_dataset(path: str | Path, encoders: Encoders | None = None, *, allow_pickle: bool = False) -> DataSet:
    """Open a data set.

    Args:
        path: a ``.yaml``, ``.yml`` or ``.json`` description, or a folder with annotations.json and videos/.
        encoders: make the features of a folder of videos; descriptions do not need them.
        allow_pickle: read annotations of the npy layout, which are pickles (plain data only).

    Raises:
        FeatureError: something is missing or does not fit; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, encoders)
    description = read_description(path)
    return of_description(description, path.parent, path, allow_pickle=allow_pickle)


def _of_folder(root: Path, encoders: Encoders | None) -> DataSet:
    catalog = read_catalog(root)
    present = {v.subset for v in catalog.videos}
    snippet = SnippetOptions() if encoders is None else encoders.snippet
    return DataSet(
        name=root.resolve().name,
        vocabulary=catalog.vocabulary,
        videos=catalog.videos,
        protocol="activitynet",
        recipe="demo",
        roles={r: r for r in ROLES if r in present},
        source=ExtractedFeatures(catalog, encoders),
        timeline=Timeline(0.0, snippet.stride / snippet.fps, snippet.window / snippet.fps),
        text=TextSpec(tower="tiny"),
        contract={} if encoders is None else contract_of(snippet, encoders.specs.values()),
    )


def of_description(description: Description, root: Path, source: Path, *, allow_pickle: bool = False) -> DataSet:
    """The data set of a description whose paths are relative to `root`; `source` is named in errors.

    Raises:
        FeatureError: see `open_dataset`.
    """
    found = read_annotations(root / description.annotations, allow_pickle=allow_pickle)
    present = {v.subset for v in found}
    for role, subset in description.subsets.items():
        if subset not in present:
            known = ", ".join(sorted(present))
            raise FeatureError(f"{source}: subsets.{role} is {subset!r}, the annotations have {known}")
    left_out = excluded(description, root)
    unknown = sorted(set(left_out) - set(found.videos))
    if unknown:
        raise FeatureError(f"{source}: exclude names {unknown[0]!r}, which the annotations do not have")
    videos = tuple(_supervised(v, description, source) for v in found if v.name not in left_out)
    timeline = description.snippet.timeline
    roles: dict[str, Role] = {subset: role for role, subset in reversed(description.subsets.items())}
    vocabulary = _vocabulary(description, found, source)
    text = description.text
    if text.weights is not None:
        text = text.model_copy(update={"weights": str(root / text.weights)})
    return DataSet(
        name=description.name,
        vocabulary=vocabulary,
        videos=videos,
        protocol=description.protocol,
        recipe=description.recipe,
        roles=description.subsets,
        source=StoredFeatures(
            root, tuple(description.features), timeline, roles, description.length, description.short_features
        ),
        timeline=timeline,
        text=text,
        points=_points(description, root, vocabulary),
        points_outside="refuse" if description.points is None else description.points.outside,
        min_snippets=description.min_snippets,
    )


def _supervised(video: AnnotatedVideo, description: Description, source: Path) -> AnnotatedVideo:
    if description.labels == "instances":
        return replace(video, video_labels=None)
    if video.video_labels is None and video.subset == description.subsets.get("train"):
        raise FeatureError(f"{source}: labels is 'video', and the annotations give none for {video.name!r}")
    return video


def _vocabulary(description: Description, found: Annotations, source: Path) -> Vocabulary:
    used = {label for v in found for label in (*v.instance_labels, *(v.video_labels or ()))}
    names = description.classes or list(found.classes) or sorted(used)
    missing, extra = sorted(used - set(names)), sorted(set(names) - {*found.classes, *used})
    if missing:
        raise FeatureError(f"{source}: class {missing[0]!r} occurs in the annotations and is not among the classes")
    if extra:
        raise FeatureError(f"{source}: class {extra[0]!r} is among the classes and not in the annotations")
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
                raise FeatureError(f"{root / spec.path}: {video} has a point of {p.label!r}, which is not a class")
    return points
