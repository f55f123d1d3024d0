"""Fault sweeps as SQLite does them: python benchmarks/bench_faults.py [COMMAND ...] [--calls N] [--kills N].

Each command runs hundreds of times, and each time another writing call below its output folder fails, or the process is
killed; then the same command runs again. docs/faults.md says what is counted and is written by benchmarks/readme.py.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import store, stored

from tal_engine.engine import EMBEDDED_PLAN

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import material, works
from tests.faults.client import Fault, Mode, Server, build
from tests.faults.sweep import Result, Sweep, can_mount, each_call

#: By the word of a column: how the injector makes it.
KINDS = {
    "one call fails (ENOSPC)": (Mode.FAIL, errno.ENOSPC),
    "one call fails (EIO)": (Mode.FAIL, errno.EIO),
    "full from a call on": (Mode.STAY, errno.ENOSPC),
    "gone from a call on": (Mode.STAY, errno.EIO),
    "killed at a call": (Mode.KILL, errno.EIO),
    "killed within a call": (Mode.TEAR, errno.EIO),
}
#: Sizes of file systems that are really full, as shares of what a run leaves behind.
DISKS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
EACH = "one call fails (ENOSPC)"
RANDOM, DISK = "killed at random", "small disk"


def localize(folder: Path, server: Server) -> Iterator[works.Work]:
    given = material.light(folder, seconds=4)
    for form in ("json", "jsonl", "csv", "srt", "vtt"):
        yield works.localize(form, [given.clip], given.plan)
    yield works.localize("json", [given.clip], given.plan, "p.png", "v.mp4")


def features(folder: Path, server: Server) -> Iterator[works.Work]:
    yield works.features(material.light(folder).clips)


def stream(folder: Path, server: Server) -> Iterator[works.Work]:
    given = material.light(folder, seconds=2)
    yield works.stream(given.clip, given.plan, material.FINALS)
    yield works.stream(given.clip, given.plan, material.FINALS, rotate=1500)


def _training(folder: Path, server: Server) -> tuple[Path, Path]:
    """A data set, and the checkpoint after two of its steps."""
    data, earlier = material.training_set(folder / "data"), folder / "earlier"
    work = works.train(data, material.METHOD, earlier, *material.SETTINGS, "steps=2")
    if server.run(work.argv(earlier), folder, prefix=folder / "none", learn=True, limit=300.0).status:
        raise RuntimeError((folder / "stderr.txt").read_text())
    return data, earlier


def train(folder: Path, server: Server) -> Iterator[works.Work]:
    data, earlier = _training(folder, server)
    yield works.train(data, material.METHOD, earlier, *material.SETTINGS, f"steps={material.STEPS}")


def export(folder: Path, server: Server) -> Iterator[works.Work]:
    yield works.export(_training(folder, server)[1])


def plan_build(folder: Path, server: Server) -> Iterator[works.Work]:
    yield works.plan_build(EMBEDDED_PLAN)


COMMANDS: dict[str, Callable[[Path, Server], Iterator[works.Work]]] = {
    "train": train, "export": export, "plan build": plan_build, "features extract": features, "localize": localize,
    "stream": stream,
}  # fmt: skip


def spread(calls: int, most: int, mode: Mode, error: int) -> Iterator[Fault]:
    """A fault at each call, or at so many of them that lie evenly."""
    chosen = range(1, calls + 1) if calls <= most else {1 + k * calls // most for k in range(most)}
    for at in sorted(chosen):
        yield next(each_call(at, mode, error, first=at))


def swept(sweep: Sweep, most: int, killed: int, only: str | None) -> dict[str, Any]:
    """Kinds of fault of one command: one call at each that it makes, the other kinds at `most` of them."""
    found: dict[str, list[Result]] = {}

    def add(kind: str, result: Result) -> None:
        found.setdefault(kind, []).append(result)
        print(f"{sweep.work.name:<40}{kind:<26}{words(told([result]))}", flush=True)

    for old, calls in sweep.calls.items():
        for kind, (mode, error) in KINDS.items():
            every = calls if kind == EACH and not old else most
            if only in (None, kind):
                add(kind, sweep.run(spread(calls, every, mode, error), old=old))
        if only in (None, RANDOM):
            add(RANDOM, sweep.killed_at_random(killed // len(sweep.calls), old=old, seed=old))
    if only in (None, DISK) and can_mount(Path(tempfile.mkdtemp())):
        needed = sum(len(c) for c in works.files_of(sweep.wanted.out).values()) / 1024
        add(DISK, sweep.small_disks(max(4, round(needed * share)) for share in DISKS))
    return {
        "calls": sweep.calls[False], "seconds": sweep.seconds[False],
        "kinds": {kind: told(results) for kind, results in found.items()},
    }  # fmt: skip


def told(results: list[Result]) -> dict[str, Any]:
    """Sums, ready for JSON."""
    names = ("refused", "finished", "killed")
    return {
        "tries": sum(r.tries for r in results), **{n: sum(r.counts[n] for r in results) for n in names},
        "leftovers": sum(r.leftovers for r in results), "bad": [b for r in results for b in r.bad],
    }  # fmt: skip


def keep(command: str, rows: dict[str, Any], minutes: float, *, add: bool) -> None:
    """Store a command's rows, or put their kinds into what is stored; several processes may run at a time."""
    with (Path(tempfile.gettempdir()) / "tal-bench-faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = stored("bench_faults").get("figures", {}).get(command, {"rows": {}, "minutes": 0.0}) if add else None
        if before is not None:
            minutes += before["minutes"]
            for name, row in rows.items():
                row["kinds"] = before["rows"].get(name, {}).get("kinds", {}) | row["kinds"]
            rows = before["rows"] | rows
        store("bench_faults", {"rows": rows, "minutes": minutes}, command)


def words(f: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {f[n]}" for n in ("refused", "finished", "killed"))
    return f"{f['tries']:>5} tries: {counts}, bad {len(f['bad'])}" + "".join(f"\n  {b}" for b in f["bad"][:20])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--calls", type=int, default=40, help="most calls of a run that a kind of fault is tried at")
    parser.add_argument("--only", choices=[*KINDS, RANDOM, DISK], help="one kind; what is stored of others stays")
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs at random moments")
    given = parser.parse_args()
    bad = 0
    for command in given.commands or COMMANDS:
        began = time.monotonic()
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(prefix="tal-faults-", dir=memory if memory.is_dir() else None) as name:
            folder, rows = Path(name), {}
            with Server(build(folder)) as server:
                for work in COMMANDS[command](folder / "inputs", server):
                    rows[work.name] = row = swept(
                        Sweep(work, server, folder / "trials"), given.calls, given.kills, given.only
                    )
                    bad += sum(len(f["bad"]) for f in row["kinds"].values())
        keep(command, rows, (time.monotonic() - began) / 60, add=given.only is not None)
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
