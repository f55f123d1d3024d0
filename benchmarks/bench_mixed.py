"""What labels of several kinds in one set are worth: some videos have times, the others weaker labels.

    python benchmarks/bench_mixed.py [--worlds msrc12 vts] [--shares 0.25 0.5] [--seeds 0 1 2]

In the training videos of each fold a share of the videos keeps its points (MSRC-12) or segments (VTS), the others are
reduced to labels of the whole video, or to points. Rows:

all         each video gives what it has, to a head that reads the stronger kind.
strong      the same head, without the videos that have weaker labels.
weak        every video reduced to the weaker kind, and the head of that kind.

Held-out videos keep their whole truth, whatever training sees of the others: mAP@0.1:0.7 of segments, point mAP of
points. Videos are held out by person where persons are known. A row is stored when it ends.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import spread, store, stored, this_run
from fit_worlds import World, msrc12, surgery

from tal_engine.annotations.labels import Kind, VideoLabels
from tal_engine.lab.fitting.held_out import MEASURES, HeldOut, figures
from tal_engine.lab.fitting.known import known_by, no_stronger
from tal_engine.lab.fitting.material import Material, material_of
from tal_engine.lab.fitting.rules import rule_for
from tal_engine.lab.fitting.stages import fold_of
from tal_engine.lab.fitting.training import Course, found_by, rows_of, table_of, trained

NAME = "bench_mixed"
WORLDS = {"msrc12": partial(msrc12, 8, 4), "vts": partial(surgery, 12)}
#: Of each world: (stronger, weaker) kinds that are mixed.
MIXES: dict[str, tuple[tuple[Kind, Kind], ...]] = {
    "msrc12": (("point", "video"),),
    "vts": (("segment", "point"), ("segment", "video"), ("point", "video")),
}
ROWS = ("all", "strong", "weak")


def mixture(videos: Sequence[VideoLabels], strong: Kind, weak: Kind, share: float, seed: int) -> list[VideoLabels]:
    """Videos of which a share keeps labels of the stronger kind, at least one of each class; the others the weaker."""
    rng = np.random.default_rng([seed, 11])
    kept: set[str] = set()
    classes = sorted({c for v in videos for c in v.labels})
    for c in classes:
        having = [v.name for v in videos if c in v.labels]
        more = max(1, round(share * len(having))) - sum(n in kept for n in having)
        free = [n for n in having if n not in kept]
        kept |= set(rng.permutation(free)[: max(more, 0)].tolist())
    return [no_stronger(v, strong if v.name in kept else weak) for v in videos]


def measured(world: World, strong: Kind, weak: Kind, share: float, row: str, folds: int, seed: int) -> dict[str, Any]:
    """One row of one seed: figures in percent, videos that were trained on, CPU seconds."""
    read = material_of(world.labels)
    material = Material(read.kind, read.vocabulary, read.videos, tuple(world.groups[n] for n in read.names))
    rule = rule_for(weak if row == "weak" else strong, 0)
    course = Course(rule, material.vocabulary, world.features, {}, seed)
    fold = fold_of(material, folds, seed)
    rows: list[list[Any]] = []
    counts = []
    began = time.process_time()
    for k in range(folds):
        given = mixture(material.part(fold != k), strong, weak, share, seed)
        if row == "strong":
            given = [v for v in given if known_by(v, strong) == set(v.labels)]
        elif row == "weak":
            given = [no_stronger(v, weak) for v in given]
        counts.append(len(given))
        with tempfile.TemporaryDirectory() as folder:
            net = trained(course, given, Path(folder))
        rows += rows_of(found_by(course, net, material.part(fold == k)))
    taken = time.process_time() - began
    seconds = {n: world.features[n].duration for n in material.names}
    held = HeldOut(table_of(rows, material.names, list(material.vocabulary)), material.videos, fold,
                   tuple(material.vocabulary), material.kind, seconds)  # fmt: skip
    found = figures(held, held.outcomes())["figures"][MEASURES[material.kind][0]]
    return {"figure": round(100 * found["mean"], 2), "head": rule.head, "trained_on": counts, "cpu_s": round(taken, 1)}


def keep(name: str, world: World, strong: Kind, weak: Kind, share: float, row: str, folds: int, seed: int) -> None:
    """Measure one row of one seed, unless it is stored, and store it beside the others."""
    part = stored(NAME).get("figures", {}).get(name, {"rows": {}})
    key = f"{strong} in {share:.0%}, {weak} in the others: {row}"
    runs = part["rows"].get(key, {}).get("runs", {})
    if str(seed) in runs:
        return
    runs[str(seed)] = measured(world, strong, weak, share, row, folds, seed)
    print(name, key, seed, runs[str(seed)], flush=True)
    about = {"strong": strong, "weak": weak, "share": share, "row": row, "head": runs[str(seed)]["head"]}
    part["rows"][key] = {**about, "folds": folds, "runs": runs,
                         "summary": spread([r["figure"] for r in runs.values()])}  # fmt: skip
    part |= {"videos": len(world.labels), "measure": MEASURES[material_of(world.labels).kind][0],
             **this_run(NAME, name)}  # fmt: skip
    store(NAME, part, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.25, 0.5])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.worlds:
        world = WORLDS[name]()
        for seed in args.seeds:
            for strong, weak in MIXES[name]:
                for share in args.shares:
                    for row in args.rows:
                        keep(name, world, strong, weak, share, row, args.folds, seed)
    print(json.dumps(stored(NAME)))


if __name__ == "__main__":
    main()
