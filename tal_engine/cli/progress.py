"""Progress on stderr: bars on a terminal, and plain lines now and then where nobody could see a bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .console import errors

#: Called with (task, done, total, note).
Tell = Callable[[str, int, int, str], None]
#: Seconds between two plain lines of a task.
_EVERY = 10.0


@contextmanager
def bars(shown: bool = True) -> Iterator[Tell]:
    """Return a callback that draws progress bars with the time left on a terminal, and prints plain lines elsewhere."""
    if not shown or not errors.is_terminal:
        yield PlainLines() if shown else _silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}", markup=False), console=errors) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int, note: str) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total, note="")
            progress.update(tasks[name], completed=done, total=total, note=note)

        yield update


def _silent(name: str, done: int, total: int, note: str) -> None:
    """Say nothing."""


class PlainLines:
    """Prints ``features 3/12, 40 s left``: the first word of a task, the last one, and one every so many seconds.

    Args:
        say: prints a line; default: on stderr.
        clock: seconds that only go up.
        every: seconds between two lines of a task.
    """

    def __init__(
        self,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        every: float = _EVERY,
    ) -> None:
        self._say, self._clock, self._every = say or errors.print, clock, every
        self._begun: dict[str, tuple[float, int]] = {}
        self._last: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int, note: str) -> None:
        now = self._clock()
        if done < self._done.get(name, done + 1):  # the first call, or a task of this name begins anew
            self._begun[name] = now, done
            self._last.pop(name, None)
        self._done[name] = done
        due = name not in self._last or now - self._last[name] >= self._every
        if not due and done < total:
            return
        self._last[name] = now
        begun, first = self._begun[name]
        left = f", {_spoken((now - begun) / (done - first) * (total - done))} left" if first < done < total else ""
        self._say(f"{name} {done}/{total}{f', {note}' if note else ''}{left}")


def _spoken(seconds: float) -> str:
    """Format seconds in a convenient unit.

    >>> _spoken(40.2), _spoken(200), _spoken(9000)
    ('40 s', '3 min', '2 h 30 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
