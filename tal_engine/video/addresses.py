"""What a live source is called: lists of them, names given to them, and addresses without their passwords."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ..errors import SourceError, UsageError

#: Endings of files that list sources, one a line.
LIST_SUFFIXES = frozenset([".streams", ".txt"])

_NAMED = re.compile(r"([\w.-]+)=(\S.*)")
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_SECRETS = (
    "pass|passwd|password|pwd|token|key|secret|auth|sig|signature|hmac|md5|jwt|ticket|credential|session(?:_?id)?"
    "|hdn(?:ts|ea|tl)"  # Akamai's
)
#: As a parameter, or, as some cameras have it, in the path: /user=admin_password=...
_SECRET = re.compile(rf"(?i)([?&;/_][a-z_-]*(?:{_SECRETS})=)[^&#\s]+")


class Address(NamedTuple):
    """Where a source is, and what it is called in results and logs."""

    name: str
    where: str


def redact(text: str) -> str:
    """Addresses in `text` without user, password, and parameters that look like secrets."""
    return _SECRET.sub(r"\1***", _USER.sub("***@", text))


def is_url(text: str) -> bool:
    """Whether ffmpeg has to find out what it is."""
    return "://" in text


def address_of(source: str) -> Address:
    """`name=where` or `where`; an existing file is never taken for a name.

    Raises:
        UsageError: nothing is left.
    """
    source = source.strip()
    if not source:
        raise UsageError("a source is '', must be a file, a folder, an address, a camera's number, or - for stdin")
    named = _NAMED.fullmatch(source)
    if named and not Path(source).exists():
        return Address(named[1], named[2])
    return Address("stdin" if source == "-" else redact(source), source)


def expand_streams(source: str | Path) -> list[str]:
    """The sources that a `*.streams` or `*.txt` file lists; anything else is one source.

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
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
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
    if is_url(where) or where == "-" or not near.exists():
        return text
    return f"{name}={near}" if text != where else str(near)
