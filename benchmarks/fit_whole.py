"""What `tal fit` costs as a whole, as a user runs it: twelve videos of fifteen seconds, one click an action, `lite0`.

    python benchmarks/fit_whole.py [--work DIR] [--seeds 0 1 2]

Procedural videos of four exercises, three videos of each, by the first seeds that give such. Wall time is of a fresh
process with nothing made before, on a machine that did nothing else if its load says so; processor time is the
process's and its children's.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import finish, spread, stored

from tal_engine.demo.demo_set import write_video
from tal_engine.demo.render import render
from tal_engine.demo.script import Script, write_script

NAME = "fit_whole"
ACTIONS = ("squat", "jumping jack", "wave", "kick")
EACH, SECONDS = 3, 15.0


def scripts(seed: int) -> list[Script]:
    """The first scripts that show one of the actions alone, so many of each."""
    found: dict[str, list[Script]] = {a: [] for a in ACTIONS}
    number = 0
    while any(len(of) < EACH for of in found.values()):
        script = write_script(f"v{number:04d}", [seed, 91, number], duration=(SECONDS, SECONDS), instances=(1, 3))
        kinds = {label for _, _, label in script.instances()}
        if len(kinds) == 1 and (of := found.get(kinds.pop())) is not None and len(of) < EACH:
            of.append(script)
        number += 1
    return sorted((s for of in found.values() for s in of), key=lambda s: s.name)


def prepared(folder: Path, seed: int) -> Path:
    """The videos, and one click in the middle of each action."""
    rows = []
    for script in scripts(seed):
        write_video(folder / "videos" / f"{script.name}.mp4", render(script), script.fps)
        rows += [(script.name, round((a + b) / 2, 2), label) for a, b, label in script.instances()]
    with (folder / "clicks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("video", "time", "label"), *rows])
    return folder


def measured(folder: Path) -> dict[str, Any]:
    """Seconds of one run of the command, and what it says of its plan."""
    tal = [sys.executable, "-c", "from tal_engine.cli.main import run; run()"]
    command = [*tal, "fit", "videos", "--labels", "clicks.csv", "-o", "mine.plan"]
    load, before, began = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    report = folder / "mine.fit" / "report.json"
    said = json.loads(report.read_text()) if report.exists() else {}
    return {
        "exit_status": done.returncode, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "load_before": round(load, 2),
        "labels": sum(1 for _ in (folder / "clicks.csv").open()) - 1, "figures": said.get("figures"),
        "seconds": said.get("seconds"), "said": done.stderr.splitlines()[-1:],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/fit_whole"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    runs = dict(stored(NAME).get("figures", {}).get("runs", {}))
    for seed in args.seeds:
        folder = args.work / str(seed)
        shutil.rmtree(folder, ignore_errors=True)
        runs[str(seed)] = measured(prepared(folder, seed))
        print(seed, runs[str(seed)], flush=True)
        summary = {m: spread([float(r[m]) for r in runs.values()]) for m in ("wall_s", "cpu_s")}
        finish(NAME, {"videos": EACH * len(ACTIONS), "seconds_each": SECONDS, "runs": runs, "summary": summary})


if __name__ == "__main__":
    main()
