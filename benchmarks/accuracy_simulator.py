"""Heads and PVLR's tables on the feature simulator: last checkpoint, mean and spread over seeds.

The simulator plants actions whose I3D-like features answer to a part of the action only and whose CLIP-like features
answer to the scene too (tal_engine/lab/data/synthetic.py). A row's figures are of networks that saw labels of videos.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from common import spread
from variants import SEEDS, Variant, about, as_built, measured

from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.data.synthetic import SimulatorOptions
from tal_engine.lab.data.write_public import write_simulation
from tal_engine.lab.methods import load_method

#: The claim that PVLR beats its base head is about a difference: it gets more seeds.
MORE_SEEDS = (0, 1, 2, 3, 4)
_OFF = {"ortho_weight": 0.0, "intra_action_weight": 0.0, "intra_background_weight": 0.0, "inter_weight": 0.0}
_INTRA = {k: v for k, v in _OFF.items() if not k.startswith("intra")}

HEADS = {
    "CO2-Net": Variant("co2", seeds=MORE_SEEDS),
    "BaS-Net": Variant("basnet"),
    "CoLA": Variant("cola"),
    "UM": Variant("um"),
    "HAM-Net": Variant("hamnet"),
    "AICL": Variant("aicl"),
    "PVLR": Variant("pvlr", seeds=MORE_SEEDS),
}
TABLE_3 = {
    "P-CAS alone": Variant("pvlr", {**_OFF, "kd_weight": 0.0}, MORE_SEEDS),
    "+ distillation": Variant("pvlr", _OFF, MORE_SEEDS),
    "+ intra": Variant("pvlr", _INTRA, MORE_SEEDS),
    "+ inter": Variant("pvlr", {"ortho_weight": 0.0}, MORE_SEEDS),
}
TABLE_5 = {f"K = {k}": Variant("pvlr", {"samples": k}) for k in (0, 5, 10)}
TABLE_6 = {
    f"{name} + PVLR": Variant("pvlr", {"base": base, **load_method("pvlr").RECIPES["plug-in"].config, "kd_weight": 2.0})
    for name, base in (("BaS-Net", "basnet"), ("CoLA", "cola"))
}
ALL = {**HEADS, **TABLE_3, **TABLE_5, **TABLE_6}


def simulator(work: Path, names: list[str] | None = None) -> dict[str, Any]:
    """Rows by name, and PVLR against its base head seed by seed."""
    path = work / "simulator"
    if not (path / "data.yaml").exists():
        write_simulation(path, SimulatorOptions())
    jobs = [(path / "data.yaml", work, name, seed) for name in names or ALL for seed in ALL[name].seeds]
    found: dict[str, list[dict[str, Any]]] = {}
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for (_, _, name, seed), result in zip(jobs, pool.map(_run, jobs), strict=True):
            found.setdefault(name, []).append({"seed": seed, **result})
            print(f"{name}, seed {seed}: {result}", file=sys.stderr, flush=True)
    rows = {name: _row(runs) for name, runs in found.items()}
    return {"data": about(open_dataset(path / "data.yaml")), "chance": chance(path / "data.yaml"), "rows": rows}


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    keys = [k for k in runs[0] if k != "seed"]
    return {"seeds": [r["seed"] for r in runs], **{k: spread([r[k] for r in runs]) for k in keys}}


def against(ours: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Difference of two rows' mAP@0.1:0.7 and its standard error, seeds unpaired."""
    a, b = ours["map_10_70"], base["map_10_70"]
    error = (a["sd"] ** 2 / len(ours["seeds"]) + b["sd"] ** 2 / len(base["seeds"])) ** 0.5
    gain = a["mean"] - b["mean"]
    return {"gain": gain, "standard_error": error, "standard_errors": gain / error if error else None}


def _run(job: tuple[Path, Path, str, int]) -> dict[str, float]:
    """One training run on one core; figures of the last weights, in percent."""
    path, work, name, seed = job
    torch.set_num_threads(1)
    folder = work / "runs" / name.replace(" ", "_") / str(seed)
    return measured(open_dataset(path), ALL[name], seed, folder)


def chance(path: Path) -> dict[str, Any]:
    """mAP of CO2-Net as it is initialised, over seeds: what no training gives."""
    data = open_dataset(path)
    return spread([100 * as_built(data, Variant("co2"), seed)["0.1:0.7"] for seed in SEEDS])
