"""Two feature files side by side: how far apart they are, and what in their records explains it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._util.arrays import ArrayFile, as_float32
from ..errors import FeatureError
from ..records import Features
from .contract import Difference, differences
from .store import load_features


@dataclass(frozen=True)
class StreamComparison:
    """Rows of both files, and over the rows that both have: cosines, and the largest difference of a value."""

    stream: str
    rows: tuple[int, int]
    cosine_mean: float
    cosine_least: float
    largest: float

    def within(self, tolerance: float, cosine: float) -> bool:
        """Return whether the rows are as many, and no value or no direction differs by more than the tolerance."""
        return self.rows[0] == self.rows[1] and (self.largest <= tolerance or self.cosine_least >= cosine)


def read_for_comparison(path: Path, stream: str) -> Features | NDArray[np.float32]:
    """Read one of our feature files, or another tool's array [T, D] from ``.npy`` or ``.npz``.

    Args:
        path: a feature file of this package, a ``.npy`` file, or an ``.npz`` file with an array.
        stream: name of the array in an ``.npz`` file; the name "features" is tried too.

    Raises:
        FeatureError: the file holds no such array.
    """
    with ArrayFile(path) as file:
        if file.names is None:
            array = as_float32(file.read())
        elif "record" in file.names:
            return load_features(path)
        else:
            name = next((n for n in (stream, "features") if n in file.names), None)
            if name is None:
                raise FeatureError(f"{path}: has {sorted(file.names)[:8]}, neither {stream!r} nor 'features'")
            array = as_float32(file.read(name))
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise FeatureError(f"{path}: has shape {list(array.shape)}, must be [T, D] of finite values")
    return array


def compare(
    a: Features, b: Features | NDArray[np.float32], stream: str | None = None
) -> tuple[list[StreamComparison], list[Difference]]:
    """Compare the streams that both have; an array is compared with one stream.

    Args:
        a: features with a record.
        b: features, or the array of another tool.
        stream: which one of `a` an array is compared with; needless where `a` has one.

    Returns:
        A comparison a stream, and the fields in which the records differ (none where `b` has no record).

    Raises:
        FeatureError: nothing to compare, or rows of different width.
    """
    if isinstance(b, Features):
        common = [s for s in a.streams if s in b.streams and stream in (None, s)]
        if not common:
            raise FeatureError(f"no stream in common: {sorted(a.streams)} and {sorted(b.streams)}")
        recorded, wanted = b.contract, a.contract
        return [_stream(s, a.streams[s], b.streams[s]) for s in common], differences(
            recorded, wanted
        ) if recorded else []
    name = stream or (next(iter(a.streams)) if len(a.streams) == 1 else None)
    if name is None or name not in a.streams:
        raise FeatureError(f"stream is {name!r}, must be one of {', '.join(a.streams)}")
    return [_stream(name, a.streams[name], b)], []


def _stream(name: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> StreamComparison:
    if a.shape[1] != b.shape[1]:
        raise FeatureError(f"stream {name!r} is {a.shape[1]} wide in one file and {b.shape[1]} in the other")
    n = min(len(a), len(b))
    x, y = a[:n].astype(np.float64), b[:n].astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    same = (x == y).all(axis=1)  # two rows of zeros have no angle and are the same
    cosine = np.where(same, 1.0, (x * y).sum(axis=1) / np.where(lengths > 0, lengths, np.inf))
    return StreamComparison(
        name, (len(a), len(b)), float(cosine.mean()), float(cosine.min()), float(np.abs(x - y).max())
    )
