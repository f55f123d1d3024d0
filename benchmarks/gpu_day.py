"""Everything that is to be measured on a CUDA card, in one call that fits a card lent for some minutes.

    python benchmarks/gpu_day.py [--minutes 10] [--parts ...] [--again] [--work DIR] [--also FILE] [--without ...]
    python benchmarks/gpu_day.py --rehearse
    python benchmarks/gpu_day.py --store out/gpu_day/gpu_day.json

Parts run in order of worth (gpu_parts.py), each in a process of its own with a deadline: one that hangs or crashes
costs only itself. A part's rows are on disk as they are measured, in DIR/parts/PART.json; all parts together are in
DIR/gpu_day.json, also after a cut. A second call skips the parts that are done, and goes on with the rows of those
that were cut, unless --again. Time that a part does not use goes to those after it.

Only Python, torch and numpy have to be there: parts and rows that need more are skipped and name it. gpu_wheels.py
prepares what is to be carried to a machine without a network.

--rehearse runs all parts on the CPU with small sizes, two at a time: its figures say nothing of a card.
--store writes a day's file to benchmarks/results, where readme.py makes docs/gpu.md of it.
The last line is JSON: what became of each part, and the targets.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_common import ROOT, Day, library_path, missing, prepare
from gpu_parts import PARTS

#: Seconds that the parts' shares add up to at ten minutes; a part gets at least so many, or is not begun.
FULL_S, LEAST_S = 600.0, 12.0
#: A rehearsed part that takes longer has gone wrong.
REHEARSED_S = 600.0
#: Between the last row that is begun and the end of a part: rows are short, but not instant.
SPARE_S = 6.0
#: Environment of rehearsed parts: two run at a time, and threads that wait for each other on busy cores take seconds
#: for what one does in a millisecond.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class Run:
    """One call: where it writes, until when, what is known of each part."""

    args: argparse.Namespace
    document: dict[str, Any]
    #: What code it measures (rooms.py), entered in each part that runs: a resumed day may be of several.
    code: dict[str, Any] | None = None
    began: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def path(self) -> Path:
        return Path(self.args.work) / "gpu_day.json"

    def limit(self, name: str) -> float:
        """Seconds for a part: its share, and what the parts before it left over."""
        scale = 60 * self.args.minutes / FULL_S
        before = 0.0
        for other in self.args.parts:
            if other == name:
                break
            before += PARTS[other].seconds * scale
        elapsed = time.monotonic() - self.began
        return min(PARTS[name].seconds * scale + max(before - elapsed, 0.0), 60 * self.args.minutes - elapsed)

    def keep(self, name: str, found: dict[str, Any]) -> None:
        """Enter what became of a part, and write all of the day."""
        with self.lock:
            self.document["parts"][name] = found
            self.path.write_text(json.dumps(self.document, indent=1) + "\n")
            if self.args.also:
                Path(self.args.also).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.path, self.args.also)
        reasons = f"; {len(found['skipped'])} rows left out" if found.get("skipped") else ""
        print(f"{name}: {found['status']} in {found['seconds']:.0f} s {found.get('why', '')}{reasons}", file=sys.stderr)


def run_part(run: Run, name: str) -> None:
    """One part in a process of its own, until its deadline."""
    args, earlier = run.args, run.document["parts"].get(name, {})
    if earlier.get("status") == "done" and not args.again:
        return
    limit = REHEARSED_S if args.rehearse else run.limit(name)
    if limit < LEAST_S:
        run.keep(name, {**earlier, "status": "cut", "seconds": 0.0, "why": f"{max(limit, 0):.0f} s were left"})
        return
    path = Path(args.work) / "parts" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    before = Path(args.work) / "parts" / f"{name}.earlier.json"
    before.write_text(json.dumps({} if args.again else earlier.get("figures", {})))
    command = [sys.executable, str(Path(__file__).resolve()), "--child", name, "--work", str(args.work)]
    command += ["--seconds", str(limit - SPARE_S), "--without", *args.without, *(["--rehearse"] * args.rehearse)]
    began = time.monotonic()
    with path.with_suffix(".log").open("w") as log:
        status = _bounded(command, log, limit, _ONE_THREAD if args.rehearse else library_path())
    found = json.loads(path.read_text()) if path.exists() else {"status": "failed", "figures": {}, "skipped": {}}
    if status == "ended at its deadline":
        found |= {"status": "cut", "why": status}
    elif status:
        tail = " ".join(path.with_suffix(".log").read_text(errors="replace").split()[-40:])
        found |= {"status": "failed", "why": f"{status}: {tail}"}
    about = {"title": PARTS[name].title, **({"code": run.code} if run.code else {})}
    run.keep(name, {**about, **found, "seconds": round(time.monotonic() - began, 1)})


def _bounded(command: list[str], log: Any, limit: float, more: Mapping[str, str]) -> str:
    """Run a command and all that it starts for so many seconds at most; "" or how it ended."""
    child = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True, env={**os.environ, **more}
    )
    try:
        code = child.wait(limit)
    except subprocess.TimeoutExpired:
        _end(child)
        return "ended at its deadline"
    except BaseException:
        _end(child)
        raise
    return "" if code == 0 else f"exit status {code}" if code > 0 else f"signal {-code}"


def _end(child: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, how)
            child.wait(3)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def child(args: argparse.Namespace) -> None:
    """What runs in the process of a part."""
    prepare(args.without)
    parts, part = Path(args.work) / "parts", PARTS[args.child]
    before = parts / f"{args.child}.earlier.json"
    earlier = json.loads(before.read_text()) if before.exists() else {}
    day = Day(parts / f"{args.child}.json", args.seconds, args.rehearse, earlier)
    if lacking := missing(part.needs):
        day.write("skipped", f"not installed: {', '.join(lacking)}")
        return
    getattr(importlib.import_module(part.module), part.function)(day)
    late = any(reason.startswith("no time") for reason in day.skipped.values())
    day.write("cut" if late else "done")


def day(args: argparse.Namespace) -> dict[str, Any]:
    """All parts; gives the day's document."""
    from common import this_run
    from rooms import code_record

    Path(args.work).mkdir(parents=True, exist_ok=True)
    run = Run(args, {}, code_record("gpu_day"))
    found = json.loads(run.path.read_text()) if run.path.exists() else {}
    if found.get("rehearsal", args.rehearse) != args.rehearse:
        sys.exit(f"{run.path} is of {'a rehearsal' if found['rehearsal'] else 'a card'}: choose another --work")
    run.document = {"benchmark": "gpu_day", "rehearsal": args.rehearse, **this_run(), "parts": found.get("parts", {})}
    with ThreadPoolExecutor(2 if args.rehearse else 1) as pool:
        for done in [pool.submit(run_part, run, name) for name in args.parts]:
            done.result()
    run.document["seconds"] = round(time.monotonic() - run.began, 1)
    run.path.write_text(json.dumps(run.document, indent=1) + "\n")
    if args.also:
        shutil.copy(run.path, args.also)
    return run.document


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--again", action="store_true", help="Measure parts anew that are done.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--also", type=Path, help="A second place for the day's file, written after each part.")
    parser.add_argument("--without", nargs="*", default=[], metavar="PACKAGE", help="Do as if it were not installed.")
    parser.add_argument("--store", type=Path, metavar="FILE", help="Write a day's file to benchmarks/results.")
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.work = (args.work or Path("out") / ("gpu_rehearsal" if args.rehearse else "gpu_day")).resolve()
    args.parts = [p for p in PARTS if p in args.parts]
    return args


def main() -> None:
    args = arguments()
    if args.child:
        child(args)
        return
    prepare([])
    from gpu_section import summary

    if args.store:
        found = json.loads(args.store.read_text())
        (ROOT / "benchmarks" / "results" / "gpu_day.json").write_text(json.dumps(found, indent=1) + "\n")
    else:
        found = day(args)
    print(json.dumps(summary(found)))
    sys.exit(any(p["status"] == "failed" for p in found["parts"].values()))


if __name__ == "__main__":
    main()
