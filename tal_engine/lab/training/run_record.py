"""What a run leaves behind besides its weights: what it was made of, and whether its folder may be written."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from ... import __version__
from ..._util.untrusted import reason
from ...annotations import AnnotatedVideo
from ...annotations.points import Points
from ...errors import UsageError
from ...records import Features

_LIBRARIES = ("torch", "numpy", "onnxruntime", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of what a run depends on, as far as it is installed."""
    out = {"tal_engine": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def data_hash(
    videos: Sequence[AnnotatedVideo], features: Mapping[str, Features], streams: Sequence[str], points: Points | None
) -> str:
    """Hash what a run learns from (SHA-256): labels or points, and the features' values, of each video by name.

    Times of instances are no part of it, as training does not read them; the order of the videos is.
    """
    found = hashlib.sha256()
    for v in videos:
        given = None if points is None else [asdict(p) for p in points.get(v.name, ())]
        found.update(json.dumps([v.name, sorted(v.labels), v.background, given], sort_keys=True).encode())
        for s in streams:
            array = np.ascontiguousarray(features[v.name].streams[s])
            found.update(f"{s}{array.shape}".encode())
            found.update(array.data)
    return f"sha256:{found.hexdigest()}"


def check_run_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds a run already, unless it is to go on or to be replaced.

    Raises:
        UsageError: it holds one; the message says which, and what to do. Or both are asked for.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite replaces it: give one of them")
    if resume or overwrite:
        return
    for inner in (folder, *sorted(folder.glob("seed*"))):
        path = inner / "checkpoint.json"
        if path.exists():
            raise UsageError(
                f"{inner}: holds a run already ({_told(path)}): choose another --output, go on with --resume, or "
                "replace it with --overwrite"
            )


def _told(path: Path) -> str:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return f"{document['method']}, step {document['step']} of {document['train']['steps']}"
    except (OSError, ValueError, KeyError, TypeError) as e:
        return f"checkpoint.json cannot be read: {reason(e)}"


def clear_run(folder: Path) -> None:
    """Remove what earlier runs left in a folder: checkpoints, reports, and folders of seeds; nothing else."""
    for inner in sorted(folder.glob("seed*")):
        if (inner / "checkpoint.json").exists() and not inner.is_symlink():
            shutil.rmtree(inner)
    for pattern in ("checkpoint.json", "report.json", "*.safetensors", "*.safetensors.next", "events.out.tfevents.*"):
        for path in folder.glob(pattern):
            path.unlink()
