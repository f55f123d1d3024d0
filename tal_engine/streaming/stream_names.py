"""Distinguish the name of a pushed stream from a source that is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._util.names import VIDEO_SUFFIXES
from .._util.redaction import redact
from ..errors import UsageError, require
from ..live.addresses import address_of, is_url
from ..live.live_source import LiveSource


def check_name(name: str) -> None:
    """Refuse a text that is a source rather than the name of a stream whose frames are pushed.

    Raises:
        UsageError: not a text, or the text is an address, a file, stdin, or a folder given with its path.
    """
    require(isinstance(name, str), "name", name, "a text")
    if name.strip() and (what := _source(address_of(name).uri)):
        shown = redact(name)
        raise UsageError(
            f"engine.open_stream({shown!r}) would open a stream of this name whose frames you push, but it is {what}; "
            f"engine.watch([{shown!r}]) reads it"
        )


def _source(where: str) -> str | None:
    """Describe what a text is if it is not a mere name."""
    path = Path(where)
    if is_url(where):
        return "an address"
    if where == "-":
        return "stdin"
    if path.suffix.lower() in VIDEO_SUFFIXES or where.startswith("/dev/"):
        return "a file"
    try:
        if path.is_dir():  # the name of a camera may well be that of a folder beside
            return "a folder" if len(path.parts) > 1 or where.endswith(("/", "\\")) else None
        return "a file" if path.exists() else None
    except (OSError, ValueError):  # too long for a path, or with a zero byte: a name
        return None


def sources_of(given: Any) -> list[Any]:
    """List the sources of a scheduler, from one source or several; `source_of` checks each.

    Raises:
        UsageError: neither a source nor an iterable of sources.
    """
    if isinstance(given, (Path, LiveSource)):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, (bytes, bytearray, Mapping)):
        raise UsageError(f"sources are a {type(given).__name__}, must be a list of files, addresses or opened sources")
    return list(given)


def source_of(one: Any) -> str | LiveSource:
    """Convert a source to a text or an opened source.

    Raises:
        UsageError: neither a text, a path nor an opened source.
    """
    if isinstance(one, Path):
        return str(one)
    if not isinstance(one, (str, LiveSource)):
        raise UsageError(f"a source is a {type(one).__name__}, must be a text, a Path or an opened source")
    return one
