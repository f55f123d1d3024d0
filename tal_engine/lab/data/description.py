"""The YAML file that describes a data set; ``tal_engine/lab/data/README.md`` shows one."""

from __future__ import annotations

import json
import string
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..._util.repeats import repeated
from ..._util.untrusted import MakeError, read_text, reason
from ...annotations.readers import read_json
from ...errors import DataError
from ...metrics.protocols import PROTOCOLS
from ...timeline import Timeline

#: What a subset is used for; each data set has its own names for them.
Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

#: What stands in a path: the video, its subset in the annotations, and that subset's role.
PLACES = ("name", "subset", "role")


_Model = TypeVar("_Model", bound=BaseModel)
#: Most bytes of a description.
_LONGEST = 16 << 20


class Strict(BaseModel):
    """A part of a description: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TextSpec(Strict):
    """The text tower whose space the "clip" stream is in.

    tower: "clip" with a model name of open_clip and, if need be, a file of weights; "hashed" with
    dim and seed; "tiny", the one that ships with the package.
    """

    tower: Literal["hashed", "clip", "tiny"] = "clip"
    name: str = "RN50"
    weights: str | None = None
    dim: int = Field(default=64, ge=1)
    seed: int = 0


class SnippetSpec(Strict):
    """Geometry of the features: `window` frames at `fps`, one begins every `stride` frames."""

    fps: float = Field(default=25.0, gt=0)
    window: int = Field(default=16, ge=1)
    stride: int = Field(default=16, ge=1)

    @property
    def timeline(self) -> Timeline:
        """Snippet index to seconds."""
        return Timeline(0.0, self.stride / self.fps, self.window / self.fps)


class FeatureSpec(Strict):
    """Where some streams lie.

    path: a pattern with {name}, {subset} or {role}. stream: the whole array is this stream; or
    streams: name -> [first, end) columns. key: which array of an .npz; with {name} in it, one
    archive holds all videos. width: of `stream`, where it should be checked.
    """

    path: str
    stream: str | None = None
    streams: dict[str, tuple[int, int]] = Field(default_factory=dict)
    key: str | None = None
    width: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> FeatureSpec:
        if (self.stream is None) == (not self.streams):
            raise ValueError("needs either stream: NAME or streams: {NAME: [first, end]}")
        for name, (first, end) in self.streams.items():
            if not 0 <= first < end:
                raise ValueError(f"streams.{name} is [{first}, {end}], must be 0 <= first < end")
        used = {field for text in (self.path, self.key or "") for _, field, _, _ in string.Formatter().parse(text)}
        unknown = used - {None, *PLACES}
        if unknown:
            raise ValueError(f"{{{min(map(str, unknown))}}} is not known in path and key, allowed: {', '.join(PLACES)}")
        if "name" not in used:
            raise ValueError("path or key must hold {name}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The streams that lie here."""
        return (self.stream,) if self.stream is not None else tuple(self.streams)


class PointSpec(Strict):
    """Point labels: see `annotations.points.read_points`; fps: JSON of frame rates by video.

    outside: points in no instance of their class are refused, left out, or kept as somebody set them.
    """

    path: str
    fps: str | None = None
    annotator: int | None = Field(default=None, ge=1)
    seed: int = 0
    outside: Literal["refuse", "drop", "keep"] = "refuse"


class SplitSpec(Strict):
    """Shares of the videos that are held out, where a file of labels names no subsets; see `label_splits.Split`."""

    test: float = Field(default=0.2, ge=0, lt=1)
    validation: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0


