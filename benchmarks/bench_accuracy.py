"""How well weak supervision does: on simulated features, on real ones, and how fast it trains.

    python benchmarks/bench_accuracy.py [--work DIR] [--parts simulator stpn gym speed]

simulator  six base heads, PVLR and its tables 3, 5 and 6 on planted actions (accuracy_simulator.py).
stpn       STPN's published THUMOS14 head on real features of a real video, through import, export and TALEngine.
gym        video-level mAP on real I3D features of gym clips, five folds (accuracy_gym.py).
speed      PVLR's training iterations a second at its published size (accuracy_speed.py).

Every trained row is of the last checkpoint, mean and spread over seeds or folds; nothing is picked by test scores.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from accuracy_gym import gym
from accuracy_simulator import ALL, against, simulator
from accuracy_speed import speed
from accuracy_stpn import stpn
from common import store, stored, this_run

PARTS = ("simulator", "stpn", "gym", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", nargs="+", choices=ALL, help="Some rows of the simulator only; others are kept.")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        figures = measured(part, args.work, args.rows)
        print(part, figures, file=sys.stderr, flush=True)
        document = store("bench_accuracy", figures, part)
    print(json.dumps(document))


def measured(part: str, work: Path, rows: list[str] | None) -> dict[str, Any]:
    """A part's figures; rows of the simulator that are not asked for stay as they are stored."""
    if part != "simulator":
        return {"stpn": lambda: stpn(work), "gym": gym, "speed": speed}[part]()
    found = simulator(work, rows)
    run = this_run("bench_accuracy", part)
    found["rows"] = {name: {**row, **run} for name, row in found["rows"].items()}
    before = stored("bench_accuracy").get("figures", {}).get("simulator", {}).get("rows", {}) if rows else {}
    every = {**before, **found["rows"]}
    out = {**found, "rows": {name: every[name] for name in ALL if name in every}}
    if {"PVLR", "CO2-Net"} <= set(every):
        out["pvlr_against_base"] = against(every["PVLR"], every["CO2-Net"])
    return out


if __name__ == "__main__":
    main()
