"""Reads object arrays of public data sets without running code: plain data or an error."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError

_ARRAYS = {
    (module, name)
    for module, names in {
        "numpy": ("ndarray", "dtype"),
        "numpy.core.multiarray": ("_reconstruct", "scalar"),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
    }.items()
    for name in names
}


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes into a pickle of protocol 2; no other encoding is run."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused _codecs.encode to {encoding!r}: only latin1 is read")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows numpy arrays, and no other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"refused {module}.{name}: only arrays and plain values are read")
        return super().find_class(module, name)


def read_column(path: Path) -> list[Any]:
    """An ``.npy`` file as a list; bytes become text. Arrays of objects may hold plain data only.

    Raises:
        FeatureError: missing, not an npy file, or a pickle that wants more than plain data.
    """
    return [_plain(v) for v in read_rows(path).tolist()]


def read_rows(path: Path) -> NDArray[Any]:
    """An ``.npy`` file as an array of rows, as it is; see `read_column`.

    Raises:
        FeatureError: missing, not an npy file, or a pickle that wants more than plain data.
    """
    try:
        data = path.read_bytes()
        file = io.BytesIO(data)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            array = _ArraysOnly(file, encoding="latin1").load()
        else:
            array = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.shape != shape or not shape:
            raise FeatureError(f"{path}: holds {type(array).__name__}, not an array of rows of shape {shape}")
        return array
    except FeatureError:
        raise
    except FileNotFoundError:
        raise FeatureError(f"{path}: no such file") from None
    except Exception as e:  # a damaged pickle may raise anything
        raise FeatureError(f"{path}: cannot be read as plain data ({e!r})") from e


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    return value
