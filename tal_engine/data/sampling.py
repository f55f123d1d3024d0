"""Snippets of a whole video to a fixed number for training (methods.md 1.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError


def random_perturb(length: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """W-TALC's rule: a regular grid, each place drawn from its cell, both ends included.

    A video shorter than `count` repeats snippets; nothing is padded.
    """
    _check(length, count)
    grid = (np.arange(count + 1) * length / count).astype(np.int64)
    low, high = grid[:-1], grid[1:].copy()
    high[-1] = length - 1
    high = np.maximum(np.where(high == low, low, high), low)
    return np.minimum(rng.integers(low, high + 1), length - 1)


def uniform(length: int, count: int) -> NDArray[np.int64]:
    """floor(i * length / count)."""
    _check(length, count)
    return np.arange(count) * length // count


def _check(length: int, count: int) -> None:
    if length < 1 or count < 1:
        raise UsageError(f"cannot sample {count} of {length} snippets: both must be at least 1")
