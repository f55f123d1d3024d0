"""What people type: sources, output formats, options as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import pydantic
import typer

from ..errors import UsageError, VideoError, VideoFault
from ..video.source import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from ..export.encoders import EncoderSet

T = TypeVar("T")

#: Options of every command that opens encoders; see `encoders_of`.
Weights = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="Weights of an encoder, such as i3d:rgb=rgb_imagenet.pt; repeatable."),
]
Geometry = Annotated[
    list[str] | None, typer.Option(help="Fields of the snippets' geometry: NAME=VALUE, such as stride=8.")
]


def expand_sources(sources: Sequence[Path], *, features: bool = False) -> list[Path]:
    """Files as they are, folders as the videos in them, in order and without repeats.

    Args:
        sources: files and folders.
        features: a folder without videos stands for its feature files (.npz).

    Raises:
        VideoError: a folder has none of these.
        UsageError: nothing was given.
    """
    if not sources:
        raise UsageError("no input: give at least one video, feature file or folder")
    found: list[Path] = []
    for source in sources:
        if not source.is_dir():
            found.append(source)
            continue
        inside = sorted(p for p in source.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        if features and not inside:
            inside = sorted(source.rglob("*.npz"))
        if not inside:
            what = "no videos and no feature files (.npz)" if features else "no videos"
            raise VideoError(VideoFault.NO_VIDEOS, f"{source}: {what} in this folder")
        found += inside
    return list(dict.fromkeys(found))


def with_settings(options: T, settings: Sequence[str]) -> T:
    """A dataclass with fields replaced from ``name=value`` texts.

    A field that is a mapping is set by key, ``name.key=value``; its other keys stay. Values of keys
    are JSON (``0.2``, ``true``) or else text.

    Raises:
        UsageError: an unknown field, or a value of the wrong type; the message lists what is allowed.
    """
    changes: dict[str, Any] = {}
    hints = get_type_hints(type(options))
    names = [f.name for f in fields(options)]  # type: ignore[arg-type]
    for setting in settings:
        path, equals, text = setting.partition("=")
        name, *keys = path.split(".")
        if not equals or name not in names or not all(keys):
            raise UsageError(f"cannot set {setting!r}: use NAME=VALUE with one of {', '.join(names)}")
        if keys:
            changes[name] = _with_key(changes.get(name, getattr(options, name)), keys, _json(text), setting)
            continue
        try:
            changes[name] = pydantic.TypeAdapter(hints[name]).validate_python(_unquoted(text))
        except pydantic.ValidationError as e:
            raise UsageError(f"cannot set {name}={text!r}: {e.errors()[0]['msg']}") from e
    return replace(options, **changes)  # type: ignore[type-var]


def given(values: Mapping[str, Any]) -> list[str]:
    """Settings for `with_settings` of the options that were given; those that are None were not."""
    return [f"{name}={json.dumps(v) if not isinstance(v, str) else v}" for name, v in values.items() if v is not None]


def named_files(texts: Sequence[str]) -> dict[str, Path]:
    """Files by name from ``NAME=PATH`` texts.

    Raises:
        UsageError: a text of another form, or a name twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise UsageError(f"{text!r} names no file: use NAME=PATH, such as clip=ViT-B-32.pt")
        if name in found:
            raise UsageError(f"{name!r} is given twice: {found[name]} and {path}")
        found[name] = Path(path)
    return found


def encoders_of(spec: str, weights: Sequence[str] | None = None, snippet: Sequence[str] | None = None) -> EncoderSet:
    """All encoders of a spec, from the texts of ``--encoders``, ``--weights`` and ``--snippet``.

    Raises:
        UsageError: what cannot be understood, or does not go together.
        CheckpointError, MissingExtraError: see `export.encoders.open_encoders`.
    """
    from ..export.encoders import open_encoders
    from ..nn.encoders import geometry, parse

    options = with_settings(geometry(parse(spec)), snippet or ())
    return open_encoders(spec, named_files(weights or ()), snippet=options)


def _with_key(mapping: Any, keys: Sequence[str], value: Any, setting: str) -> dict[str, Any]:
    """A mapping with one value, perhaps of a mapping in it, replaced."""
    if not isinstance(mapping, Mapping):
        raise UsageError(f"cannot set {setting!r}: only fields that are mappings have keys, this is {mapping!r}")
    key, *rest = keys
    return {**mapping, key: _with_key(mapping.get(key, {}), rest, value, setting) if rest else value}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return _unquoted(text)


def _unquoted(text: str) -> str:
    return text.strip().strip("'\"")
