"""What people type: sources, output formats, options as text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import pydantic
import typer

from .._util.names import IMAGE_SUFFIXES, MOTION_SUFFIXES, PLAYLIST, PLAYLIST_SUFFIXES, VIDEO_SUFFIXES, exists
from ..errors import UsageError, VideoError, VideoFault
from ..options import StreamOptions
from .console import warn
from .shared import former

if TYPE_CHECKING:
    from ..export.encoder_graphs import EncoderSet
    from ..pose.skeleton_options import SkeletonOptions

T = TypeVar("T")

#: Options of every command that reads video files; see `limits.Limits`.
MaxPixels = Annotated[
    int,
    typer.Option(
        min=1,
        help="Most pixels of a picture, decoded or scaled; more is an error before the work.",
        rich_help_panel="Machine",
    ),
]
MaxSnippets = Annotated[
    int,
    typer.Option(
        min=1,
        help="Most snippets of a video; a frame that is years away is an error before the work.",
        rich_help_panel="Machine",
    ),
]

#: Options of every command that opens encoders; see `encoders_of`.
Weights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PATH",
        help="Weights of an encoder, such as i3d:rgb=rgb_imagenet.pt; repeatable.",
        rich_help_panel="Encoders",
    ),
]
Geometry = Annotated[
    list[str] | None,
    typer.Option(help="Fields of the snippets' geometry: NAME=VALUE, such as stride=8.", rich_help_panel="Encoders"),
]


def expand_inputs(sources: Sequence[str | Path], *, features: bool = False) -> list[str | Path]:
    """`expand_sources` of texts that may also be addresses or ``playlist:PATH``: these stay as they are."""
    if not sources:
        raise UsageError("no input: give at least one video, feature file, folder or address")
    found: list[str | Path] = []
    for text in map(str, sources):
        named = ("://" in text or text.startswith(PLAYLIST)) and not exists(text)
        found += [text] if named else expand_sources([Path(text)], features=features)
    return _once(found)


def expand_sources(sources: Sequence[Path], *, features: bool = False) -> list[Path]:
    """List files as they are, and folders as the videos in them, in order and without repeats.

    Hidden files in folders are no videos. Pictures and folders of pictures are left out, and that is said.

    Args:
        sources: files and folders.
        features: a folder without videos stands for its feature files (.npz) and skeletons (.bvh, .amc, .npz).

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
        files = [p for p in _files(source) if p.is_file()]
        inside = [p for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
        if features and not inside:
            inside = [p for p in files if p.suffix.lower() in MOTION_SUFFIXES | {".npz"}]
        skipped = _pictures(p for p in files if p.suffix.lower() in IMAGE_SUFFIXES | PLAYLIST_SUFFIXES)
        if not inside:
            what = "no videos and no feature files (.npz)" if features else "no videos"
            raise VideoError(VideoFault.NO_VIDEOS, f"{source}: {what} in this folder{skipped and f', only {skipped}'}")
        if skipped:
            warn(f"{source}: left out: {skipped}")
        found += inside
    return _once(found)


def _once(paths: list[T]) -> list[T]:
    """Drop repeated paths under another spelling."""
    first: dict[str, T] = {}
    for path in paths:
        first.setdefault(os.path.abspath(path) if isinstance(path, Path) else str(path), path)  # noqa: PTH100
    return list(first.values())


def _files(folder: Path) -> list[Path]:
    """List the files of a folder and those below it, without hidden files and folders."""
    return sorted(p for p in folder.rglob("*") if not any(part[0] == "." for part in p.relative_to(folder).parts))


def _pictures(found: Iterable[Path]) -> str:
    """Describe files that are read when named, but not for being in a folder; "" for none."""
    kinds: dict[str, list[Path]] = {"picture": [], "playlist": []}
    for path in found:
        kinds["picture" if path.suffix.lower() in IMAGE_SUFFIXES else "playlist"].append(path)
    how = {"picture": "named, it is read as a still; tal stream reads a folder of them", "playlist": "playlist:PATH"}
    said = [f"{len(p)} {k}{'s' * (len(p) > 1)} such as {p[0]} ({how[k]})" for k, p in kinds.items() if p]
    return " and ".join(said)


def with_settings(options: T, settings: Sequence[str]) -> T:
    """Replace fields of a dataclass from ``name=value`` texts.

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
    """Convert the options that are not None to settings for `with_settings`."""
    return [f"{name}={json.dumps(v) if not isinstance(v, str) else v}" for name, v in values.items() if v is not None]


def stream_settings(
    options: StreamOptions,
    window: float | None,
    step: float | None,
    look_ahead: float | None,
    latency: float | None,
    more: Sequence[str] | None,
) -> StreamOptions:
    """Merge a plan's stream options with those of the command line: named, 0.1's `latency`, or NAME=VALUE.

    Raises:
        UsageError: as `with_settings`, or a look-ahead by both names.
    """
    if latency is not None:
        look_ahead = former("--latency", "--look-ahead", latency, look_ahead)
    return with_settings(options, [*given({"window": window, "step": step, "look_ahead": look_ahead}), *(more or [])])


def skeleton_options(settings: Sequence[str] | None, bodies: Sequence[str | Path]) -> SkeletonOptions | None:
    """Parse ``--skeleton NAME=VALUE``; None where it is not given.

    Args:
        settings: the texts.
        bodies: the skeleton files that they are for.

    Raises:
        UsageError: an unknown name, a wrong value, or there is no skeleton file.
    """
    if not settings:
        return None
    if not bodies:
        raise UsageError(f"--skeleton {settings[0]} is for skeleton files (.bvh, .amc, .npz, .csv), and there is none")
    from ..pose.skeleton_options import SkeletonOptions

    return with_settings(SkeletonOptions(), settings)


def named_files(texts: Sequence[str]) -> dict[str, Path]:
    """Parse files by name from ``NAME=PATH`` texts.

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
    """Open all encoders of a spec, from the texts of ``--encoders``, ``--weights`` and ``--snippet``.

    Raises:
        UsageError: what cannot be understood, or does not go together.
        CheckpointError, MissingExtraError: see `export.encoders.open_encoders`.
    """
    from ..export.encoder_graphs import open_encoders
    from ..lab.nn.encoders import geometry, parse

    options = with_settings(geometry(parse(spec)), snippet or ())
    return open_encoders(spec, named_files(weights or ()), snippet=options)


def _with_key(mapping: Any, keys: Sequence[str], value: Any, setting: str) -> dict[str, Any]:
    """Replace one value of a mapping, perhaps of a mapping in it."""
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
