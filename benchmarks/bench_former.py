"""What labels with start and end are worth: ActionFormer's compact recipe on the simulator and on real surgery.

    python benchmarks/bench_former.py --work DIR [--parts simulator vts] [--seeds 0 1 2]

Each seed is one training run, scored on the test videos by its last (averaged) weights. On surgery (VTS: 79 videos to
train on, 20 to test on) also by segmental F1: each snippet has the class of the best segment over it, and the score
that a segment needs is chosen on the training videos. A run that is in DIR is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_methods import Places, data_of
from common import finish, spread
from segmental import Span, painted, segmental_f1

from tal_engine.annotations.tables import Table
from tal_engine.lab.data.dataset import DataSet, open_dataset
from tal_engine.lab.methods import load_method
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.recipe import data_widths, fitted, recipe
from tal_engine.lab.training.runs import train_head, videos_of
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.lab.training.validation import Videos, detect

NAME = "bench_former"
SHARED = Path(os.environ.get("TAL_SHARED", "../shared")) / "data"
OVERLAPS = (0.1, 0.25, 0.5)
#: Scores that are tried on the training videos.
SCORES = tuple(np.linspace(0.05, 0.6, 12).round(3).tolist())


def data(part: str, work: Path) -> DataSet:
    """The data set of a part."""
    if part == "vts":
        return open_dataset(SHARED / "surgery_vts" / "data.yaml")
    return data_of("simulator", Places(work, work))


def run(part: str, seed: int, work: Path) -> dict[str, Any]:
    """Train, score, and keep the figures beside the checkpoint."""
    torch.set_num_threads(1)
    found, folder = data(part, work), work / "runs" / f"{part}-{seed}"
    method = load_method("actionformer")
    settings = recipe(method, "compact")
    config = method.Config(**settings.config)
    config = fitted(config, data_widths(found, method.training_streams(config), None))
    options = TrainOptions(**{**settings.train, "seed": seed, "device": "cpu"})
    began = time.process_time()
    row = train_head(method, config, options, found, folder).rows[0]
    figures: dict[str, Any] = {"training_cpu_s": round(time.process_time() - began, 1), "steps": options.steps}
    names = {"map_10_70": "0.1:0.7", "map_30_70": "0.3:0.7", "map_50": "0.5"}
    figures |= {k: round(100 * row.figures[v].mean, 2) for k, v in names.items()}
    if part == "vts":
        figures |= f1_of(found, folder)
    return figures


def f1_of(found: DataSet, folder: Path) -> dict[str, Any]:
    """Segmental F1 on the test videos at the score that is best on the training videos, by F1@25."""
    kept = checkpoint.load(folder)
    net = kept.network()
    by_role = {}
    for role in ("train", "test"):
        videos = videos_of(kept.method, kept.config, kept.train, found, role)
        by_role[role] = detect(kept.method, net, kept.config, kept.vocabulary, videos), videos
    train = {s: f1(*by_role["train"], s)[0.25] for s in SCORES}
    best = max(train, key=lambda s: train[s])
    test = f1(*by_role["test"], best)
    return {"score": best, **{f"f1_{round(100 * k)}": round(100 * v, 2) for k, v in test.items()}}


def f1(table: Table, videos: Videos, least: float) -> dict[float, float]:
    """F1 by overlap, over the segments of all videos."""
    pairs: list[tuple[list[Span], list[Span]]] = []
    labels = {name: i for i, name in enumerate(table.labels)}
    for v, video in enumerate(videos.videos):
        centres = videos.features[video.name].timeline.centers(len(videos.features[video.name]))
        rows = (table.video == v) & (table.score >= least)
        columns = (table.start[rows], table.end[rows], table.score[rows], table.label[rows])
        true = [(s.start, s.end, 1.0, labels[s.label]) for s in video.instances]
        pairs.append((painted(columns, centres), painted(tuple(map(np.array, zip(*true, strict=True))), centres)))
    return {k: segmental_f1(pairs, k) for k in OVERLAPS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="Where runs are kept.")
    parser.add_argument("--parts", nargs="+", default=["simulator", "vts"], choices=["simulator", "vts"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    for part in args.parts:
        runs = {}
        for seed in args.seeds:
            path = args.work / f"{part}-{seed}.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(run(part, seed, args.work)))
            runs[str(seed)] = json.loads(path.read_text())
        names = [k for k in runs[str(args.seeds[0])] if k not in ("steps", "score")]
        figures = {name: spread([r[name] for r in runs.values()]) for name in names}
        finish(NAME, {"recipe": "compact", "runs": runs, "figures": figures}, part)


if __name__ == "__main__":
    main()
