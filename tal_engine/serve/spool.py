"""Bodies on their way to the engine: files of a folder that only the service names, bounded together."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from .._util.names import VIDEO_SUFFIXES, ending
from .problems import ProblemError, busy

#: Bytes that are gathered before they are written.
_PIECE = 1 << 20
#: How a zip archive begins: features, as no container of videos does.
_ZIP = b"PK\x03\x04"


class Spool:
    """Files of uploads; the names are ours, so no request says where anything lies.

    Args:
        folder: of the files; made if it is not there.
        limit: bytes of all files together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self._limit = folder, limit
        self._lock, self._used = threading.Lock(), 0

    def keep_only(self, names: Iterable[str]) -> None:
        """Remove all files but these: what a killed service had not accepted yet."""
        wanted = set(names)
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        self._used = sum(p.stat().st_size for p in self.folder.iterdir())

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return self._used

    def remove(self, path: Path | None) -> None:
        """Remove a file; removing twice is harmless."""
        if path is None:
            return
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        self._count(-size)

    async def take(self, pieces: AsyncIterator[bytes], name: str) -> Path:
        """Write a body to a file; without one where it breaks off.

        Args:
            pieces: of the body.
            name: that the client gave; its ending is kept if it is one of videos, as some formats have no other mark.

        Raises:
            ProblemError: the body is empty, or all files together are too large.
        """
        path, gathered, written = self._path(name), bytearray(), 0
        file = path.open("xb", buffering=0)
        try:
            async for piece in pieces:
                gathered += piece
                if len(gathered) >= _PIECE:
                    written += await asyncio.to_thread(self._write, file.fileno(), bytes(gathered))
                    gathered.clear()
            if not written and not gathered:
                raise ProblemError("invalid-request", "the body is empty, must be a video or features (.npz)")
            await asyncio.to_thread(self._write, file.fileno(), bytes(gathered))
        except BaseException:
            self.remove(path)
            raise
        finally:
            file.close()
        return await asyncio.to_thread(self.by_content, path)

    def write_piece(self, path: Path, piece: bytes) -> None:
        """Append to a file, which is made with its first piece; for the threads of workers.

        Raises:
            ProblemError: all files together are too large.
        """
        number = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            self._write(number, piece)
        finally:
            os.close(number)

    def new_path(self, name: str) -> Path:
        """Return a name that no file has."""
        return self._path(name)

    @staticmethod
    def by_content(path: Path) -> Path:
        """Name a file of features as what it is, and no other so: its ending says what the engine makes of it."""
        with path.open("rb") as file:
            features = file.read(len(_ZIP)) == _ZIP
        return path.rename(path.with_suffix(".npz")) if features else path

    def _path(self, name: str) -> Path:
        suffix = ending(name.rpartition("/")[2]).lower()
        return self.folder / (secrets.token_hex(16) + (suffix if suffix in VIDEO_SUFFIXES else ".media"))

    def _write(self, number: int, data: bytes) -> int:
        self._count(len(data))
        done = 0
        try:
            while done < len(data):
                done += os.write(number, data[done:])
        finally:
            self._count(done - len(data))
        return done

    def _count(self, change: int) -> None:
        with self._lock:
            if change > 0 and self._used + change > self._limit:
                raise busy(f"the uploads that wait take {self._used >> 20} MiB, at most {self._limit >> 20}", 30)
            self._used += change


def durable(path: Path) -> None:
    """Wait until a file and its name are on the disk."""
    for place in (path, path.parent):
        number = os.open(place, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
