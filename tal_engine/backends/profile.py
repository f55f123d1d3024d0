"""Profiles: least, best and largest size of each free dimension, by the names that the manifest gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ..errors import UsageError, require
from ..plan.fields import Graph, Tensor

Range = tuple[int, int, int]
Profile = dict[str, Range]

#: Where nothing is asked. T: 4096 snippets of 16 frames are 44 minutes at 25 frames a second. P: pairs of boundaries.
DEFAULTS: Mapping[str, Range] = {
    "B": (1, 8, 32),
    "T": (1, 320, 4096),
    "P": (1, 1000, 20000),
    "H": (32, 240, 1080),
    "W": (32, 320, 1920),
}
#: Heads run one video at a time unless they are asked for more.
_HEAD_BATCH: Range = (1, 1, 8)


def parse_range(text: str, what: str) -> Range:
    """Parse sizes such as "1:320:4096" (least, best, largest); one number stands for all three.

    Raises:
        UsageError: not numbers in rising order from 1 on.
    """
    parts = text.split(":")
    numbers = [int(p) for p in parts if re.fullmatch(r"\d+", p)]
    if len(numbers) == len(parts) == 1:
        numbers = numbers * 3
    ok = len(parts) in (1, 3) and len(numbers) == 3 and 1 <= numbers[0] <= numbers[1] <= numbers[2]
    require(ok, what, text, "LEAST:BEST:LARGEST such as 1:320:4096, rising, from 1 on")
    return (numbers[0], numbers[1], numbers[2])


def parse_profile(texts: Iterable[str]) -> Profile:
    """Parse sizes by dimension from texts such as "T=1:320:4096" or "T=1:320:4096,B=1:8:32".

    Raises:
        UsageError: not of that form, or a dimension twice.
    """
    profile: Profile = {}
    for text in texts:
        for part in text.split(","):
            name, equals, sizes = part.partition("=")
            ok = bool(equals) and name in DEFAULTS and name not in profile
            require(ok, "profile", part, f"NAME=LEAST:BEST:LARGEST, each of {', '.join(DEFAULTS)} once at most")
            profile[name] = parse_range(sizes, f"profile of {name}")
    return profile


def profile_of(graph: Graph, asked: Mapping[str, Range]) -> Profile:
    """Return the part of a profile that a graph uses, with defaults for dimensions that are not given."""
    names = sorted({d for t in graph.inputs for d in t.shape if isinstance(d, str)})
    defaults = {**DEFAULTS, "B": _HEAD_BATCH} if "T" in names else DEFAULTS
    unknown = [n for n in names if n not in DEFAULTS]
    if unknown:
        raise UsageError(f"{graph.member}: free dimension {unknown[0]!r} has no profile, known are {list(DEFAULTS)}")
    return {n: asked.get(n, defaults[n]) for n in names}


def shapes_of(tensor: Tensor, profile: Mapping[str, Range]) -> tuple[tuple[int, ...], ...]:
    """Return the least, best and largest shape of a tensor."""
    return tuple(tuple(d if isinstance(d, int) else profile[d][i] for d in tensor.shape) for i in range(3))


def sizes_of(tensor: Tensor, shape: Sequence[int]) -> dict[str, int]:
    """Return the sizes of the free dimensions in an array of this shape, of the same rank."""
    return {d: n for d, n in zip(tensor.shape, shape, strict=True) if isinstance(d, str)}


def describe(profile: Mapping[str, Range]) -> str:
    """Format the profile as on the command line: "B=1:1:8,T=1:320:4096"."""
    return ",".join(f"{n}={':'.join(map(str, r))}" for n, r in sorted(profile.items()))
