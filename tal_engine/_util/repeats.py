"""Find what occurs more than once, in linear time: lists from strangers are long."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def repeated(items: Iterable[T]) -> list[T]:
    """Return the items that occur more than once, each once, in the order of their second occurrence."""
    seen: set[T] = set()
    twice: dict[T, None] = {}
    for item in items:
        if item in seen:
            twice[item] = None
        else:
            seen.add(item)
    return list(twice)
