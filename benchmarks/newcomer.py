"""How long a newcomer waits who follows README: from `git clone` to first segments, and to a first plan of own actions.

python benchmarks/newcomer.py [--work FOLDER]

Commands are README's. "Own" videos are the twelve of fit_whole.py (there are no others here); drawing them is not
counted, and `--force` ships a plan that may do no better than chance: lite0 knows little of a drawn figure. Minutes by
the clock of this machine, with its load at the start: packages come from where pip finds them, so the network is part
of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import finish
from fit_whole import prepared

ROOT = Path(__file__).parents[1]


class Clock:
    """Runs commands and keeps the minutes of each."""

    def __init__(self) -> None:
        self.minutes: dict[str, float] = {}

    def run(self, what: str, command: str, folder: Path) -> None:
        began = time.monotonic()
        done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{command}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        self.minutes[what] = round((time.monotonic() - began) / 60, 2)
        print(f"{what}: {self.minutes[what]} minutes", flush=True)


def segments_in(path: Path) -> int:
    return sum(map(len, json.loads(path.read_text())["results"].values()))


def first_segments(clock: Clock, folder: Path) -> int:
    """Clone and `make demo`."""
    clock.run("git clone", f"git clone -q {ROOT} tal_engine", folder)
    clock.run("make demo", "make demo", folder / "tal_engine")
    return segments_in(folder / "tal_engine/out/segments.json")


def first_plan(clock: Clock, folder: Path) -> int:
    """Install what fitting needs, fit clicks, localize a video."""
    tal = "tal_engine/.venv/bin/tal"
    prepared(folder, seed=0)
    clock.run("install", ".venv/bin/python -m pip install -q -e '.[cpu,train,lite,plot]'", folder / "tal_engine")
    clock.run("tal fit", f"{tal} fit videos/ --labels clicks.csv -o mine.plan --force", folder)
    clock.run("tal localize", f"{tal} localize $(ls videos/*.mp4 | head -1) --plan mine.plan -o found.json", folder)
    return segments_in(folder / "found.json")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args()
    clock, load = Clock(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as kept:
        folder = asked.work or Path(kept)
        folder.mkdir(exist_ok=True, parents=True)
        found = first_segments(clock, folder)
        own = first_plan(clock, folder)
    m = clock.minutes
    to_segments = m["git clone"] + m["make demo"]
    to_plan = to_segments + m["install"] + m["tal fit"] + m["tal localize"]
    finish("newcomer", {
        "minutes": m, "to_first_segments": round(to_segments, 2), "to_first_plan": round(to_plan, 2),
        "segments": found, "segments_of_own": own, "load_before": load,
    })  # fmt: skip


if __name__ == "__main__":
    main()
