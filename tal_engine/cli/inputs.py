"""What people type: sources, output formats, options as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import pydantic

from ..errors import UsageError, VideoError, VideoFault
from ..video.source import VIDEO_SUFFIXES

T = TypeVar("T")


def expand_sources(sources: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the videos in them, in order and without repeats.

    Raises:
        VideoError: a folder has no videos.
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
        if not inside:
            raise VideoError(VideoFault.NO_VIDEOS, f"{source}: no videos in this folder")
        found += inside
    return list(dict.fromkeys(found))


def with_settings(options: T, settings: Sequence[str]) -> T:
    """A dataclass with fields replaced from ``name=value`` texts.

    Raises:
        UsageError: an unknown field, or a value of the wrong type; the message lists what is allowed.
    """
    changes: dict[str, Any] = {}
    hints = get_type_hints(type(options))
    names = [f.name for f in fields(options)]  # type: ignore[arg-type]
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in names:
            raise UsageError(f"cannot set {setting!r}: use NAME=VALUE with one of {', '.join(names)}")
        try:
            changes[name] = pydantic.TypeAdapter(hints[name]).validate_python(_unquoted(text))
        except pydantic.ValidationError as e:
            raise UsageError(f"cannot set {name}={text!r}: {e.errors()[0]['msg']}") from e
    return replace(options, **changes)  # type: ignore[type-var]


def _unquoted(text: str) -> str:
    return text.strip().strip("'\"")
