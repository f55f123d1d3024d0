"""The operator's command that trains a plan anew: one at a time, and never what a request says."""

from __future__ import annotations

import logging
import shlex
import subprocess
import threading
import time
from typing import Any

from ..errors import UsageError

log = logging.getLogger("tal_engine")

#: Seconds that a command gets to end when the service stops.
_ENDING_S = 5.0


class TrainingCommand:
    """Runs a command without a shell.

    Args:
        command: as a shell would take it apart, such as "tal fit videos --labels labels.csv -o mine.plan"; "" for none.

    Raises:
        UsageError: its quotes do not match.
    """

    def __init__(self, command: str) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as e:
            raise UsageError(f"fit command is {command!r}, must be a command with matching quotes ({e})") from e
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._began: float | None = None

    @property
    def configured(self) -> bool:
        """Whether there is a command."""
        return bool(self._words)

    def start(self) -> bool:
        """Start the command; False: there is none, or it runs already.

        Raises:
            OSError: it cannot be started.
        """
        with self._lock:
            if not self._words or self.running:
                return False
            log.warning("training: %s", shlex.join(self._words))
            self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL)
            self._began = time.time()
            return True

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def document(self) -> dict[str, Any]:
        """What came of the last start, ready for JSON."""
        status = None if self._process is None else self._process.poll()
        return {"configured": self.configured, "running": self.running, "started": self._began, "exit_status": status}

    def stop(self) -> None:
        """End the command with the service."""
        if self._process is None or not self.running:
            return
        self._process.terminate()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
