"""All formats, by name and by the endings of their files."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from ...errors import UsageError
from .format import Format, choices

#: Modules that have `FORMATS`; more special ones first, since the first that recognises a file reads it.
_MODULES = (
    "boris", "boris_tables", "via", "elan", "textgrid", "sportscode", "cvat", "label_studio", "fiftyone", "timelines",
    "datasets", "anvil", "dartfish", "fcpxml", "nwb", "tabular", "per_frame", "lines", "subtitles",
    "studio_json", "activitynet",
)  # fmt: skip


@cache
def all_formats() -> tuple[Format, ...]:
    """Return every format, in the order in which files are tried."""
    return tuple(f for name in _MODULES for f in import_module(f".{name}", __package__).FORMATS)


def readable() -> list[Format]:
    """List the formats that can be read."""
    return [f for f in all_formats() if f.read is not None]


def writable() -> list[Format]:
    """List the formats that can be written."""
    return [f for f in all_formats() if f.write is not None]


def named(name: str) -> Format:
    """Return a format by name.

    Raises:
        UsageError: there is none; the message lists all.
    """
    for form in all_formats():
        if form.name == name:
            return form
    raise UsageError(f"format {name!r}, must be one of {choices(all_formats())}")


def for_writing(path: Path, name: str | None) -> Format:
    """Choose the format to write a path in.

    Raises:
        UsageError: an unknown name, or an ending that is unknown or could mean several.
    """
    if name is not None:
        return named(name)
    known = [f for f in writable() if path.name.lower().endswith(f.suffixes) and not f.by_name]
    if len(known) != 1:
        found = f"{path.suffix} could be {choices(known)}" if known else f"{path.suffix or 'no ending'} is of no format"
        raise UsageError(f"{path}: {found}; say which with --to: {choices(writable())}")
    return known[0]
