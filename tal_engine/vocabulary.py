"""Ordered class names: label id <-> name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ._util.repeats import repeated
from .errors import UsageError


class Vocabulary:
    """The classes of a plan, a data set or a head, in the order of the class axis.

    >>> from tal_engine import Vocabulary
    >>> vocabulary = Vocabulary(["squat", "lunge"])
    >>> vocabulary.id("lunge"), vocabulary.name(0), "jump" in vocabulary
    (1, 'squat', False)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        if not self.names:
            raise UsageError("a vocabulary needs at least one class name, got none")
        bad = [n for n in self.names if not isinstance(n, str) or not n.strip()]
        if bad:
            raise UsageError(f"class names must be non-empty strings, got {bad[0]!r}")
        self._ids = {name: i for i, name in enumerate(self.names)}
        if len(self._ids) != len(self.names):
            raise UsageError(f"class names must be unique, repeated: {', '.join(sorted(repeated(self.names)))}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and other.names == self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Vocabulary({list(self.names)!r})"

    def name(self, label_id: int) -> str:
        """Return the name of a label id."""
        if not 0 <= label_id < len(self.names):
            raise UsageError(f"label id {label_id} is outside 0..{len(self.names) - 1}")
        return self.names[label_id]

    def id(self, name: str) -> int:
        """Return the id of a class name."""
        try:
            return self._ids[name]
        except KeyError:
            known = ", ".join(self.names[:8]) + (", ..." if len(self.names) > 8 else "")
            raise UsageError(f"unknown class {name!r}; known classes: {known}") from None
