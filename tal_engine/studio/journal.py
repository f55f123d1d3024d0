"""What happened to a project, a line each, on the disk before anybody is told so: the truth after a crash.

An entry has a number, one more than the one before: order never depends on a clock. A last line that is not whole was
never told to anybody, and is cut off; a damaged line before it is an error that names it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DataError, StateError

Entry = dict[str, Any]


class Journal:
    """An append-only file of entries; for one writer.

    Args:
        path: the file; made if it is not there.

    Raises:
        DataError: a line before the last one is no entry.
        OSError: it cannot be read or written.

    Example:
        >>> import tempfile
        >>> journal = Journal(Path(tempfile.mkdtemp()) / "journal.jsonl")
        >>> journal.append({"kind": "note"})["n"]
        1
        >>> journal.close()
    """

    def __init__(self, path: Path) -> None:
        self.path, self.entries, self._unsure = path, list[Entry](), False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._size = self._read()
            if os.fstat(self._file).st_size != self._size:
                os.ftruncate(self._file, self._size)
            os.fsync(self._file)
            _sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise

    def _read(self) -> int:
        """Read all entries; return the bytes that they take."""
        data, at = self.path.read_bytes(), 0
        while (end := data.find(b"\n", at)) >= 0:
            try:
                entry = json.loads(data[at:end])
                if entry["n"] != len(self.entries) + 1:
                    raise ValueError(f"its number is {entry['n']}")
            except (ValueError, KeyError, TypeError) as e:
                if end + 1 == len(data):  # written in part by a file system that lost its order
                    break
                line, kept = len(self.entries) + 1, self.path.with_name("labels.json")
                raise DataError(
                    f"{self.path}: line {line} is no entry of a journal ({e}); begin anew with another --project and "
                    f"--labels {kept}"
                ) from e
            self.entries.append(entry)
            at = end + 1
        return at

    @property
    def revision(self) -> int:
        """The number of the last entry; 0 for none."""
        return len(self.entries)

    def append(self, entry: Mapping[str, Any]) -> Entry:
        """Write an entry, and return it with its number once it is on the disk.

        Raises:
            OSError: it could not be written, or the file is not where it was; the journal is as it was.
            StateError: after an error it could not be brought back to what it was; open it again.
        """
        if self._unsure:
            raise StateError(f"{self.path}: what is on the disk is not known after an error; start the studio again")
        self._check_there()
        whole: Entry = {"n": self.revision + 1, **entry}
        line = json.dumps(whole, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as e:
            e.filename = e.filename or str(self.path)
            self._take_back()
            raise
        self._size += len(line)
        self.entries.append(whole)
        return whole

    def _check_there(self) -> None:
        """Refuse to write into a file that nobody would find again: the project was moved or removed."""
        try:
            there, mine = self.path.stat(), os.fstat(self._file)
        except OSError as e:
            raise OSError(errno.EIO, f"the project was moved or removed: {e.strerror}", str(self.path)) from e
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise OSError(errno.EIO, "the project was moved or removed, and another one is there", str(self.path))

    def _take_back(self) -> None:
        """Remove what was written of an entry."""
        self._unsure = True
        with suppress(OSError):
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
            self._unsure = False

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _sync_folder(folder: Path) -> None:
    """Put the name of a new file on the disk as well."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems have no such thing
            os.fsync(handle)
    finally:
        os.close(handle)
