"""What a request wants localized; a job stores it as JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Wanted:
    """What a request wants localized, and how.

    source: name of the video in results. url: where it is, if it was not uploaded. digest: SHA-256 of the upload, where
    the request has a key. The rest: `TALEngine.localize`.
    """

    plan: str
    source: str
    url: str = ""
    min_score: float | None = None
    top_k: int | None = None
    calibrated: bool = True
    force: bool = False
    people: int = 0
    digest: str = ""

    def same(self, other: Wanted) -> bool:
        """Return whether the same is wanted of the same content; jobs of earlier versions have no digest."""
        return replace(self, digest="") == replace(other, digest="") and (
            self.digest == other.digest or not self.digest or not other.digest
        )
