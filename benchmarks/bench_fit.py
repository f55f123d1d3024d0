"""Which head `tal fit` should train, by the kind of labels: every row of its table against the others.

    python benchmarks/bench_fit.py [--worlds ...] [--heads ...] [--seeds ...] [--videos DIR --features DIR]

msrc12      real skeleton sequences, one click of each action; held out by person.
vts         open surgery, exact segments: as segments, as clicks (their middles), as labels of videos.
gym         505 clips with one class each, I3D features: labels of videos only.
tiny        procedural videos with the features of the small encoders.
lite0       the same with ImageNet features.

Each figure is over held-out folds by the last weights, mean and deviation over seeds. What labels lack is not used in
training; where the truth has more, it is what is measured: segments mAP@0.1:0.7, clicks the point mAP. Expected
calibration error is of curves fitted on the other folds; segmental F1 and false alarms are of what passes the
thresholds of best F1, which are fitted on the same outcomes. A row is stored when it ends: run it again for the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import spread, store, stored, this_run
from fit_worlds import World, gym, msrc12, procedural, surgery

from tal_engine.annotations.labels import Kind
from tal_engine.lab.fitting.assess import reported
from tal_engine.lab.fitting.held_out import HeldOut, figures, segmental
from tal_engine.lab.fitting.material import Material, material_of
from tal_engine.lab.fitting.rules import Rule, rule_for
from tal_engine.lab.fitting.scores import fitted_scores
from tal_engine.lab.fitting.stages import fold_of
from tal_engine.lab.fitting.training import Course, found_by, rows_of, table_of, trained
from tal_engine.metrics.segmental import PERCENTS

NAME = "bench_fit"
TASK = {"video": "video", "point": "points", "segment": "segments"}
#: Labels that heads are trained on here, if not those of videos: of stronger ones these read no more.
READS: Mapping[str, tuple[Kind, ...]] = {"lacp": ("point", "segment"), "actionformer": ("segment",)}
HEADS = ("stpn", "co2", "basnet", "cola", "um", "hamnet", "aicl", "lacp", "actionformer")


def worlds(videos: Path, features: Path) -> dict[str, Any]:
    """What makes each world."""
    return {
        "msrc12": partial(msrc12, 8, 4),
        "vts": partial(surgery, 12),
        "gym": gym,
        "tiny": partial(procedural, videos, features / "tiny", "procedural, small encoders", 5),
        "lite0": partial(procedural, videos, features / "lite0", "procedural, lite0", 5),
    }


def measured(world: World, kind: Kind, rule: Rule, folds: int, seed: int) -> dict[str, Any]:
    """One row of one seed: figures in percent, calibration error, and CPU seconds of training."""
    read = material_of(world.labels, TASK[kind])
    material = Material(read.kind, read.vocabulary, read.videos, tuple(world.groups[n] for n in read.names))
    course = Course(rule, material.vocabulary, world.features, {}, seed)
    fold = fold_of(material, folds, seed)
    rows: list[list[Any]] = []
    began = time.process_time()
    for k in range(folds):
        with tempfile.TemporaryDirectory() as folder:
            net = trained(course, material.part(fold != k), Path(folder))
        rows += rows_of(found_by(course, net, material.part(fold == k)))
    taken = time.process_time() - began
    truth = tuple(world.labels.videos[n] for n in material.names)
    known: Kind = world.labels.kind  # type: ignore[assignment]
    held = HeldOut(table_of(rows, material.names, list(material.vocabulary)), truth, fold, tuple(material.vocabulary),
                   known, {n: world.features[n].duration for n in material.names})  # fmt: skip
    outcomes = held.outcomes()
    found = figures(held, outcomes)["figures"]
    worth = {k: round(100 * f["mean"], 2) for k, f in found.items() if f["mean"] is not None}
    if not len(outcomes.score):  # it found nothing in any held-out video: there is nothing to calibrate
        nothing = {**{f"F1@{p}": 0.0 for p in PERCENTS}, "false alarms an hour": 0.0, "detections": 0}
        return {**worth, **nothing, "cpu_s": round(taken, 1)}
    scores = fitted_scores(held, outcomes)
    return {
        **worth,
        **{f"F1@{p}": round(100 * f, 2) for p, f in segmental(held, reported(held, scores)).items()},
        "false alarms an hour": round(sum(t.per_hour for t in scores.thresholds), 1),
        "ECE": round(100 * scores.error, 2), "ECE by chance": round(100 * scores.whole.by_chance, 2),
        "ECE reported": round(100 * scores.shown.found, 2), "detections": len(outcomes.score), "cpu_s": round(taken, 1),
    }  # fmt: skip


def rows_for(kind: Kind, count: int, heads: list[str]) -> dict[str, Rule]:
    """The row that the table chooses, and others by head."""
    chosen = rule_for(kind, count)
    out = {f"{chosen.head} (chosen)": chosen}
    for head in heads:
        if head != chosen.head and kind in READS.get(head, ("video",)):
            out[head] = like(chosen, head)
    return out


def like(rule: Rule, head: str) -> Rule:
    """Another head with the training settings of a rule."""
    if head == "actionformer":
        return rule_for("segment", 0)
    weak = rule_for("point", 0) if rule.kind == "segment" else rule
    train = {k: v for k, v in weak.train.items() if k not in ("points", "sampling")}
    if head == "lacp":
        train |= {"sampling": "full"} | ({"points": "uniform"} if rule.kind == "segment" else {})
    return Rule(rule.kind, 0, head, {}, train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=Path("out/fit/videos"), help="procedural videos and labels")
    parser.add_argument("--features", type=Path, default=Path("out/fit"), help="their features, in tiny/ and lite0/")
    known = worlds(Path(), Path())
    parser.add_argument("--worlds", nargs="+", choices=known, default=list(known), help="sets, see above")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS), help="beside the one of tal fit")
    parser.add_argument("--kinds", nargs="+", choices=TASK, default=list(TASK), help="labels that are trained on")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of folds and training")
    parser.add_argument("--folds", type=int, default=2, help="parts of the videos, each held out once")
    parser.add_argument("--steps", type=int, help="training steps instead of the rules'")
    parser.add_argument("--before", action="store_true", help="heads as wide as their features, in rows beside")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    for name in args.worlds:
        world = worlds(args.videos, args.features)[name]()
        for kind in (k for k in world.kinds if k in args.kinds):
            count = len(world.labels)
            for row, rule in rows_for(kind, count, args.heads).items():
                rule = replace(rule, widest=0) if args.before else rule
                if args.steps:
                    rule = replace(rule, train={**rule.train, "steps": args.steps})
                for seed in args.seeds:
                    keep(name, world, kind, row, rule, seed, args.folds)
    print(json.dumps(stored(NAME)))


def keep(name: str, world: World, kind: Kind, row: str, rule: Rule, seed: int, folds: int) -> None:
    """Measure one row of one seed, unless it is stored, and store it beside the others."""
    part = stored(NAME).get("figures", {}).get(name, {"rows": {}})
    key = f"{kind}: {row.removesuffix(' (chosen)')}"
    key += "" if rule.widest else ", before"
    runs = part["rows"].get(key, {}).get("runs", {})
    if str(seed) in runs:
        return
    runs[str(seed)] = measured(world, kind, rule, folds, seed)
    print(name, key, seed, runs[str(seed)], flush=True)
    measures = [m for m in runs[str(seed)] if m not in ("detections",)]
    summary = {m: spread([r[m] for r in runs.values() if m in r]) for m in measures}
    settings = {"config": dict(rule.config), "train": dict(rule.train), "folds": folds,
                "widest": rule.widest}  # fmt: skip
    part["rows"][key] = {"kind": kind, "head": rule.head, "runs": runs, "summary": summary, **settings,
                         **this_run(NAME, name)}  # fmt: skip
    hours = sum(f.duration for f in world.features.values()) / 3600
    part |= {"videos": len(world.labels), "classes": len(world.labels.classes), "hours": round(hours, 3),
             "measured": world.labels.kind, "groups": len(set(world.groups.values())),
             "widths": {s: int(x.shape[1]) for s, x in next(iter(world.features.values())).streams.items()},
             "labels": int(np.sum([c.segments or c.points or c.videos for c in world.labels.counts()]))}  # fmt: skip
    store(NAME, part, name)


if __name__ == "__main__":
    main()
