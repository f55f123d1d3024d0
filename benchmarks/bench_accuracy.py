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
from common import RESULTS, finish, store

PARTS = ("simulator", "stpn", "gym", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", nargs="+", choices=ALL, help="Some rows of the simulator only; others are kept.")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    figures = kept(args.parts, args.rows)
    for part in args.parts:
        figures[part] = measured(part, args.work, args.rows, figures.get(part))
        print(part, figures[part], file=sys.stderr, flush=True)
        store("bench_accuracy", figures)
    finish("bench_accuracy", figures)


def measured(part: str, work: Path, rows: list[str] | None, before: dict[str, Any] | None) -> dict[str, Any]:
    if part != "simulator":
        return {"stpn": lambda: stpn(work), "gym": gym, "speed": speed}[part]()
    found = simulator(work, rows)
    rows = {**(before or {}).get("rows", {}), **found["rows"]}
    out = {**found, "rows": {name: rows[name] for name in ALL if name in rows}}
    if {"PVLR", "CO2-Net"} <= set(rows):
        out["pvlr_against_base"] = against(rows["PVLR"], rows["CO2-Net"])
    return out


def kept(parts: list[str], rows: list[str] | None) -> dict[str, Any]:
    """Stored figures of the parts, and of the simulator's rows, that this run does not measure."""
    path = RESULTS / "bench_accuracy.json"
    if not path.exists():
        return {}
    figures: dict[str, Any] = json.loads(path.read_text())["figures"]
    return {k: v for k, v in figures.items() if k not in parts or (k == "simulator" and rows)}


if __name__ == "__main__":
    main()
