"""What callers give: sources to localize, and who is told how far a call is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Features

#: What can be localized: a video file, frames [N, H, W, 3] uint8 or a list of [H, W, 3] (with fps), features as a
#: record, as a file (.npz) or as a mapping stream -> [T, D].
Source = str | Path | NDArray[Any] | Sequence[NDArray[Any]] | Features | Mapping[str, NDArray[np.float32]]

#: Called with (seconds done, seconds in total or 0 if unknown).
Progress = Callable[[float, float], None]


def is_features(source: Source) -> bool:
    """Return whether a source is features already, not a video."""
    return isinstance(source, (Mapping, Features)) or (
        isinstance(source, (str, Path)) and Path(source).suffix == ".npz"
    )
