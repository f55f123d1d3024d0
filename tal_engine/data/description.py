"""The YAML file that describes a data set; ``tal_engine/data/README.md`` shows one."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..annotations.readers import read_json
from ..errors import FeatureError
from ..metrics.protocols import PROTOCOLS
from ..timeline import Timeline

#: What a subset is used for; each data set has its own names for them.
Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

#: What stands in a path: the video, its subset in the annotations, and that subset's role.
PLACES = ("name", "subset", "role")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextSpec(_Strict):
    """The text tower whose space the "clip" stream is in.

    tower: "clip" with a model name of open_clip and, if need be, a file of weights; "hashed" with
    dim and seed; "tiny", the one that ships with the package.
    """

    tower: Literal["hashed", "clip", "tiny"] = "clip"
    name: str = "RN50"
    weights: str | None = None
    dim: int = Field(default=64, ge=1)
    seed: int = 0


class SnippetSpec(_Strict):
    """Geometry of the features: `window` frames at `fps`, one begins every `stride` frames."""

    fps: float = Field(default=25.0, gt=0)
    window: int = Field(default=16, ge=1)
    stride: int = Field(default=16, ge=1)

    @property
    def timeline(self) -> Timeline:
        """Snippet index to seconds."""
        return Timeline(0.0, self.stride / self.fps, self.window / self.fps)


class FeatureSpec(_Strict):
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


class PointSpec(_Strict):
    """Point labels: see `annotations.points.read_points`; fps: JSON of frame rates by video.

    outside: points in no instance of their class are refused, left out, or kept as somebody set them.
    """

    path: str
    fps: str | None = None
    annotator: int | None = Field(default=None, ge=1)
    seed: int = 0
    outside: Literal["refuse", "drop", "keep"] = "refuse"


class Description(_Strict):
    """A data set. Paths are relative to the description."""

    name: str
    annotations: str
    subsets: dict[Role, str]
    #: Where training labels come from: classes of the instances, or those of the whole video (labels_all).
    labels: Literal["instances", "video"] = "instances"
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
        if not self.subsets:
            raise ValueError("subsets needs at least one of train, validation, test")
        names = [n for spec in self.features for n in spec.names]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"stream {twice[0]!r} is described twice")
        return self


class _Loader(yaml.SafeLoader):
    """YAML without code; of two entries with one name, one would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [k for k in keys if keys.count(k) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} is there twice", node.start_mark)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep))


def read_description(path: str | Path) -> Description:
    """Read a ``.yaml``, ``.yml`` or ``.json`` description.

    Raises:
        FeatureError: missing, not YAML, or a field that is unknown or wrong; the message names it.
    """
    path = Path(path)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise FeatureError(f"{path}: no such description") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as e:
        raise FeatureError(f"{path}: not YAML ({e})") from e
    if not isinstance(document, dict):
        raise FeatureError(f"{path}: is a {type(document).__name__}, a description is a mapping of fields")
    try:
        return Description.model_validate(document)
    except ValidationError as e:
        wrong = e.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or "description"
        known = f"; known fields: {', '.join(Description.model_fields)}" if wrong["type"] == "extra_forbidden" else ""
        raise FeatureError(f"{path}: {where}: {wrong['msg'].removeprefix('Value error, ')}{known}") from e


def write_description(path: str | Path, description: Description) -> None:
    """Write a description; fields that have their default are left out."""
    from ..files import write_text

    document = description.model_dump(mode="json", exclude_defaults=True)
    write_text(path, yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None))


def excluded(description: Description, root: Path) -> Mapping[str, str]:
    """Names of videos to leave out, and why where it is known.

    Raises:
        FeatureError: the file is missing or holds something else.
    """
    if isinstance(description.exclude, list):
        return dict.fromkeys(description.exclude, "excluded by the description")
    path = root / description.exclude
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        raise FeatureError(f"{path}: cannot be read as a list of excluded videos ({e})") from e
    document: Any = read_json(path) if text.lstrip()[:1] in ("[", "{") else text.split("\n")
    if isinstance(document, dict) and isinstance(document.get("excluded"), dict):
        return {str(k): json.dumps(v) for k, v in document["excluded"].items()}
    if isinstance(document, list) and all(isinstance(n, str) for n in document):
        return {n.strip(): f"listed in {path.name}" for n in document if n.strip()}
    raise FeatureError(f"{path}: must be a JSON list of names, a name a line, or a manifest with 'excluded'")
