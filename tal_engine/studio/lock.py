"""One studio a project: the second one is told which process has it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..errors import UsageError

NAME = "lock"


class ProjectLock:
    """Holds a project until `close`, or until the process ends, however it ends.

    Args:
        folder: of the project; it is there.

    Raises:
        UsageError: another process has it; the message names the process.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        self._handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            owner = os.read(self._handle, 40).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise UsageError(f"{folder}: is open in another tal studio (process {owner}); end that one first") from e
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let others have the project; closing twice is harmless."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
