"""Events as JSON Lines in a file that is put aside when it gets too big or too old, and goes on after a crash.

``events.jsonl`` is being written; ``events.000001.jsonl`` was put aside first, ``events.000002.jsonl`` next.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import DataError, SinkError, require
from ...events import Event
from .append_log import AppendedFile, Form, Recent
from .sink import REMEMBERED, Closing, log

#: Also events of version 0.1: a file goes on with those of today.
_FORM = Form("events as JSON Lines", re.compile(r'\{.*"schema": "tal\.event/[12]"\}'), re.compile(rb"\{"))


class RotatingJsonLines(Closing):
    """A file of events, one line each, in one write each.

    A final event whose id is among the last `REMEMBERED` ones, in this run or in the files of the one before, is not
    written again. Lines are never split over files.

    Args:
        path: the file that is written.
        max_bytes: put it aside before a line would make it bigger; 0: any size.
        every_s: put it aside when the wall clock enters the next period of so many seconds (86400: at midnight UTC);
            0: never.
        keep: delete the oldest of more than so many files put aside; 0 keeps all.
        fsync: each line is on the disk when `write` returns.
        clock: wall clock in seconds since 1970.

    Raises:
        UsageError: an argument makes no sense.
        SinkError: the file cannot be written, or holds something else than events.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int = 0,
        every_s: float = 0.0,
        keep: int = 0,
        fsync: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require(max_bytes >= 0, "max_bytes", max_bytes, "0 (any size) or more")
        require(0 <= every_s < float("inf"), "every_s", every_s, "0 (never) or more")
        require(keep >= 0, "keep", keep, "0 (all) or more")
        self.path, self._max_bytes, self._every_s, self._keep = _behind_links(path), max_bytes, every_s, keep
        self._fsync, self._clock = fsync, clock
        self._written, self._told, self._closed = Recent(REMEMBERED), False, False
        last = self.path.stat().st_mtime if self.path.exists() else clock()
        self._file: AppendedFile | None = AppendedFile(self.path, _FORM, fsync=fsync)
        self._period = self._period_of(last)
        try:
            self._learn(self._file.records)
        except SinkError:
            self.close()
            raise

    def write(self, event: Event) -> None:
        """Write one line, or none for a final event that is already there.

        Raises:
            SinkError: the disk is full or gone; the lines before stay whole. The sink was closed.
        """
        if self._closed:
            raise SinkError(f"{self.path}: already closed")
        if event.is_final and event.id in self._written:
            return
        line = event.to_json()
        self._rotate_for(len(line.encode()) + 1)
        self._opened().append(line)
        if event.is_final:
            self._written.add(event.id)

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        if self._file is not None:
            self._file.close()

    def aside(self) -> list[Path]:
        """List the files that were rotated, oldest first."""
        pattern = re.compile(rf"{re.escape(self.path.stem)}\.(\d{{6,}}){re.escape(self.path.suffix)}")
        found = ((pattern.fullmatch(p.name), p) for p in self.path.parent.iterdir())
        return [p for _, p in sorted((int(m[1]), p) for m, p in found if m)]

    def _opened(self) -> AppendedFile:
        if self._file is None:  # a new one could not be opened when it was needed
            self._file = AppendedFile(self.path, _FORM, fsync=self._fsync)
        return self._file

    def _period_of(self, seconds: float) -> int:
        return int(seconds // self._every_s) if self._every_s else 0

    def _rotate_for(self, coming: int) -> None:
        file = self._opened()
        now = self._period_of(self._clock())
        full = bool(self._max_bytes) and file.size + coming > self._max_bytes
        if file.size and (full or now != self._period):
            self._put_aside(file)
        self._period = now

    def _put_aside(self, file: AppendedFile) -> None:
        """Rename the file and open a new one; where that fails, lines go on into the old one and none is lost."""
        aside = self.aside()
        number = int(aside[-1].name[len(self.path.stem) + 1 :].split(".")[0]) + 1 if aside else 1
        target = self.path.with_name(f"{self.path.stem}.{number:06d}{self.path.suffix}")
        try:
            self.path.rename(target)
            self._file = None  # whatever closing it says: the next line opens a new one
            file.close()
            for old in [*aside, target][: -self._keep] if self._keep else []:
                old.unlink()
        except (OSError, SinkError) as e:
            if not self._told:
                self._told = True
                log.error("%s: cannot be put aside as %s (%s; not said again)", self.path, target, e)

    def _learn(self, newest: list[str]) -> None:
        """Read the ids of written finals: from the newest file, then from earlier ones until enough."""
        files = [newest]
        for path in reversed([] if self._opened().passes_on else self.aside()):
            if sum(map(len, files)) >= REMEMBERED:
                break
            before = AppendedFile(path, _FORM)
            before.close()
            files.append(before.records)
        for records in reversed(files):
            for event in _events(self.path, records):
                if event.is_final:
                    self._written.add(event.id)


def _behind_links(path: str | Path) -> Path:
    """Resolve links to the regular file that is written, so that it is rotated and not a link to it."""
    target = Path(os.path.realpath(path))
    return target if target.is_file() or not Path(path).exists() else Path(path)


def _events(path: Path, lines: list[str]) -> Iterator[Event]:
    for line in lines:
        try:
            yield Event.from_json(line)
        except DataError as e:
            raise SinkError(f"{path}: holds something else than events as JSON Lines ({e}); choose another file") from e