class Description(Strict):
    """A data set. Paths are relative to the description."""

    name: str
    #: Annotations, or None where `labels` names a file.
    annotations: str | None = None
    subsets: dict[Role, str] = Field(default_factory=dict)
    #: Where training labels come from: classes of the instances, those of the whole video (labels_all), or a file or
    #: folder of labels (`annotations.read_labels`), which then takes the place of annotations, points and subsets.
    labels: str = "instances"
    #: Folder of the videos that a file of labels names; without `features` they are extracted by encoders.
    videos: str | None = None
    split: SplitSpec = SplitSpec()
    #: Order of the class axis; default: the annotations' own list, else alphabetical.
    classes: list[str] = Field(default_factory=list)
    features: list[FeatureSpec] = Field(default_factory=list)
    #: Streams of different length: refused, cut to the first of `features`, or cut to the shortest.
    length: Literal["equal", "first", "shortest"] = "equal"
    #: Features that end more than a snippet before the last instance: refused, or kept.
    short_features: Literal["refuse", "keep"] = "refuse"
    #: Videos of fewer snippets are neither trained on nor localized; their truth still counts.
    min_snippets: int = Field(default=1, ge=1)
    snippet: SnippetSpec = SnippetSpec()
    #: Names to leave out, or a file of them: JSON list, a name a line, or a manifest of ``tal data check``.
    exclude: list[str] | str = Field(default_factory=list)
    protocol: str = "activitynet"
    #: Published settings to train with where none are named (`tal train --recipe`).
    recipe: str = "thumos14"
    text: TextSpec = TextSpec()
    points: PointSpec | None = None

    @field_validator("protocol")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PROTOCOLS:
            raise ValueError(f"{value!r} is not a protocol, known: {', '.join(PROTOCOLS)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Description:
        self._one_source()
        if not self.subsets and self.label_file is None:
            raise ValueError("subsets needs at least one of train, validation, test")
        names = [n for spec in self.features for n in spec.names]
        twice = sorted(repeated(names))
        if twice:
            raise ValueError(f"stream {twice[0]!r} is described twice")
        return self

    def _one_source(self) -> None:
        """Check that there are either annotations or a file of labels.

        Raises:
            ValueError: neither, or both.
        """
        if self.label_file is None:
            if self.annotations is None:
                raise ValueError("needs annotations: FILE, or labels: FILE")
            if self.videos is not None:
                raise ValueError("videos is the folder of a labels: FILE, and labels is " + repr(self.labels))
            return
        if not Path(self.label_file).suffix and "/" not in self.label_file:
            raise ValueError(f"labels is {self.labels!r}, must be instances, video, or a file or folder/ of labels")
        for name in ("annotations", "points"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} and labels: {self.label_file} are both given: the labels say it all")
        if self.videos is None and not self.features:
            raise ValueError("needs features, or videos: FOLDER to extract them from")

    @property
    def extracts(self) -> bool:
        """The features are extracted from the videos, by encoders."""
        return self.label_file is not None and not self.features

    @property
    def label_file(self) -> str | None:
        """The file or folder of labels, None where labels come from the annotations."""
        return None if self.labels in ("instances", "video") else self.labels


class _Loader(yaml.SafeLoader):
    """YAML without code; of two entries with one name, one would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        # Keys that are no hashable values are refused by the base class, which names them.
        twice = repeated(k for k in keys if isinstance(k, Hashable))
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} is there twice", node.start_mark)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep))


def read_description(path: str | Path) -> Description:
    """Read a ``.yaml``, ``.yml`` or ``.json`` description.

    Raises:
        DataError: missing, not YAML, or a field that is unknown or wrong; the message names it.
    """
    return read_model(Path(path), Description, "description", DataError)


def read_model(path: Path, model: type[_Model], what: str, error: MakeError) -> _Model:
    """Read a file of YAML into a model; `what` it is, for messages.

    Raises:
        error: missing, not YAML, or a field that is unknown or wrong; the message names it.
    """
    text = read_text(path, what, error, limit=_LONGEST)
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except Exception as e:  # YAMLError, and what values such as dates and huge numbers raise
        raise error(f"{path}: not YAML ({reason(e)})") from e
    if not isinstance(document, dict):
        raise error(f"{path}: is a {type(document).__name__}, a {what} is a mapping of fields")
    try:
        return model.model_validate(document)
    except ValidationError as e:
        wrong = e.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or what
        hint = f"; known fields: {', '.join(model.model_fields)}" if wrong["type"] == "extra_forbidden" else ""
        raise error(f"{path}: {where}: {wrong['msg'].removeprefix('Value error, ')}{hint}") from e


def write_description(path: str | Path, description: Description) -> None:
    """Write a description; fields that have their default are left out."""
    from ..._util.files import write_text

    document = description.model_dump(mode="json", exclude_defaults=True)
    write_text(path, yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None))


def excluded(description: Description, root: Path) -> Mapping[str, str]:
    """Read the names of videos to leave out, and why where it is known.

    Raises:
        DataError: the file is missing or malformed.
    """
    if isinstance(description.exclude, list):
        return dict.fromkeys(description.exclude, "excluded by the description")
    path = root / description.exclude
    text = read_text(path, "list of excluded videos")
    document: Any = read_json(path) if text.lstrip()[:1] in ("[", "{") else text.split("\n")
    if isinstance(document, dict) and isinstance(document.get("excluded"), dict):
        return {str(k): json.dumps(v) for k, v in document["excluded"].items()}
    if isinstance(document, list) and all(isinstance(n, str) for n in document):
        return {n.strip(): f"listed in {path.name}" for n in document if n.strip()}
    raise DataError(f"{path}: must be a JSON list of names, a name a line, or a manifest with 'excluded'")
