"""Progress of a trainer: a line of JSON on stdout for each step that people can see."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

#: Lines of progress are this many seconds apart at least.
_EVERY_S = 0.5


class Telling:
    """Says what is done, and how long it still takes.

    Args:
        expected: seconds of each stage the last time, by name.
    """

    def __init__(self, expected: dict[str, float] | None = None) -> None:
        self._expected, self._last = dict(expected or {}), 0.0
        self.seconds: dict[str, float] = {}
        self._stage, self._began = "", time.monotonic()

    def stage(self, name: str, after: tuple[str, ...] = ()) -> None:
        """Begin a stage; `after`: those that follow it."""
        self.end()
        self._stage, self._began, self._after = name, time.monotonic(), after
        self.say(0, 0, force=True)

    def end(self) -> None:
        """Note how long the stage took."""
        if self._stage:
            self.seconds[self._stage] = round(time.monotonic() - self._began, 3)

    def say(self, step: int, steps: int, *, force: bool = False, **more: Any) -> None:
        """Tell that `step` of `steps` are done."""
        now = time.monotonic()
        if not force and step < steps and now - self._last < _EVERY_S:
            return
        self._last = now
        share, spent = (step / steps if steps else 0.0), now - self._began
        left = spent / share - spent if share > 0.02 else self._expected.get(self._stage)
        rest = sum(self._expected.get(s, 0.0) for s in self._after)
        self.line(
            {"state": self._stage, "step": step, "steps": steps, **more}
            | {"left_s": None if left is None else round(left + rest, 1)}
        )

    @staticmethod
    def line(document: dict[str, Any]) -> None:
        """Write one line."""
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
