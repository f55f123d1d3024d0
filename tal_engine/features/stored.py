"""Feature files: one ``.npz`` a video, streams as float32 [T, D], its record as JSON text inside."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from ..errors import FeatureError
from ..files import whole_file
from ..records import Features
from ..timeline import Timeline

_RECORD = "record"


def save_features(path: str | Path, features: Features) -> None:
    """Write a feature file, whole or not at all."""
    record = {
        "timeline": [features.timeline.start, features.timeline.step, features.timeline.width],
        "duration": features.duration,
        "contract": features.contract,
    }
    arrays = {name: np.asarray(a, np.float32) for name, a in features.streams.items()}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{_RECORD: np.array(json.dumps(record))}, **arrays)  # type: ignore[arg-type]


def load_features(path: str | Path) -> Features:
    """Read a feature file; nothing is unpickled.

    Raises:
        FeatureError: missing, not a feature file, NaN or infinite values.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise FeatureError(f"{path}: no such feature file") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as e:
        raise FeatureError(f"{path}: not a feature file ({e})") from e
    try:
        record = json.loads(str(arrays.pop(_RECORD)))
        timeline = Timeline(*record["timeline"])
        streams = {n: np.asarray(a, np.float32) for n, a in arrays.items()}
        return Features(streams, timeline, float(record["duration"]), record["contract"])
    except (KeyError, TypeError, ValueError) as e:
        raise FeatureError(f"{path}: its record is missing or broken ({e!r})") from e
