"""Which videos are trained on and which are held out: by the subsets that labels name, else drawn."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...annotations.labels import Labels, VideoLabels
from ...errors import DataError, UsageError
from .description import Role


@dataclass(frozen=True)
class Split:
    """Which videos are held out, where the labels name no subsets.

    test, validation: shares of the videos whose segments are all known, in [0, 1), of each class as far as possible.
    seed: of the draw.
    """

    test: float = 0.2
    validation: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("test", "validation"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise UsageError(f"{name} share is {share}, must be in [0, 1)")
        if self.test + self.validation >= 1:
            raise UsageError(
                f"test and validation shares are {self.test} and {self.validation}, must be below 1 together"
            )


@dataclass(frozen=True)
class Roles:
    """Subset of each video, what each role's subset is called, and what is to be said about it."""

    subsets: Mapping[str, str]
    roles: Mapping[Role, str]
    notes: tuple[str, ...] = ()


#: How subsets may be called, by the role that they have.
_ROLE_NAMES: Mapping[Role, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval"),
}


def roles_of(labels: Labels, split: Split) -> Roles:
    """Assign roles to the videos: by the subsets that the labels name, else drawn with the seed of `split`.

    Only videos whose every class has segments, and background, can be held out: the others cannot be scored.

    Raises:
        DataError: a subset that is none, or no video to train on.
    """
    if any(v.subset for v in labels):
        return _named_roles(labels)
    held = _drawn(labels, split)
    subsets = {v.name: held.get(v.name, "train") for v in labels}
    present: set[str] = set(subsets.values())
    notes: tuple[str, ...] = ()
    if split.test > 0 and "test" not in present:
        notes = ("no videos are held out: scores need videos with segments of all their classes, two of each class",)
    roles: dict[Role, str] = {r: r for r in _ROLE_NAMES if r in present}
    return Roles(subsets, roles, notes)


def _named_roles(labels: Labels) -> Roles:
    role_of = {name: role for role, names in _ROLE_NAMES.items() for name in names}
    unknown = sorted({v.subset for v in labels if v.subset and v.subset.lower() not in role_of})
    if unknown:
        allowed = ", ".join(sorted(role_of))
        raise DataError(f"{labels.source}: subset {unknown[0]!r} is not known; allowed are {allowed}")
    subsets = {v.name: role_of[v.subset.lower()] if v.subset else "train" for v in labels}
    roles: dict[Role, str] = {r: r for r in _ROLE_NAMES if r in subsets.values()}
    if "train" not in roles:
        raise DataError(f"{labels.source}: no video is in the subset 'train'; there are {', '.join(roles)}")
    bare = sum(not v.subset for v in labels)
    notes = [f"{bare} videos name no subset and are trained on"] if bare else []
    untimed = [v.name for v in labels if subsets[v.name] != "train" and not v.timed]
    if untimed:
        notes.append(f"{len(untimed)} held-out videos lack segments of some class: their truth is not whole")
    if "test" not in roles and "validation" in roles:  # scored, as ActivityNet's is
        roles["test"] = "validation"
        notes.append("no subset is for testing: the validation videos are scored")
    return Roles(subsets, roles, tuple(notes))


def _drawn(labels: Labels, split: Split) -> dict[str, Role]:
    """Draw held-out videos: each class gives its share, rare ones first, and keeps one with segments to train on."""
    timed = [v for v in labels if v.timed]
    order = sorted(timed, key=lambda v: (zlib.crc32(f"{split.seed}/{v.name}".encode()), v.name))
    left = _per_class(timed)
    out: dict[str, Role] = {}
    shares: tuple[tuple[Role, float], ...] = (("test", split.test), ("validation", split.validation))
    for role, share in shares:
        # A class of two videos or more is scored on one of them, however small the share.
        wanted = {c: max(1, round(share * n)) if share else 0 for c, n in _per_class(timed).items()}
        for v in sorted(order, key=lambda v: min((left[c] for c in v.labels), default=0)):
            lacking = [c for c in v.labels if wanted[c] > 0]
            if v.name in out or not lacking or any(left[c] < 2 for c in v.labels):
                continue
            out[v.name] = role
            left.subtract(v.labels)
            for c in v.labels:
                wanted[c] -= 1
        empty = [v for v in order if v.background and v.name not in out]
        out |= {v.name: role for v in empty[: round(share * sum(v.background for v in labels))]}
    return out


def _per_class(videos: Sequence[VideoLabels]) -> Counter[str]:
    return Counter(label for v in videos for label in v.labels)
