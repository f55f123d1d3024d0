"""Figures that only one method has: functions by method, called after each of its training runs.

A function gets the run and gives name -> number, or name -> numbers in the order in which they came about; what they
are measured by belongs into the name. They are stored beside the run's mAP and printed on the method's card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from vlpo_oracle import oracle_gap

from tal_engine.annotations import AnnotatedVideo
from tal_engine.inference.operating_point import overlap
from tal_engine.lab.data.batches import snippets_of
from tal_engine.lab.data.dataset import DataSet
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import apn, pser
from tal_engine.lab.methods.vlpo import VLPO
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.runs import videos_of
from tal_engine.lab.training.supervision import points_of
from tal_engine.records import Features, Segment
from tal_engine.vocabulary import Vocabulary

#: Name -> figure, or figures in the order in which they came about.
Extra = dict[str, float | list[float]]


@dataclass(frozen=True)
class Trained:
    """A finished run: its data set and the folder of its checkpoint and report."""

    data: DataSet
    folder: Path

    @property
    def checkpoint(self) -> checkpoint.Checkpoint:
        """What the run left, with the history of its evaluations."""
        return checkpoint.load(self.folder)


def branches(run: Trained) -> Extra:
    """CBP+VLP: mAP and mIoU of both branches after each phase."""
    out: dict[str, list[float]] = {}
    for entry in run.checkpoint.history:
        scored = entry["test"]
        for branch, found in (("CBP", scored), ("VLP", scored.get("views", {}).get("vlp"))):
            if found is None:
                continue
            figures = {"mAP@0.1:0.7": found["averages"]["0.1:0.7"]}
            figures |= {f"mIoU of {name}": value for name, value in found["miou"].items() if value is not None}
            for name, value in figures.items():
                out.setdefault(f"{branch}, {name}, after each phase", []).append(round(100 * value, 2))
    return dict(out)


def oracle(run: Trained) -> Extra:
    """VLPO: what Eq. 5 gives with predicted classes, and with the labels of the test videos."""
    c = run.checkpoint
    videos = videos_of(c.method, c.config, c.train, run.data, "test")
    out: Extra = {}
    for classes, found in oracle_gap(cast(VLPO, c.network()), c.vocabulary, videos).items():
        note = f" ({found['note']})" if "note" in found else ""
        out[f"mAP@0.1:0.7, {classes} classes{note}"] = found["map_10_70"]
        out[f"exact match of classes, {classes}{note}"] = found["exact_match"]
    return out


def pseudo_labels(run: Trained) -> Extra:
    """APN (paper Table 4): pseudo-labels of the training videos against their truth, before and after training."""
    c, data = run.checkpoint, run.data
    videos = data.subset("train")
    streams = c.method.training_streams(c.config)
    found = data.features(videos, streams)
    points = points_of(data, videos, c.train)
    torch.manual_seed(c.train.seed)
    before = c.method.build(c.config, c.vocabulary, None).eval()
    out: dict[str, list[float]] = {}
    for net in (before, c.network()):
        made: dict[str, list[Segment]] = {}
        for v in videos:
            f = found[v.name]
            hot = torch.zeros(len(f), len(c.vocabulary))
            for snippet, label in snippets_of(points[v.name], f, c.vocabulary, v.name):
                hot[snippet, label] = 1
            feeds = {s: torch.from_numpy(f.streams[s]) for s in streams}
            with torch.no_grad():
                (grown,) = apn.pseudo_segments(cast(apn.APN, net), [feeds], [hot])
            made[v.name] = [_segment(f, *x, c.vocabulary) for x in grown]
        for name, value in _agreement(videos, made).items():
            out.setdefault(f"pseudo-labels of the training videos, {name}, before and after training", []).append(value)
    return dict(out)


def refined(run: Trained) -> Extra:
    """PseR: what its detector learned from, against the truth: the seeds of LACP, and what ranking made of them."""
    c, data = run.checkpoint, run.data
    videos, net = data.subset("train"), cast(pser.PseR, c.network())
    streams = c.method.training_streams(c.config)
    found, points = data.features(videos, streams), points_of(data, videos, c.train)
    made: dict[str, dict[str, list[Segment]]] = {"seeds": {}, "refined": {}}
    for v in videos:
        f = found[v.name]
        hot = torch.zeros(1, len(f), len(c.vocabulary))
        for snippet, label in snippets_of(points[v.name], f, c.vocabulary, v.name):
            hot[0, snippet, label] = 1
        batch = Batch({s: torch.from_numpy(f.streams[s])[None] for s in streams}, hot.amax(1), points=hot)
        for kind, of in made.items():
            (segments,) = net.pseudo_segments(batch, refined=kind == "refined")
            of[v.name] = [_segment(f, s + 0.5, e + 0.5, int(label), c.vocabulary) for s, e, label in segments.tolist()]
    both = [_agreement(videos, of) for of in made.values()]
    return {
        f"pseudo-labels of the training videos, {name}, seeds and refined": [b[name] for b in both] for name in both[0]
    }


def _segment(features: Features, start: float, end: float, label: int, vocabulary: Vocabulary) -> Segment:
    time = features.timeline
    return Segment(float(time.left(start)), float(time.right(end)), vocabulary.name(label), 1.0)


def _agreement(videos: Sequence[AnnotatedVideo], made: Mapping[str, Sequence[Segment]]) -> dict[str, float]:
    """Of the true instances: mean overlap with the best pseudo-instance of the class, and how many have .5 of it."""
    best = [
        max((overlap(t, p) for p in made[v.name] if p.label == t.label), default=0.0)
        for v in videos
        for t in v.instances
    ]
    return {"mean tIoU": round(100 * float(np.mean(best)), 2),
            "share with tIoU >= 0.5": round(100 * float(np.mean(np.array(best) >= 0.5)), 2)}  # fmt: skip


EXTRAS: dict[str, Callable[[Trained], Extra]] = {
    "distill_collab": branches,
    "vlpo": oracle,
    "apn": pseudo_labels,
    "pser": refined,
}


def extras(method: str, run: Trained) -> Extra:
    """The method's own figures; {} for a method without."""
    return EXTRAS[method](run) if method in EXTRAS else {}
