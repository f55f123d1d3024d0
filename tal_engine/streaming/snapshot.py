"""A stream's state in one file: a zip of arrays (.npz) with the numbers as JSON. No pickle."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.arrays import NUMBERS, ArrayFile
from .._util.files import whole_file
from .._util.untrusted import parse_json
from ..errors import SnapshotError
from .stream_state import StreamState

SCHEMA = "tal.snapshot/1"
_NUMBERS = "state"


def file_of(name: str, folder: Path) -> Path:
    """Return the snapshot's path; a hash distinguishes names with characters that files may not have."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')[-40:]}-{digest}.npz"


def save(path: str | Path, state: StreamState) -> None:
    """Write the state, atomically.

    Raises:
        UsageError: snippets or windows wait for a model.
        OSError: the file cannot be written.
    """
    numbers, arrays = state.state()
    document = {"schema": SCHEMA, **_identity(state), "state": numbers, "arrays": _digests(arrays)}
    text = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_NUMBERS: text, **arrays})


def load(path: str | Path, state: StreamState) -> None:
    """Resume a stream from a file; `state` is new.

    Raises:
        SnapshotError: the file is missing, damaged, or of another plan, stream or options; nothing was changed.
    """
    document, arrays = _read(Path(path))
    for name, value in _identity(state).items():
        if document.get(name) != value:
            raise SnapshotError(f"{path}: {name} is {_differing(document.get(name), value)}")
    numbers = document.get("state")
    if not isinstance(numbers, dict):
        raise SnapshotError(f"{path}: state is {numbers!r:.200}, must be an object")
    try:
        state.restore(numbers, arrays)
    except SnapshotError as e:
        raise SnapshotError(f"{path}: {e}") from e


def _identity(state: StreamState) -> dict[str, Any]:
    """Return what must be the same for the stream to be resumed."""
    segment, stream = asdict(state.manifest.segment), asdict(state.options)
    options = {**segment, **stream}
    if state.manifest.calibration is not None:
        options["calibrated"] = True
    return json.loads(json.dumps({"plan": state.plan, "source": state.source, "options": options}))  # type: ignore[no-any-return]


def _differing(saved: Any, wanted: Any) -> str:
    if isinstance(saved, dict) and isinstance(wanted, dict):
        name = next((n for n in wanted if saved.get(n) != wanted[n]), None)
        if name is not None:
            return f"another: {name} is {saved.get(name)!r}, this stream's is {wanted[name]!r}"
    return f"{saved!r}, this stream's is {wanted!r}"


def _digests(arrays: dict[str, NDArray[Any]]) -> dict[str, str]:
    return {name: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for name, a in arrays.items()}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    with ArrayFile(path, "snapshot", SnapshotError) as file:
        if _NUMBERS not in (file.names or ()):
            raise SnapshotError(f"{path}: not a snapshot of a stream, it has no {_NUMBERS!r}")
        arrays = {name: file.read(name, NUMBERS + "bM") for name in file.names or ()}
    document = parse_json(arrays.pop(_NUMBERS).tobytes(), str(path), SnapshotError, finite=False)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise SnapshotError(f"{path}: not a snapshot that this version reads ({SCHEMA})")
    if document.get("arrays") != _digests(arrays):
        raise SnapshotError(f"{path}: damaged, an array is not the one that was written")
    return document, arrays
