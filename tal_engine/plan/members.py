"""The files inside a plan, and how they go back to where they were read from once sessions hold what they say."""

from __future__ import annotations

import hashlib
import os
import stat
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PlanError, PlanFault


class PlanFile:
    """The file that a plan was read from, held open: who replaces or deletes it by name does not change it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over a copy of the descriptor of an open file."""
        self.path = path
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, place: int, size: int) -> bytes:
        """Read `size` bytes at `place`, fewer where the file ends sooner."""
        parts = []
        while size > 0 and (part := os.pread(self._descriptor, size, place)):
            parts.append(part)
            place, size = place + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True)
class Stored:
    """Where a member lies in a plan's file, and what it must be."""

    file: PlanFile
    place: int
    size: int
    sha256: str

    def read(self, name: str) -> bytes:
        """Read the member.

        Raises:
            PlanError: the file was changed in place since the plan was read.
        """
        try:
            content = self.file.read(self.place, self.size)
        except OSError as e:
            why = f"{self.file.path}: member {name!r} cannot be read again ({e.strerror})"
            raise PlanError(PlanFault.UNREADABLE, why).because(e, self.file.path) from e
        if hashlib.sha256(content).hexdigest() != self.sha256:
            what = f"{self.file.path}: member {name!r} was changed in the file since the plan was read"
            raise PlanError(PlanFault.WRONG_HASH, what)
        return content


def plan_file(path: Path, descriptor: int) -> PlanFile | None:
    """Keep an open plan's file for later; None where it cannot be read twice, or not be replaced while open."""
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    return PlanFile(path, descriptor) if regular and hasattr(os, "pread") else None


class Members(Mapping[str, bytes]):
    """Contents of a plan's files by name; after `release` those that lie in its file are read when they are asked for.

    >>> from tal_engine.plan.members import Members
    >>> Members({"head.onnx": b"graph"})["head.onnx"]
    b'graph'
    """

    def __init__(self, files: Mapping[str, bytes], stored: Mapping[str, Stored] | None = None) -> None:
        """Hold files; `stored` says of those that were read from a plan where they lie."""
        self._held = dict(files)
        self._stored = dict(stored or {})
        self._names = list(self._held)

    def release(self, read: Members) -> None:
        """Give up the bytes of members that lie in a file; they are read from there when they are asked for again.

        Args:
            read: members as they were read, of this plan or the one that it was made of.
        """
        for name, place in read._stored.items():
            if name in self._held and self._held[name] is read._held.get(name):
                self._stored[name] = place
                # One step each, so that another thread finds the member in one of the two.
                del self._held[name]

    @property
    def held(self) -> int:
        """How many bytes are in memory."""
        return sum(map(len, list(self._held.values())))

    def __getitem__(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            PlanError: it is to be read from the plan's file, which was changed in place.
        """
        content = self._held.get(name)
        if content is None and name in self._stored:
            return self._stored[name].read(name)
        return self._held[name] if content is None else content

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to other processes with all contents: they may not see the file."""
        return Members, (dict(self),)
