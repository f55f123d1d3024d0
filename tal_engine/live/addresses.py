"""Names of live sources: lists of sources, given names, and addresses without passwords."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from .._util.names import exists
from .._util.redaction import redact
from ..errors import SourceError, UsageError

#: Endings of files that list one source per line.
LIST_SUFFIXES = frozenset([".streams", ".txt"])

#: A name is anything that is no part of an address or a path: those hold = too.
_NAMED = re.compile(r"([^=:/?#&\\\ud800-\udfff]*[^=:/?#&\\\s\ud800-\udfff])=(\S.*)")


class Address(NamedTuple):
    """Where a source is, and its name in results and logs."""

    name: str
    uri: str


def is_url(text: str) -> bool:
    """Return whether the text is an address; a path that exists is a file, whatever its name."""
    return "://" in text and not exists(text)


def address_of(source: str) -> Address:
    """Parse `name=uri` or `uri`; an existing file is never parsed as a name.

    Names hold no ``= : / ? # &`` and no backslash.
    Bytes of a file's name that are not UTF-8 are escaped in the name, which ids and JSON contain.

    Raises:
        UsageError: the source is empty.
    """
    source = source.strip()
    if not source:
        raise UsageError("a source is '', must be a file, a folder, an address, a camera's number, or - for stdin")
    named = _NAMED.fullmatch(source)
    if named and not exists(source):
        return Address(named[1], named[2])
    name = redact(source).encode(errors="backslashreplace").decode()
    return Address("stdin" if source == "-" else name, source)


def expand_streams(source: str | Path) -> list[str]:
    """List the sources in a `*.streams` or `*.txt` file; anything else is one source.

    A line is a source as `open_live` takes it, or `name=source`; what follows `#` at its start or after a blank is a
    comment. Paths are relative to the list.

    Raises:
        SourceError: the list cannot be read or lists nothing.
        UsageError: two sources have one name, or stdin is listed twice.
    """
    path = Path(source)
    if is_url(str(source)) or path.suffix.lower() not in LIST_SUFFIXES:
        return [str(source)]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as e:
        raise SourceError(f"{path}: cannot be read as a list of streams ({e.strerror})").because(e, path) from e
    except UnicodeDecodeError as e:
        raise SourceError(f"{path}: cannot be read as a list of streams ({e})") from e
    sources = [_beside(path, text) for line in lines if (text := re.split(r"(?:^|\s)#", line)[0].strip())]
    if not sources:
        raise SourceError(f"{path}: lists no streams")
    for name, count in Counter(address_of(s).name for s in sources).items():
        if count > 1:
            raise UsageError(
                f"{path}: {name!r} is listed {count} times, must be once; write NAME=SOURCE to tell them apart"
            )
    return sources


def _beside(path: Path, text: str) -> str:
    name, where = address_of(text)
    near = path.parent / where
    if is_url(where) or where == "-" or not exists(near):
        return text
    return f"{name}={near}" if text != where else str(near)
