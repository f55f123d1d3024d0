"""Records of times of a stream's snippets, cuts and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..records import Snippets

#: Number of newest gaps that are kept; the seconds of all gaps are counted.
GAPS_KEPT = 256


class Gap(NamedTuple):
    """A stretch of the stream that was not analysed, [start, end) in seconds of the source."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PendingSnippet:
    """A snippet that waits for its features; `pts`: of the frame that completed it, `wall`: see `Window`."""

    snippets: Snippets
    pts: float
    wall: float | None


class PendingStamp(NamedTuple):
    """Number since `origin`, and times, of a snippet that waits for its features."""

    first: int
    origin: float
    pts: float
    wall: float | None


class Cut(NamedTuple):
    """End of a stream at `end` seconds: everything is decided once `after` snippets have features."""

    after: int
    end: float
    pts: float
    wall: float | None
