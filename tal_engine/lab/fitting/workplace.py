"""The folder of a fit: what each stage made, whole or not there, so that a run that was killed goes on.

``fit.json`` says which run it is; a folder of another run is refused. ``stages/NAME.json`` is what a stage found and
how many seconds it took, ``features/`` and ``runs/NAME/`` keep their own states.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..._util.files import check_folder, write_text
from ..._util.untrusted import parse_json, read_text
from ...errors import CheckpointError, UsageError

_FORMAT = 2
_IDENTITY = "fit.json"


class Workplace:
    """See the module."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open or make the folder.

        Args:
            folder: where; made if it is not there.
            identity: what makes two runs the same: all that is computed follows from it.

        Raises:
            UsageError: the folder is of another run, or holds something else, or cannot be written to.
        """
        self.folder = folder
        wanted = json.loads(json.dumps({"format": _FORMAT, **identity}))
        path = folder / _IDENTITY
        if path.exists():
            _check_same(folder, _document(path), wanted)
        elif folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder}: is no folder of tal fit and not empty: choose another one with --work")
        check_folder(folder, "the work folder")
        if not path.exists():
            write_text(path, json.dumps(wanted, indent=1) + "\n")

    def done(self, stage: str) -> Any:
        """Read what a stage found, None if it was not finished."""
        path = self._path(stage)
        return _document(path)["found"] if path.exists() else None

    def run(self, stage: str, work: Callable[[], Any]) -> Any:
        """Give what a stage finds: from the folder, or by doing the work. It is plain data that JSON can hold."""
        found = self.done(stage)
        if found is not None:
            return found
        began = time.monotonic()
        return self.keep(stage, work(), lambda: time.monotonic() - began)

    def keep(self, stage: str, found: Any, seconds: float | Callable[[], float]) -> Any:
        """Keep what a stage found, which then is done, and the seconds that it took; give it as `done` will."""
        plain = json.loads(json.dumps(found, allow_nan=False))
        taken = self._begun(stage) + (seconds() if callable(seconds) else seconds)
        write_text(self._path(stage), json.dumps({"seconds": round(taken, 3), "found": plain}) + "\n")
        return plain

    def spent(self, stage: str, seconds: float) -> None:
        """Note seconds of a stage that was interrupted, so that they count when it is done."""
        write_text(self._path(stage, "part"), json.dumps({"seconds": round(self._begun(stage) + seconds, 3)}) + "\n")

    def seconds(self) -> dict[str, float]:
        """Read the seconds of each stage that is done."""
        files = sorted((self.folder / "stages").glob("*.json"))
        return {p.stem: float(_document(p)["seconds"]) for p in files}

    def checkpoint(self, name: str) -> Path:
        """Name the folder of a training run."""
        return self.folder / "runs" / name

    def _begun(self, stage: str) -> float:
        path = self._path(stage, "part")
        return float(_document(path)["seconds"]) if path.exists() else 0.0

    def _path(self, stage: str, ending: str = "json") -> Path:
        return self.folder / "stages" / f"{stage}.{ending}"


def _document(path: Path) -> dict[str, Any]:
    found = parse_json(read_text(path, "state of a fit", CheckpointError), str(path), CheckpointError)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: is not an object; delete the file to do this stage again")
    return found


def _check_same(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            raise UsageError(
                f"{folder}: is of another run, whose {name} is {_short(found.get(name))}, not {_short(value)}: choose "
                "another folder with --work, or delete this one"
            )


def _short(value: Any, most: int = 80) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."
