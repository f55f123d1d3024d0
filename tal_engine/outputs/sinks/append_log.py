"""Files that grow by whole records and are sound at every moment. Knows bytes and crashes, nothing of events.

A record goes out in one write. One that could not be written whole (disk full) is taken back, one that a crash tore is
cut off when the file is opened again. A file that holds something else is refused and left as it is. One writer a file.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from ..._util.files import open_through
from ...errors import SinkError

#: How much of the end of a file is read again when it is opened: enough for some ten thousand events.
_TAIL_BYTES = 4 << 20
#: A torn record is shorter than this; a longer rest without an end is no record.
_TORN_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Form:
    """What a file must look like to be taken for ours.

    what: the form's name, for messages. head: how the file begins. end: how a record ends.
    record: what a whole record matches. torn: what the beginning of a torn one matches.
    """

    what: str
    record: re.Pattern[str]
    torn: re.Pattern[bytes]
    head: bytes = b""
    end: bytes = b"\n"


class AppendedFile:
    """An open file of records; `records` are the last ones it held when it was opened, without their ends.

    Args:
        path: the file; its folder is made. A device or pipe is written from its beginning.
        form: what it must look like where it has something in it.
        fsync: every record is on the disk when `append` returns; without it a loss of power can take the last ones.
        tail: so many bytes of its end are read for `records`.

    Raises:
        SinkError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: str | Path, form: Form, *, fsync: bool = False, tail: int = _TAIL_BYTES) -> None:
        self.path, self.form, self._fsync, self._tail = Path(path), form, fsync, tail
        self._file, self.records = -1, list[str]()
        self._sound: int | None = None  # bytes to cut the file to before anything is added: a torn record follows them
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            through = open_through(self.path)
            #: A device or a pipe: what was written cannot be read again, taken back, or put aside.
            self.passes_on = through is not None
            if through is not None:
                self._file = through
                self._write(form.head)
                return
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            self.records = self._recover()
        except OSError as e:
            self._let_go()
            raise self._unwritable(e) from e
        except SinkError:
            self._let_go()
            raise

    @property
    def size(self) -> int:
        """Bytes in the file; of a device or pipe 0.

        Raises:
            SinkError: the file was closed, or the disk is gone.
        """
        if self._file < 0:
            raise SinkError(f"{self.path}: already closed")
        try:
            return 0 if self.passes_on else os.fstat(self._file).st_size
        except OSError as e:
            raise self._unwritable(e) from e

    def append(self, record: str) -> None:
        """Write a record and its end, whole or not at all.

        Raises:
            SinkError: the disk is full or gone; what was written before stays.
        """
        self._write(record.encode() + self.form.end)

    def clear(self) -> None:
        """Forget all records.

        Raises:
            SinkError: the disk is gone.
        """
        if self._file < 0:
            raise SinkError(f"{self.path}: already closed")
        if self.passes_on:
            return
        try:
            os.ftruncate(self._file, len(self.form.head))
        except OSError as e:
            raise self._unwritable(e) from e
        self._sound = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._file < 0

    def close(self) -> None:
        """Close the file; nothing is left to write.

        Raises:
            SinkError: the disk says only now that it did not keep what was written; the file counts as closed.
        """
        number, self._file = self._file, -1  # a number that is kept would soon be that of another file
        if number >= 0:
            try:
                os.close(number)
            except OSError as e:
                raise self._unwritable(e) from e

    def _let_go(self) -> None:
        """Close the file after another error, which is the one that is told."""
        with contextlib.suppress(SinkError):
            self.close()

    def _unwritable(self, e: OSError, more: str = "") -> SinkError:
        return SinkError(f"{self.path}: cannot be written ({e.strerror}){more}")

    def _write(self, data: bytes) -> None:
        if self._file < 0:
            raise SinkError(f"{self.path}: already closed")
        before, done = 0, -1
        try:
            self._cut()
            before, done = self.size, 0
            while done < len(data):
                done += os.write(self._file, data[done:])
            if self._fsync:
                os.fsync(self._file)
        except OSError as e:
            if done >= 0:  # also where all of it is there and fsync failed: it will be written again
                self._take_back(before)
            raise self._unwritable(e, "; what was written before is whole") from e
        except BaseException:  # a signal's handler may raise here: after a whole write, the record stays
            if done >= 0 and self.size < before + len(data):
                self._take_back(before)
            raise

    def _take_back(self, size: int) -> None:
        """Cut the file to what was sound; where the disk refuses that too, before the next record."""
        if self.passes_on:
            return
        self._sound = size
        with contextlib.suppress(OSError):
            self._cut()

    def _cut(self) -> None:
        if self._sound is not None:
            os.ftruncate(self._file, self._sound)
            self._sound = None

    def _recover(self) -> list[str]:
        """Look at what is there, cut off a torn record, write the head of a new file."""
        size, head = self.size, self.form.head
        begin = self._read(0, len(head))
        if begin != head:
            self._require(head.startswith(begin))  # torn while the head was written, or new
            os.ftruncate(self._file, 0)
            self._write(head)
            return []
        start = max(len(head), size - self._tail)
        data = self._read(start, size - start)
        whole = data.rfind(self.form.end) + len(self.form.end) if self.form.end in data else 0
        torn = data[whole:]
        pieces = data[:whole].split(self.form.end)[:-1]
        records = [self._text(p) for p in pieces[1 if start > len(head) else 0 :]]  # the first may be cut by the tail
        self._require(not torn or (len(torn) < _TORN_BYTES and self.form.torn.match(torn) is not None))
        self._require(bool(records) or start == len(head))
        if torn:
            os.ftruncate(self._file, start + whole)
        return records

    def _text(self, piece: bytes) -> str:
        text = piece.decode(errors="replace")
        self._require(self.form.record.fullmatch(text) is not None)
        return text

    def _require(self, ours: bool) -> None:
        if not ours:
            raise SinkError(
                f"{self.path}: holds something else than {self.form.what}; left as it is, choose another file"
            )

    def _read(self, start: int, count: int) -> bytes:
        os.lseek(self._file, start, os.SEEK_SET)
        parts = []
        while count > 0 and (part := os.read(self._file, count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


class Recent:
    """The newest `limit` keys, so that what comes twice is known without keeping all that ever came."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def add(self, key: Hashable) -> None:
        """Remember a key; the oldest one may be forgotten for it."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._limit:
            self._keys.popitem(last=False)
