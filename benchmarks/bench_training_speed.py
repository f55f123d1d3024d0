"""Training speed side by side with another revision: steps of both, one after the other, on the same random features.

    python benchmarks/bench_training_speed.py --against REVISION

A process for each revision takes steps when it is told to, so that whatever else the machine does hits both. Ratios are
of the seconds of neighbouring turns; loss terms of the first step say that both compute the same.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAME = "bench_training_speed"
BATCH, LENGTH = 10, 320


@dataclass(frozen=True)
class Case:
    """What is trained: a recipe of a method, features of one width, snippets, and steps a turn."""

    method: str
    recipe: str
    width: int
    length: int
    steps: int

    def __str__(self) -> str:
        return f"{self.method} {self.recipe}, {self.width} wide"


#: PVLR as published, then what people run on a CPU.
CASES = (
    Case("pvlr", "thumos14", 1024, LENGTH, 1),
    Case("pvlr", "thumos14-code", 1024, LENGTH, 1),
    Case("co2", "thumos14", 1024, LENGTH, 1),
    *(Case(m, "demo", 128, 96, 5) for m in ("pvlr", "co2", "lacp", "stpn", "vlpo", "tsm_vlc", "distill_collab", "apn")),
)


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", default="main", help="the revision to compare with")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each, after one that is not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", type=int, action="append", help="cases by number; default: all")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        work(CASES[options.worker])
        return
    from common import finish, stored

    chosen = [CASES[i] for i in options.case] if options.case else CASES
    with checkout(options.against) as other:
        rows = {str(c): measured(c, other, options.rounds, options.threads) for c in chosen}
    revision = subprocess.check_output(["git", "rev-parse", "--short", options.against], cwd=ROOT, text=True).strip()
    part = f"against {revision}, {options.threads} threads"
    before = stored(NAME).get("figures", {}).get(part, {}).get("rows", {})
    finish(NAME, {"against": revision, "threads": options.threads, "rows": before | rows}, part)


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """The tree of a revision, with this one's compiled core."""
    with tempfile.TemporaryDirectory() as folder:
        content = subprocess.check_output(["git", "archive", revision], cwd=ROOT)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter="fully_trusted")  # of this repository
        for core in (ROOT / "tal_engine").glob("_core*.so"):
            (Path(folder) / "tal_engine" / core.name).symlink_to(core)
        yield Path(folder)


class Worker:
    """A process that trains a case with the code of a tree."""

    def __init__(self, case: Case, tree: Path, threads: int) -> None:
        env = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--worker", str(CASES.index(case))]
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> dict[str, Any]:
        """Take the steps of a turn: "wall" and "cpu", seconds a step, and the first step's loss terms."""
        assert self._process.stdin is not None  # for the type checker
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Let it end."""
        self._process.communicate("", timeout=60)


def measured(case: Case, other: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Iterations a second of both and their ratios, with the spread over rounds."""
    workers = {"before": Worker(case, other, threads), "now": Worker(case, ROOT, threads)}
    try:
        first = {k: w.turn()["terms"] for k, w in workers.items()}
        turns = [{k: w.turn() for k, w in workers.items()} for _ in range(rounds)]
    finally:
        for worker in workers.values():
            worker.close()
    row: dict[str, Any] = {
        f"iterations_a_second_{k}": round(1 / statistics.median(t[k]["wall"] for t in turns), 3) for k in workers
    }
    for kind in ("wall", "cpu"):
        ratios = sorted(t["before"][kind] / t["now"][kind] for t in turns)
        row[f"ratio_{kind}"] = {"median": round(statistics.median(ratios), 3), "all": [round(r, 3) for r in ratios]}
    apart = (abs(v - first["now"][k]) / (1e-6 + abs(v)) for k, v in first["before"].items())
    row["loss_terms_apart"] = max(apart)
    print(case, row, file=sys.stderr)
    return row


def work(case: Case) -> None:
    """Take the steps of a turn for each line that comes."""
    step = stepper(case)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        terms = [step() for _ in range(case.steps)]
        taken = {"wall": (time.perf_counter() - wall) / case.steps, "cpu": (time.process_time() - cpu) / case.steps}
        print(json.dumps({**taken, "terms": terms[0]}), flush=True)


#: What a step takes, by the names that it has now and had in earlier revisions.
ROOMS = (
    ("lab.heads.interface", "heads.interface"),
    ("lab.methods", "methods"),
    ("lab.nn.hashed_text", "nn.hashed"),
    ("lab.training.distributed", "train.distributed"),
    ("lab.training.recipe", "train.recipe"),
    ("lab.training.training_options", "train.options"),
    ("lab.training.training_state", "train.state"),
)


def room(names: tuple[str, ...]) -> Any:
    """The module of the first name that the tree has."""
    for name in names:
        with suppress(ModuleNotFoundError):
            return importlib.import_module(f"tal_engine.{name}")
    raise ModuleNotFoundError(f"no module of tal_engine is called {' or '.join(names)}")


def stepper(case: Case) -> Any:
    """A step of the loop: batch in memory, loss, gradient and its norm, optimizer."""
    import torch
    from torch import nn

    interface, methods, hashed, distributed, recipes, choices, states = (room(names) for names in ROOMS)
    from tal_engine.vocabulary import Vocabulary

    torch.manual_seed(0)
    method, classes = methods.load_method(case.method), 20
    chosen = recipes.recipe(method, case.recipe)
    config = recipes.fitted(
        method.Config(**chosen.config), {"rgb": case.width, "flow": case.width, "joint": case.width}
    )
    labels = torch.eye(classes)[torch.arange(BATCH) // 2]
    streams = {s: torch.randn(BATCH, case.length, case.width).relu() for s in method.training_streams(config)}
    points = None
    if methods.uses_points(method):
        points = torch.zeros(BATCH, case.length, classes)
        points[:, 20 :: case.length // 3] = labels[:, None]
    batch = interface.Batch(streams, labels, 3, None, tuple(f"v{i}" for i in range(BATCH)), points)
    options = choices.TrainOptions(
        device="cpu", **{k: v for k, v in chosen.train.items() if k in ("learning_rate", "weight_decay")}
    )
    task = states.Task(method, config, Vocabulary([f"action {i}" for i in range(classes)]), options, {})
    text = hashed.HashedText(case.width) if method.uses_text else None
    state = states.begin(task, text, distributed.this_world(options))

    def step() -> dict[str, float]:
        state.optimizer.zero_grad()
        terms: dict[str, Any] = state.net.loss(batch, state.step)  # type: ignore[operator]
        values = torch.stack([v.float() for v in terms.values()])
        values.sum().backward()
        nn.utils.clip_grad_norm_(state.net.parameters(), torch.inf)
        state.optimizer.step()
        state.step += 1
        return dict(zip(terms, values.tolist(), strict=True))

    return step


if __name__ == "__main__":
    main()
