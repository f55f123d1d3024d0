"""What moves the figure of a training run whose seed is fixed: CO2-Net on the simulator, with one thing changed.

    python benchmarks/bench_moved.py [--rows ...] [--seeds 0 1 2] [--steps N] [--earlier FOLDER]

Each run is a process of its own. Kernels are chosen by environment variables, so one machine shows what another one
would: sums are rounded in another order, and a thousand steps of training take another path. --earlier: a checkout of
an earlier commit with a built core; its training, on the same data, is one more row, which tells code from machine. Of
each run the digest of the trained weights is kept: equal weights mean that nothing moved. --steps: runs that are cut
short, of which the largest difference of a weight from those of "as it is" is kept, and no figure. Rows and runs that
are not asked for stay as they are stored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import spread, store, stored, this_run

NAME = "moved"
BASE = "as it is"
#: Row -> variables of its process.
ROWS: dict[str, dict[str, str]] = {
    BASE: {},
    "again": {},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "ATen without AVX": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN with SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "MKL with SSE2": {"MKL_CBWR": "COMPATIBLE"},
    "all of these": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
}
EARLIER = "earlier code"
#: Starts a script whose tal_engine is the one on the path, not the installed one of this clone.
ELSEWHERE = (
    "import runpy, sys; del sys.argv[0]; "
    "sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != 'ScikitBuildRedirectingFinder']; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
FIGURES = ("map_10_70", "map_50", "foreground_iou", "background_iou")


def child(data: Path, seed: int, folder: Path, steps: int) -> None:
    """One training run of `steps` (0: the recipe's); prints its figures and digests."""
    import torch
    from variants import Variant, measured

    from tal_engine.lab.data.dataset import open_dataset

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    found = measured(open_dataset(data), Variant("co2", train={"steps": steps} if steps else {}), seed, folder)
    weights = b"".join(p.read_bytes() for p in sorted(folder.rglob("*.safetensors")))
    kept = {k: found[k] for k in (*FIGURES, "training_cpu_s")}
    print(json.dumps(kept | {"weights": hashlib.sha256(weights).hexdigest()[:12], "torch": torch.__version__}))


def simulated(work: Path) -> Path:
    """The simulator's data set; made if it is not there."""
    from tal_engine.lab.data.synthetic import SimulatorOptions
    from tal_engine.lab.data.write_public import write_simulation

    if not (work / "simulator" / "data.yaml").exists():
        write_simulation(work / "simulator", SimulatorOptions())
    return work / "simulator" / "data.yaml"


def digest_of(folder: Path) -> str:
    """Of all feature files, so that data of two machines can be told apart."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".npy", ".npz")):
        total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


def folder_of(work: Path, row: str, seed: int, steps: int) -> Path:
    """Where a run leaves its checkpoint."""
    return work / (f"runs_{steps}" if steps else "runs") / row.replace(" ", "_") / str(seed)


def difference(a: Path, b: Path) -> float:
    """The largest difference of a weight, of two checkpoints."""
    from safetensors.numpy import load_file

    first, second = (load_file(next(iter(sorted(x.rglob("*.safetensors"))))) for x in (a, b))
    return max(float(np.abs(first[k].astype(np.float64) - second[k]).max()) for k in first)


def run(row: str, seed: int, data: Path, work: Path, earlier: Path | None, steps: int = 0) -> dict[str, Any]:
    """A process for one training run."""
    code = earlier.resolve() if earlier is not None and row == EARLIER else None
    script = Path(__file__).resolve() if code is None else code / "benchmarks" / Path(__file__).name
    places = {} if code is None else {"PYTHONPATH": f"{code}:{code / 'benchmarks'}"}
    env = os.environ | {"OMP_NUM_THREADS": "1"} | places | ROWS.get(row, {})
    folder = folder_of(work, row, seed, steps)
    start = [script] if code is None else ["-c", ELSEWHERE, script]
    words = [sys.executable, *start, "--child", data, str(seed), folder, str(steps)]
    done = subprocess.run(words, env=env, cwd=code, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{row}, seed {seed}:\n{done.stderr}")
    return {"seed": seed, **json.loads(done.stdout.splitlines()[-1])}


def summed(row: str, runs: dict[str, Any], earlier: Path | None) -> dict[str, Any]:
    """Mean and spread over seeds, and every run."""
    over: dict[str, Any] = {k: spread([r[k] for r in runs.values()]) for k in FIGURES}
    if row == EARLIER and earlier is not None:
        over["earlier"] = earlier.name
    return {"settings": ROWS.get(row, {}), **over, "runs": runs, **this_run(NAME)}


def stored_short() -> dict[str, Any]:
    """What is stored of runs that were cut short."""
    return dict(stored(NAME).get("figures", {}).get("short", {}))


def short(args: argparse.Namespace, data: Path, work: Path) -> None:
    """Runs that are cut short, against "as it is", of the first seed."""
    seed, rows = args.seeds[0], stored_short().get("rows", {})
    base = folder_of(work, BASE, seed, args.steps)
    for row in dict.fromkeys([BASE, *args.rows]):
        found = run(row, seed, data, work, args.earlier, args.steps)
        away = difference(folder_of(work, row, seed, args.steps), base)
        rows[row] = {"weights": found["weights"], "largest_difference": away}
        if row == EARLIER:
            rows[row]["earlier"] = args.earlier.name
        print(f"{row}: {rows[row]}", file=sys.stderr, flush=True)
    full = stored(NAME).get("figures", {}).get("rows", {})
    made = {"seed": seed, "steps": args.steps, "rows": rows}
    print(json.dumps(store(NAME, {"data": digest_of(data.parent), "rows": full, "short": made})))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/moved"))
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, EARLIER], default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--earlier", type=Path, help="A checkout of an earlier commit, with this script copied into it."
    )
    parser.add_argument("--steps", type=int, default=0, help="Cut runs short; 0: the recipe's steps.")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(Path(args.child[0]), int(args.child[1]), Path(args.child[2]), int(args.child[3]))
        return
    work = args.work.resolve()
    data = simulated(work)
    if args.steps:
        short(args, data, work)
        return
    for row in args.rows:
        for seed in args.seeds:
            found = run(row, seed, data, work, args.earlier)
            print(f"{row}: {found}", file=sys.stderr, flush=True)
            rows = stored(NAME).get("figures", {}).get("rows", {})
            runs = {**rows.get(row, {}).get("runs", {}), str(seed): found}
            rows[row] = summed(row, dict(sorted(runs.items())), args.earlier)
            store(NAME, {"data": digest_of(data.parent), "rows": rows, "short": stored_short()})
    print(json.dumps(stored(NAME)))


if __name__ == "__main__":
    main()
