"""A stream's state in one file: a zip of arrays (.npz) with the numbers as JSON. No pickle."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SnapshotError
from ..files import whole_file
from .state import StreamState

SCHEMA = "tal.snapshot/1"
_NUMBERS = "state"


def save(path: str | Path, state: StreamState) -> None:
    """Write the state; the file is whole or not there.

    Raises:
        UsageError: something waits for a model.
        OSError: the file cannot be written.
    """
    numbers, arrays = state.state()
    document = {"schema": SCHEMA, **_identity(state), "state": numbers, "arrays": _digests(arrays)}
    text = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_NUMBERS: text, **arrays})


def load(path: str | Path, state: StreamState) -> None:
    """Let a stream go on from a file; `state` is new.

    Raises:
        SnapshotError: the file is missing, damaged, or of another plan, stream or options; nothing was changed.
    """
    document, arrays = _read(Path(path))
    for name, value in _identity(state).items():
        if document.get(name) != value:
            raise SnapshotError(f"{path}: {name} is {_differing(document.get(name), value)}")
    state.restore(document["state"], arrays)


def _identity(state: StreamState) -> dict[str, Any]:
    """What must be the same for the stream to go on."""
    segment, stream = asdict(state.manifest.segment), asdict(state.options)
    return json.loads(json.dumps({"plan": state.plan, "source": state.source, "options": {**segment, **stream}}))  # type: ignore[no-any-return]


def _differing(found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        name = next((n for n in wanted if found.get(n) != wanted[n]), None)
        if name is not None:
            return f"another: {name} is {found.get(name)!r}, this stream's is {wanted[name]!r}"
    return f"{found!r}, this stream's is {wanted!r}"


def _digests(arrays: dict[str, NDArray[Any]]) -> dict[str, str]:
    return {name: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for name, a in arrays.items()}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        document = json.loads(arrays.pop(_NUMBERS).tobytes())
    except FileNotFoundError:
        raise SnapshotError(f"{path}: no such snapshot") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as e:
        raise SnapshotError(f"{path}: not a snapshot of a stream, or damaged ({e})") from e
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise SnapshotError(f"{path}: not a snapshot that this version reads ({SCHEMA})")
    if document.get("arrays") != _digests(arrays):
        raise SnapshotError(f"{path}: damaged, an array is not the one that was written")
    return document, arrays
