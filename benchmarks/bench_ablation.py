"""PVLR's Table 3, its terms added one by one, where texts say nothing of features and where they do.

    python benchmarks/bench_ablation.py [--work DIR] [--worlds ...] [--rows ...] [--seeds ...] [--missing]

simulator  planted actions (accuracy_simulator.py): a class's features have nothing to do with its words.
words      a class's features come from its words, so that "high jump" looks like "long jump" as far as their texts do.
vts        real surgery, its training sequences cut into pieces of ten seconds (vts_pieces.py); texts say nothing.

Last checkpoint, one process on one thread. A run's figures are stored when it ends: an interrupted benchmark goes on
with --missing; without it rows are measured anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accuracy_simulator import HEADS, MORE_SEEDS, TABLE_3
from common import store, stored, this_run
from variants import Variant, about, measured
from vts_pieces import write_vts_pieces

from tal_engine.lab.data.dataset import DataSet, open_dataset
from tal_engine.lab.data.synthetic import SimulatorOptions
from tal_engine.lab.data.write_public import write_simulation

NAME = "bench_ablation"
#: Row -> variant, in the order in which terms are added.
ROWS: dict[str, Variant] = {**TABLE_3, "+ orthogonality: PVLR": HEADS["PVLR"]}
#: World -> what writes its data set to a folder.
WORLDS: dict[str, Callable[[Path], Path]] = {
    "simulator": lambda folder: write_simulation(folder, SimulatorOptions()),
    "words": lambda folder: write_simulation(folder, SimulatorOptions(words=1.0)),
    "vts": write_vts_pieces,
}


def data_of(world: str, work: Path) -> DataSet:
    """The data set of a world; made if it is not there yet."""
    path = work / world
    if not (path / "data.yaml").exists():
        WORLDS[world](path)
    return open_dataset(path / "data.yaml")


def keep(world: str, data: DataSet, row: str, seed: int, found: dict[str, Any], fresh: bool) -> None:
    """Store one run beside the others of its row; `fresh`: instead of them."""
    rows = stored(NAME).get("figures", {}).get(world, {}).get("rows", {})
    runs = {} if fresh else rows.get(row, {}).get("runs", {})
    rows[row] = {"runs": dict(sorted({**runs, str(seed): found}.items())), **this_run()}
    store(NAME, {"data": about(data), "rows": {r: rows[r] for r in ROWS if r in rows}}, world)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/ablation"))
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(MORE_SEEDS))
    parser.add_argument("--missing", action="store_true", help="Only runs that no result is stored of.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    begun: set[tuple[str, str]] = set()
    # Seed by seed, so that what an interrupted run leaves compares like with like.
    for world, seed, row in ((w, s, r) for w in args.worlds for s in args.seeds for r in args.rows):
        have = stored(NAME).get("figures", {}).get(world, {}).get("rows", {}).get(row, {}).get("runs", {})
        if args.missing and str(seed) in have:
            continue
        data = data_of(world, args.work)
        found = measured(data, ROWS[row], seed, args.work / "runs" / world / row.replace(" ", "_") / str(seed))
        print(f"{world}, {row}, seed {seed}: {found}", file=sys.stderr, flush=True)
        keep(world, data, row, seed, found, fresh=not args.missing and (world, row) not in begun)
        begun.add((world, row))
    print(json.dumps(stored(NAME)))


if __name__ == "__main__":
    main()
