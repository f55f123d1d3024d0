"""What a plan knows of the features that it was trained on: the part that is numbers; `inference.domain` computes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import pydantic

from .fields import Count, Name, Size, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Member

Positive = Annotated[float, pydantic.Field(gt=0, le=1e30, allow_inf_nan=False)]
Share = Annotated[float, pydantic.Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, pydantic.Field(ge=-1e12, le=1e12, allow_inf_nan=False)]

#: Bytes of a number in the member: little-endian float32.
NUMBER = 4
#: Most bytes of the member.
LARGEST = 300_000


class DomainRecord(Strict):
    """A Gaussian of a plan's training features with few free directions, and how far held-out videos lay from it.

    member: mean [D], then `rank` directions [D] each, of the `streams` side by side, each divided by its scale;
    float32, little-endian. variances: along the directions; noise: along each of the others. distances rise and
    shares fall: a share `shares[i]` of videos like the training videos lies farther out than `distances[i]` (natural
    logarithms). warn_below: share below which a video counts as unlike anything trained on. videos, snippets: how many
    it was fitted on.
    """

    member: Name = "domain.bin"
    streams: Annotated[list[Name], pydantic.Field(min_length=1, max_length=100)]
    scales: Annotated[list[Positive], pydantic.Field(min_length=1, max_length=100)]
    rank: Size
    variances: Annotated[list[Positive], pydantic.Field(min_length=1, max_length=1000)]
    noise: Positive
    distances: Annotated[list[Finite], pydantic.Field(min_length=2, max_length=1000)]
    shares: Annotated[list[Share], pydantic.Field(min_length=2, max_length=1000)]
    warn_below: Share = 0.01
    videos: Count = 0
    snippets: Count = 0
    fitted_on: str = ""

    @pydantic.model_validator(mode="after")
    def _agree(self) -> DomainRecord:
        lengths = {
            "scales": (self.scales, len(self.streams)),
            "variances": (self.variances, self.rank),
            "shares": (self.shares, len(self.distances)),
        }
        for name, (values, wanted) in lengths.items():
            if len(values) != wanted:
                raise ValueError(f"{len(values)} {name}, must be {wanted}")
        for a, b in pairwise(self.distances):
            if not b > a:
                raise ValueError(f"distances go from {a!r} to {b!r}, must rise")
        for a, b in pairwise(self.shares):
            if b > a:
                raise ValueError(f"shares go from {a!r} to {b!r}, must not rise")
        return self

    def check(self, streams: Mapping[str, int], members: Mapping[str, Member]) -> None:
        """Refuse a record that is not of these streams, or whose member has another size.

        Raises:
            ValueError: naming the stream or the size.
        """
        if sorted(self.streams) != sorted(streams):
            raise ValueError(f"domain.streams are {self.streams}, the head reads {sorted(streams)}")
        wanted = NUMBER * (self.rank + 1) * sum(streams.values())
        if wanted > LARGEST:
            raise ValueError(f"domain takes {wanted} bytes, must be at most {LARGEST}")
        known = members.get(self.member)
        if known is not None and known.bytes != wanted:
            raise ValueError(f"domain: {self.member} has {known.bytes} bytes, must be {wanted}")
