"""Snippets of a whole video to a number of them for training. All give indices in time order."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

#: random_perturb: W-TALC and all that follow it. uniform: without chance. contiguous: a window (Ju et al.).
#: crop: the same, of nine tenths of a shorter video or more (ActionFormer). full: every snippet (LACP). The last three
#: pad, and a mask says where.
Sampling = Literal["random_perturb", "uniform", "contiguous", "crop", "full"]


def sample(kind: Sampling, length: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose the snippets to take; fewer than `count` where the rest is padding, any number for "full".

    Raises:
        UsageError: an unknown kind, or nothing to sample.
    """
    if kind == "random_perturb":
        return random_perturb(length, count, rng)
    if kind == "uniform":
        return uniform(length, count)
    if kind == "contiguous":
        return contiguous(length, count, rng)
    if kind == "crop":
        return crop(length, count, rng)
    if kind == "full":
        _check(length, 1)
        return np.arange(length)
    raise UsageError(f"sampling is {kind!r}, must be one of {', '.join(get_args(Sampling))}")


def random_perturb(length: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw by W-TALC's rule: a regular grid, each position drawn from its cell, both ends included.

    A video shorter than `count` repeats snippets; nothing is padded.
    """
    _check(length, count)
    grid = (np.arange(count + 1) * length / count).astype(np.int64)
    low, high = grid[:-1], grid[1:].copy()
    high[-1] = length - 1
    high = np.maximum(np.where(high == low, low, high), low)
    return np.minimum(rng.integers(low, high + 1), length - 1)


def uniform(length: int, count: int) -> NDArray[np.int64]:
    """Return floor(i * length / count)."""
    _check(length, count)
    return np.arange(count) * length // count


def contiguous(length: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a window of `count` snippets, or take the whole video if it is shorter."""
    _check(length, count)
    first = int(rng.integers(max(length - count, 0) + 1))
    return np.arange(first, first + min(length, count))


def _check(length: int, count: int) -> None:
    if length < 1 or count < 1:
        raise UsageError(f"cannot sample {count} of {length} snippets: both must be at least 1")


def crop(length: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a window anywhere in the video: of `count` snippets, or of 0.9 to all of a video that is not longer."""
    _check(length, count)
    if length > count:
        return contiguous(length, count, rng)
    return contiguous(length, int(rng.integers(max(round(0.9 * length), 1), length + 1)), rng)
