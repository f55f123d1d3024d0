"""A small world for the tests of `tal fit`: features of videos, and labels of them in every form."""

from __future__ import annotations

import csv

import numpy as np

from tal_engine.features import save_features
from tal_engine.lab.fitting.rules import Rule
from tal_engine.records import Features
from tal_engine.timeline import Timeline

CLASSES = ("jump", "run", "sit")
STEP, LENGTH, WIDTH = 0.5, 40, 12
#: Quick settings that suffice here.
QUICK = {"encoders": "none", "folds": 2}
_TRAIN = {"steps": 40, "batch": 6, "pairs": 0, "length": 40, "learning_rate": 0.02, "weight_decay": 0.0}
#: The cheapest head for every kind of label, in place of the real table.
QUICK_RULES = tuple(Rule(kind, 0, "cola", {}, _TRAIN) for kind in ("video", "point", "segment"))


def instances(i, count=3):
    """(start, end) in snippets of the actions of video `i`."""
    rng = np.random.default_rng([7, i])
    starts = np.linspace(2, LENGTH - 10, count).astype(int) + rng.integers(0, 3, count)
    return [(int(s), int(s + rng.integers(4, 7))) for s in starts]


def write_world(root, videos=12, noise=0.3, classes=CLASSES, same=False):
    """Features ``f/vNN.npz`` in which the class of a video shows while its action goes on, and labels of all kinds."""
    root.mkdir(parents=True, exist_ok=True)
    rows = {"video": [], "points": [], "segments": []}
    for i in range(videos):
        name, c = f"v{i:02d}", i % len(classes)
        rng = np.random.default_rng([1, 0 if same else i])
        x = rng.normal(size=(LENGTH, WIDTH)) * noise
        rows["video"].append([name, classes[c]])
        for start, end in instances(i):
            if not same:
                x[start:end, c::3] += 2.0
            rows["points"].append([name, (start + end) / 2 * STEP, classes[c]])
            rows["segments"].append([name, start * STEP, end * STEP, classes[c]])
        features = Features({"rgb": x.astype(np.float32)}, Timeline(0.0, STEP, STEP), LENGTH * STEP)
        save_features(root / "f" / f"{name}.npz", features)
    heads = {"video": "video,label", "points": "video,time,label", "segments": "video,start,end,label"}
    for kind, head in heads.items():
        with (root / f"{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([head.split(","), *rows[kind]])
    _write_mixed(root, rows, videos)
    return root


def _write_mixed(root, rows, videos):
    """Half of the videos with segments, a quarter with points, the others with their class alone: ``mixed.csv``."""
    half, rest = [f"v{i:02d}" for i in range(videos // 2)], [f"v{i:02d}" for i in range(3 * videos // 4)]
    lines = [r for r in rows["segments"] if r[0] in half]
    lines += [[n, t, "", c] for n, t, c in rows["points"] if n in rest and n not in half]
    lines += [[n, "", "", c] for n, c in rows["video"] if n not in rest]
    with (root / "mixed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["video", "start", "end", "label"], *lines])
