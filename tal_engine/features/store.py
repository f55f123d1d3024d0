"""Feature files: one ``.npz`` a video, streams as float32 [T, D], its record as JSON text inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._util.arrays import as_float32, read_arrays
from .._util.files import whole_file
from .._util.untrusted import parse_json
from ..errors import FeatureError
from ..records import Features
from ..timeline import Timeline

_RECORD = "record"
#: Most seconds of any time in a record: 300 years.
_LONGEST = 1e10


def save_features(path: str | Path, features: Features) -> None:
    """Write a feature file, atomically.

    >>> import numpy as np
    >>> from tal_engine import Features, Timeline, load_features, save_features
    >>> features = Features({"rgb": np.ones((3, 4), np.float32)}, Timeline(0.0, 0.64, 0.64), 1.92)
    >>> save_features("my.npz", features)
    >>> load_features("my.npz") == features
    True
    """
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
        FeatureError: missing, not a feature file, no snippets, values that are NaN or infinite, or times out of range;
            the message names the file.

    >>> from tal_engine import load_features
    >>> load_features("no.npz")
    Traceback (most recent call last):
    tal_engine.errors.MissingFeatureError: no.npz: no such feature file
    """
    arrays = read_arrays(path, texts=(_RECORD,))
    if _RECORD not in arrays:
        raise FeatureError(f"{path}: its record is missing, so nothing says where in time its rows are")
    record = parse_json(str(arrays.pop(_RECORD)), f"{path}: its record")
    try:
        timeline, duration, contract = _checked(record)
        streams = {n: as_float32(a) for n, a in arrays.items()}
        if any(a.size == 0 for a in streams.values()):
            raise FeatureError(f"it has no values: {', '.join(f'{n} is {list(a.shape)}' for n, a in streams.items())}")
        return Features(streams, timeline, duration, contract)
    except FeatureError as e:
        raise FeatureError(f"{path}: {e}") from e


def _checked(record: object) -> tuple[Timeline, float, dict[str, Any]]:
    """Parse timeline, duration and contract of a record.

    Raises:
        FeatureError: a field is missing or has the wrong type, or a time is not a finite number.
    """
    if not isinstance(record, dict):
        raise FeatureError(f"its record is {_shown(record)}, must be an object")
    missing = [n for n in ("timeline", "duration", "contract") if n not in record]
    if missing:
        raise FeatureError(f"its record is broken: {missing[0]!r} is missing")
    times, duration, contract = record["timeline"], record["duration"], record["contract"]
    if not (isinstance(times, list) and len(times) == 3 and all(map(_is_time, times)) and times[1] > 0 < times[2]):
        raise FeatureError(
            f"its record is broken: timeline is {_shown(times)}, must be [start, step, width] in seconds, the last "
            "two positive"
        )
    if not _is_time(duration) or duration < 0:
        raise FeatureError(f"its record is broken: duration is {_shown(duration)}, must be 0 or more seconds")
    if not _is_contract(contract):
        raise FeatureError(
            f"its record is broken: contract is {_shown(contract)}, must be an object whose snippet, libraries and "
            "encoders are objects"
        )
    return Timeline(*map(float, times)), float(duration), contract


def _is_contract(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    parts = [value.get(name, {}) for name in ("snippet", "encoders", "libraries")]
    if not all(isinstance(p, dict) for p in parts):
        return False
    _, encoders, libraries = parts
    return all(isinstance(e, dict) for e in encoders.values()) and all(isinstance(v, str) for v in libraries.values())


def _is_time(value: object) -> bool:
    """Return whether the value is finite and in the range of times that are computed and printed."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LONGEST


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
