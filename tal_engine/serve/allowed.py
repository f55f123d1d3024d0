"""What requests may name as a source: a list that the operator gives, and nothing else. No file, unless it has a name.

An entry is the beginning of addresses, such as ``https://media.example/clips/``, or NAME=SOURCE: a source that clients
ask for by its name, whose address (with its password, or a file of this machine) no client sees.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from .._util.opening import LIVE_SCHEMES
from .._util.redaction import redact
from ..errors import UsageError
from .problems import ProblemError

_NAMED = re.compile(r"([A-Za-z0-9_.-]{1,64})=(\S.*)")
#: Schemes of addresses; files of this machine have none that a request could name.
_SCHEMES = frozenset(LIVE_SCHEMES)
_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443}
_LONGEST = 2048


@dataclass(frozen=True)
class _Beginning:
    scheme: str
    host: str
    port: int | None
    path: str

    def covers(self, parts: SplitResult) -> bool:
        """Return whether an address begins so: the same machine, and the path below; not a longer name beside it."""
        same = (parts.scheme.lower(), (parts.hostname or "").lower(), _port(parts)) == (
            self.scheme,
            self.host,
            self.port,
        )
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return same and (parts.path == self.path or (parts.path or "/").startswith(below))


class AllowedSources:
    """The operator's list.

    Args:
        entries: see the module.

    Raises:
        UsageError: an entry is neither the beginning of an address with a machine in it, nor NAME=SOURCE.

    >>> from tal_engine.serve.allowed import AllowedSources
    >>> allowed = AllowedSources(["https://media.example/clips/", "door=rtsp://me:secret@cam/1"])
    >>> allowed.address("https://media.example/clips/a.mp4"), allowed.named
    ('https://media.example/clips/a.mp4', ['door'])
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._named: dict[str, str] = {}
        self._beginnings: list[_Beginning] = []
        for entry in entries:
            if (found := _NAMED.fullmatch(entry)) and "://" not in found[1]:
                self._named[found[1]] = found[2]
                continue
            parts = _split(entry)
            if parts is None or parts.username is not None or parts.query or parts.fragment:
                raise UsageError(
                    f"allowed source is {redact(entry)!r}, must begin an address (scheme://machine/path, without "
                    f"password; {', '.join(sorted(_SCHEMES))}) or be NAME=SOURCE"
                )
            self._beginnings.append(
                _Beginning(parts.scheme.lower(), (parts.hostname or "").lower(), _port(parts), parts.path or "/")
            )

    @property
    def named(self) -> list[str]:
        """Names that clients may ask for."""
        return sorted(self._named)

    def address(self, text: str) -> str:
        """Return an address that a request names, if it is allowed.

        Raises:
            ProblemError: it is not.
        """
        parts = _split(text) if len(text) <= _LONGEST else None
        if parts is not None and parts.username is None and any(b.covers(parts) for b in self._beginnings):
            return text
        shown = redact(text[:200])
        raise ProblemError("source-not-allowed", f"source is {shown!r}; this service allows {self._told()}")

    def source(self, text: str) -> str:
        """Return what a request names: the source of a name, or an address.

        Raises:
            ProblemError: neither is allowed.
        """
        return self._named[text] if text in self._named else self.address(text)

    def _told(self) -> str:
        kinds = [f"the names {', '.join(self.named)}"] if self._named else []
        kinds += [f"addresses below {b.scheme}://{b.host}{b.path}" for b in self._beginnings]
        return "; ".join(kinds) or "uploads only (--allow-source)"


def _port(parts: SplitResult) -> int | None:
    return parts.port if parts.port is not None else _PORTS.get(parts.scheme.lower())


def _split(text: str) -> SplitResult | None:
    """Take an address apart; None: it is none, or one that two readers could read in two ways."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
        return None
    path = parts.path
    for _ in range(3):  # what an encoded path says to who decodes it, also twice
        plain = posixpath.normpath(path) if path else "/"
        if path and plain.rstrip("/") != path.rstrip("/").replace("//", "/"):
            return None
        path = unquote(path)
        if "\\" in path or any(s.partition(";")[0] in (".", "..") for s in path.split("/")):
            return None  # some servers read these as other folders
    return parts
