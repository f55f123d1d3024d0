"""Two feature files side by side: how far apart they are, and what in their records explains it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from ..records import Features
from .contract import Difference, differences
from .stored import load_features


@dataclass(frozen=True)
class StreamComparison:
    """Rows of both files, and over the rows that both have: cosines, and the largest difference of a value."""

    stream: str
    rows: tuple[int, int]
    cosine_mean: float
    cosine_least: float
    largest: float

    def within(self, tolerance: float, cosine: float) -> bool:
        """As many rows, no value further apart than `tolerance`, or no direction further than `cosine`."""
        return self.rows[0] == self.rows[1] and (self.largest <= tolerance or self.cosine_least >= cosine)


def read_for_comparison(path: Path, stream: str) -> Features | NDArray[np.float32]:
    """A feature file of ours, or an array [T, D] of another tool: ``.npy``, or "features" or `stream` of an ``.npz``.

    Raises:
        FeatureError: it holds no such array.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            found = file
        elif "record" in file.files:
            return load_features(path)
        else:
            name = next((n for n in (stream, "features") if n in file.files), None)
            if name is None:
                raise FeatureError(f"{path}: has {sorted(file.files)}, neither {stream!r} nor 'features'")
            found = file[name]
    except FileNotFoundError:
        raise FeatureError(f"{path}: no such feature file") from None
    except (OSError, ValueError, EOFError) as e:
        raise FeatureError(f"{path}: not a feature file ({e})") from e
    if found.ndim != 2 or not np.isfinite(found).all():
        raise FeatureError(f"{path}: has shape {list(found.shape)}, must be [T, D] of finite values")
    return np.asarray(found, np.float32)


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
        both = [s for s in a.streams if s in b.streams and stream in (None, s)]
        if not both:
            raise FeatureError(f"no stream in common: {sorted(a.streams)} and {sorted(b.streams)}")
        found, wanted = b.contract, a.contract
        return [_stream(s, a.streams[s], b.streams[s]) for s in both], differences(found, wanted) if found else []
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
