"""Reads object arrays of public data sets without running code: plain data or an error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.arrays import ArrayFile, memory_limit, read_header
from .._util.pickles import Array, Inert, load
from .._util.untrusted import guarded
from ..errors import DataError

_WHAT = "array file (.npy) of plain data"
#: Most values that a file of annotations unfolds to: lists that are shared make a small pickle look endless.
_MOST_VALUES, _DEEPEST = 3_000_000, 32


def read_column(path: Path) -> list[Any]:
    """Read an ``.npy`` file as a list; bytes become text. Arrays of objects may hold plain data only.

    Raises:
        DataError: missing, not an npy file, or a pickle of more than plain data.
    """
    rows = read_rows(path)
    with guarded(path, _WHAT):
        found = _Plain()(rows)
        return list(found)


def read_rows(path: Path) -> NDArray[Any]:
    """Read an ``.npy`` file as an array of rows: numbers or text as they are, objects rebuilt from its pickle.

    Raises:
        DataError: missing, not an npy file, or a pickle that wants more than plain data.
    """
    if not _is_pickled(path):
        with ArrayFile(path, _WHAT, limit=memory_limit()) as file:
            rows = file.read(kinds="fiuUSb")
        if not rows.ndim:
            raise DataError(f"{path}: not an {_WHAT} (it is one value, not an array of rows)")
        return rows
    with guarded(path, _WHAT), path.open("rb") as file:
        if path.stat().st_size > memory_limit():
            raise ValueError(f"it is larger than {memory_limit() >> 20} MiB, half of this machine's memory")
        shape = read_header(file)[0]
        found = load(file)
        if not isinstance(found, Array) or found.shape != shape or not shape:
            raise ValueError(f"it holds {type(found).__name__}, not an array of rows of shape {list(shape)}")
        return _rebuilt(found)


def _is_pickled(path: Path) -> bool:
    with guarded(path, _WHAT), path.open("rb") as file:
        return bool(read_header(file)[2].hasobject)


def _rebuilt(array: Array) -> NDArray[Any]:
    """Rebuild the array's elements; arrays of numbers among them are rebuilt too, other values stay."""
    value = array.value
    if isinstance(value, np.ndarray):
        return value
    out = np.empty(len(value), object)
    for i, v in enumerate(value):
        out[i] = v.value if isinstance(v, Array) and not isinstance(v.data, list) else v
    return out.reshape(array.shape)


class _Plain:
    """Lists, numbers and text of what was read, at most so much and so deep."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise ValueError(f"it unfolds to more than {_MOST_VALUES} values, or {_DEEPEST} levels")
        if isinstance(value, Array):
            value = _rebuilt(value)
        if isinstance(value, np.ndarray):
            self._left -= 0 if value.dtype.hasobject else math.prod(value.shape)
            value = value.tolist()
        if isinstance(value, list | tuple):
            return [self(v, depth + 1) for v in value]
        if isinstance(value, dict):
            return {self(k, depth + 1): self(v, depth + 1) for k, v in value.items()}
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, Inert):
            raise ValueError(f"it holds {value.origin}, only arrays and plain values are read")
        return value
