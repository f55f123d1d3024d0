"""Runs trials of a command under faults and judges them."""

from __future__ import annotations

import errno
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from .client import NONE, Fault, Mode, Server, Trial
from .works import Place, Work, clear, end_lines, files_of, leftovers, same_files, whole_files

#: The random part of a temporary file's name.
_RANDOM = re.compile(r"\.[a-z0-9_]{8}\.")
#: A trial that takes longer hangs, seconds.
LIMIT = 120.0


@dataclass
class Result:
    """What became of all trials of one kind of fault.

    counts: "refused" (a clear error, nothing half written), "finished" (the result is there all the same), "killed",
    "not reached" (the command makes fewer calls, or was faster). bad: what was wrong, with the fault.
    """

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    leftovers: int = 0
    #: That the last trial took.
    seconds: float = 0.0

    @property
    def tries(self) -> int:
        """Trials in which the fault came."""
        return sum(n for what, n in self.counts.items() if what != "not reached")


class Sweep:
    """Trials of one command in a scratch folder.

    Args:
        work: the command.
        server: runs it.
        scratch: a folder of this sweep's own.
    """

    def __init__(self, work: Work, server: Server, scratch: Path) -> None:
        self.work, self._server, self._scratch = work, server, scratch
        shutil.rmtree(scratch, ignore_errors=True)
        if work.warm:
            server.warm(*work.warm)
        self.wanted = self._fresh("wanted")
        if self._run(self.wanted, learn=True).status != 0:
            raise RuntimeError(f"{work.name} fails by itself: {self.wanted.stderr}")
        self._proven: set[frozenset[tuple[str, str]]] = set()
        self._starts: dict[bool, Path | None] = {False: None}
        if work.old is not None:
            self._starts[True] = scratch / "old"
            (scratch / "old").mkdir()
            work.old(scratch / "old")
        #: Writing calls of a run and its seconds, on an empty folder and over an earlier result.
        self.calls: dict[bool, int] = {}
        self.seconds: dict[bool, float] = {}
        for old in self._starts:
            self._count(old)

    def _count(self, old: bool) -> None:
        place = self._fresh("again", self._starts[old])
        self._proven.add(_state(place.out))
        trial = self._run(place, Fault("count", Mode.FAIL, 1 << 40))
        if problems := self._same(place):
            raise RuntimeError(f"{self.work.name}, old {old}, is not the same twice: {problems}")
        self.calls[old], self.seconds[old] = trial.seen, trial.seconds

    def _fresh(self, name: str, old: Path | None = None) -> Place:
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        place = Place(folder)
        if old is not None:
            shutil.copytree(old, place.out)
        else:
            place.out.mkdir()
        return place

    def _run(self, place: Place, fault: Fault = NONE, *, learn: bool = False) -> Trial:
        told = place.out / "stdout.jsonl" if self.work.told else None
        argv = self.work.argv(place.out)
        return self._server.run(argv, place.folder, fault, prefix=place.out, stdout=told, limit=LIMIT, learn=learn)

    def _same(self, place: Place) -> list[str]:
        return (self.work.same or same_files)(place, self.wanted)

    def run(self, faults: Iterable[Fault], *, old: bool = False) -> Result:
        """One trial a fault, on an empty folder or on one that holds an earlier result."""
        result = Result()
        for fault in faults:
            what, problems = self._one(fault, result, self._starts[old])
            result.counts[what] += 1
            result.bad += [f"{fault.name}{' over an earlier result' if old else ''}: {p}" for p in problems]
        return result

    def killed_at_random(self, count: int, *, old: bool = False, seed: int = 0) -> Result:
        """So many trials that SIGKILL ended; a run that ends before its moment tells how long runs take by now."""
        result, rng, seconds = Result(), random.Random(seed), self.seconds[old]
        for k in range(8 * count):
            if result.counts["killed"] == count:
                break
            after = rng.uniform(0.0, seconds)
            one = self.run([Fault(f"kill {k} after {after:.3f} s", kill_after=after)], old=old)
            result.counts += one.counts
            result.bad += one.bad
            result.leftovers += one.leftovers
            if one.counts["not reached"]:
                seconds = max(0.8 * min(seconds, one.seconds), 0.01)
        return result

    def small_disks(self, kib: Iterable[int]) -> Result:
        """One trial on each file system of so many KiB; the command then runs again once there is room."""
        result = Result()
        for size in kib:
            place = self._fresh("trial")
            with small_disk(place.out, size) as grow:
                trial = self._run(place)
                problems = self._judged(place, trial, None)
                grow()
                problems = problems or [f"when run again, {p}" for p in self._again(place)]
            result.counts["finished" if trial.status == 0 else "refused"] += 1
            result.bad += [f"a disk of {size} KiB: {p}" for p in problems]
        return result

    def _one(self, fault: Fault, result: Result, old: Path | None) -> tuple[str, list[str]]:
        place = self._fresh("trial", old)
        trial = self._run(place, fault)
        result.seconds = trial.seconds
        if trial.outcome == "hung":
            return "hung", [f"did not end within {LIMIT:g} s"]
        if not trial.killed and not trial.hits:
            return "not reached", []
        if trial.call:
            result.calls[trial.call] += 1
        problems = [f"{trial.call}: {p}" if trial.call else p for p in self._judged(place, trial, old)]
        if trial.killed and self.work.told:
            end_lines(place)
        result.leftovers += bool(leftovers(place.out))
        if not problems:
            problems = [f"{trial.call}: when run again, {p}" for p in self._again(place)]
        what = "killed" if trial.killed else "finished" if trial.status == 0 else "refused"
        return what, problems

    def _judged(self, place: Place, trial: Trial, old: Path | None) -> list[str]:
        """Before anything is repaired."""
        problems = (self.work.sound or whole_files)(place, self.wanted, old)
        if trial.killed:
            return problems
        if trial.status == 0:
            return problems + [f"exit status 0, but {p}" for p in self._same(place)]
        if trial.status < 0:
            return [*problems, f"ended by signal {-trial.status}"]
        left = [p.name for p in leftovers(place.out)]
        excused = trial.call == "unlink" or trial.hits > 1
        return problems + clear(place.stderr) + [f"leaves {n}" for n in left if not excused]

    def _again(self, place: Place) -> list[str]:
        """What is wrong after the same command ran once more, undisturbed; a folder that was seen to be right is."""
        state = _state(place.out)
        if state in self._proven:
            return []
        if not (problems := self._repeated(place)):
            self._proven.add(state)
        return problems

    def _repeated(self, place: Place) -> list[str]:
        (place.folder / "stderr.txt").unlink(missing_ok=True)
        trial = self._run(place)
        if trial.status != 0:
            return [f"it ends with {trial.status}: {place.stderr[-300:]!r}"]
        return self._same(place)


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Callable[[], None]]:
    """A file system of its own at a folder, in memory; calling what is given makes it large. Needs root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tal-faults", str(folder)], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(scratch: Path) -> bool:
    """Whether this process may make a small file system."""
    try:
        with small_disk(scratch, 64):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _state(folder: Path) -> frozenset[tuple[str, str]]:
    """What is in a folder, by hashes; temporary files by what they are for."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return frozenset(
        (_RANDOM.sub(".*.", str(p.relative_to(folder))), sha256(p.read_bytes()).hexdigest()) for p in found
    )


def each_call(calls: int, mode: Mode, error: int = errno.ENOSPC, every: int = 1, first: int = 1) -> Iterator[Fault]:
    """A fault at each writing call of a run, or at every so many."""
    for at in range(first, calls + 1, every):
        yield Fault(f"{mode.name.lower()} {errno.errorcode[error]} at call {at}", mode, at, error)


def kills(count: int, seconds: float, seed: int = 0) -> Iterator[Fault]:
    """SIGKILL at random moments of a run that takes so long."""
    rng = random.Random(seed)
    for k in range(count):
        after = rng.uniform(0.0, seconds)
        yield Fault(f"kill {k} after {after:.3f} s", kill_after=after)


__all__ = ["Place", "Result", "Sweep", "each_call", "files_of", "kills"]
