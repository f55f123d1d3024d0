"""All methods and base heads by one protocol, each paper's own tables, and what a head costs.

    python benchmarks/bench_methods.py [--work DIR] [--videos DIR] [--parts ...] [--rows ...] [--seeds ...] [--missing]

simulator    every method and base head on planted actions (accuracy_simulator.py).
procedural   the same on procedural videos with the features of the small encoders, recipe "demo".
ablations    what each paper takes away from its method, on the simulator.
surroundings CBP+VLP's rows in a simulated world where texts cover twice their actions, as its paper says CLIP does.
plugins      host heads with a method on them, on the simulator.
cost         parameters, and milliseconds for a video of 300 snippets, of the checkpoints that the first two parts left.

Every figure is of the last checkpoint. One process a core, one thread each; `cost` wants an otherwise idle machine.
A run's figures are stored when it ends: an interrupted benchmark goes on with --missing. Without it a row is measured
anew. Checkpoints stay under --work; benchmarks/cards.py draws its pictures from them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import store, stored, this_run
from methods_cost import SNIPPETS, costs, exported
from methods_extras import Trained, extras
from methods_rows import PARTS, known
from methods_tables import shows_extras
from procedural import encoded
from variants import SEEDS, Variant, about, measured

from tal_engine.lab.data.dataset import DataSet, open_dataset
from tal_engine.lab.data.synthetic import SimulatorOptions
from tal_engine.lab.data.write_public import write_simulation

NAME = "bench_methods"
TRAINED = ("simulator", "procedural", "ablations", "surroundings", "plugins")
#: Parts on videos, and on a simulated world of their own; all others share one.
ON_VIDEOS = ("procedural",)
#: Options of a simulated world.
WORLDS: dict[str, dict[str, float]] = {"surroundings": {"surroundings": 0.9}}


class Places(NamedTuple):
    """Where things lie: checkpoints and the simulator's features, and the procedural videos."""

    work: Path
    videos: Path

    def run(self, part: str, row: str, seed: int) -> Path:
        """Folder of a checkpoint."""
        return self.work / "runs" / part / row.replace(" ", "_").replace(":", "") / str(seed)


class Job(NamedTuple):
    """One training run."""

    part: str
    row: str
    seed: int
    places: Places

    @property
    def variant(self) -> Variant:
        """What is trained; looked up, since a job travels to another process."""
        return PARTS[self.part][self.row]


def settings_of(part: str) -> str:
    """The recipe that a part trains by."""
    return "demo" if part in ON_VIDEOS else "simulator"


@cache
def data_of(part: str, places: Places) -> DataSet:
    """The data set of a part; made if it is not there yet."""
    if part in ON_VIDEOS:
        return encoded(places.videos)
    world = part if part in WORLDS else "simulator"
    path = places.work / world
    if not (path / "data.yaml").exists():
        write_simulation(path, SimulatorOptions(**WORLDS.get(part, {})))
    return open_dataset(path / "data.yaml")


def run_job(job: Job) -> dict[str, Any]:
    """Figures of one training run on one thread."""
    torch.set_num_threads(1)
    data, folder = data_of(job.part, job.places), job.places.run(job.part, job.row, job.seed)
    found: dict[str, Any] = dict(measured(data, job.variant, job.seed, folder, settings_of(job.part)))
    if job.variant.trained:
        trained = Trained(data, folder)
        found["steps"] = trained.checkpoint.step
        if shows_extras(job.row, job.variant.method):
            found |= {"extra": x} if (x := extras(job.variant.method, trained)) else {}
    return found


def jobs_of(part: str, rows: list[str] | None, seeds: list[int], missing: bool, places: Places) -> Iterator[Job]:
    """What is to be trained for a part; `missing`: only what no result is stored of."""
    have = stored(NAME).get("figures", {}).get(part, {}).get("rows", {})
    for row, variant in PARTS[part].items():
        if rows is not None and row not in rows:
            continue
        if row not in known(part):
            print(f"{part}, {row}: skipped, there is no method {variant.method!r} yet", file=sys.stderr)
            continue
        for seed in seeds if variant.trained else seeds[:1]:
            if not (missing and str(seed) in have.get(row, {}).get("runs", {})):
                yield Job(part, row, seed, places)


def train(part: str, jobs: list[Job], missing: bool) -> list[str]:
    """Train in a pool of processes; store each run as it ends. Gives what failed.

    Unless only missing runs are made, what is stored of a row is of an earlier measurement and goes.
    """
    data, failed = about(data_of(part, jobs[0].places)), []
    begun: set[str] = set()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        futures: dict[Future[dict[str, Any]], Job] = {pool.submit(run_job, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                job = futures[future]
                what = f"{part}, {job.row}, seed {job.seed}"
                try:
                    found = future.result()
                except Exception:  # whatever goes wrong in one row, the others go on
                    traceback.print_exc()
                    failed.append(what)
                    continue
                print(f"{what}: {found}", file=sys.stderr, flush=True)
                keep(part, data, job, found, fresh=not missing and job.row not in begun)
                begun.add(job.row)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def keep(part: str, data: dict[str, Any], job: Job, found: dict[str, Any], fresh: bool) -> None:
    """Store one run beside the others of its row; `fresh`: instead of them."""
    rows = stored(NAME).get("figures", {}).get(part, {}).get("rows", {})
    runs = {} if fresh else rows.get(job.row, {}).get("runs", {})
    runs = dict(sorted({**runs, str(job.seed): found}.items()))
    rows[job.row] = {"method": job.variant.method, "runs": runs, **this_run(NAME, part)}
    store(NAME, {"data": data, "rows": {name: rows[name] for name in PARTS[part] if name in rows}}, part)


def measure_cost(rows: list[str] | None, places: Places) -> None:
    """Of the methods' first checkpoints in both worlds."""
    out: dict[str, Any] = {}
    for part in ("simulator", "procedural"):
        found = {}
        for row, variant in known(part).items():
            folder = places.run(part, row, SEEDS[0])
            if (rows is None or row in rows) and (folder / "checkpoint.json").exists():
                found[row] = exported(data_of(part, places), variant, folder, settings_of(part))
            elif rows is None or row in rows:
                print(f"cost, {part}, {row}: skipped, no checkpoint in {folder}", file=sys.stderr)
        if found:
            by_row = costs(found, data_of(part, places))
            out |= {f"{part}: {row}": {**x, **this_run(NAME, "cost")} for row, x in by_row.items()}
    if not out:
        return
    before = stored(NAME).get("figures", {}).get("cost", {}).get("rows", {})
    store(NAME, {"snippets": SNIPPETS, "threads": 1, "rows": {**before, **out}}, "cost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/methods"))
    parser.add_argument("--videos", type=Path, default=Path("out/methods/videos"))
    parser.add_argument("--parts", nargs="+", choices=(*TRAINED, "cost"), default=[*TRAINED, "cost"])
    parser.add_argument("--rows", nargs="+", choices=sorted({r for rows in PARTS.values() for r in rows}))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--missing", action="store_true", help="Only runs that no result is stored of.")
    args = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # of the processes that train
    places, failed = Places(args.work.resolve(), args.videos.resolve()), []
    places.work.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        if part == "cost":
            measure_cost(args.rows, places)
        elif jobs := list(jobs_of(part, args.rows, args.seeds, args.missing, places)):
            failed += train(part, jobs, args.missing)
    print(json.dumps(stored(NAME)))
    if failed:
        sys.exit(f"{len(failed)} runs failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
