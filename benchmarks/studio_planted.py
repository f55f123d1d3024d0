"""A studio's project over planted actions (`tal data simulate`): features alone, no pictures, as many sets as wanted.

Ten videos of five classes; the queue's and random clicks are compared on sets of seeds that nothing was chosen on.
Settings of the queue were looked at on the seeds 0 to 3.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from studio_annotator import Annotator, World, learned

from tal_engine.annotations.labels import VideoLabels
from tal_engine.features import save_features
from tal_engine.lab.data.synthetic import TIMELINE, SimulatedVideo, SimulatorOptions, simulate
from tal_engine.records import Features
from tal_engine.studio.classes import with_classes
from tal_engine.studio.findings import Findings
from tal_engine.studio.held_out import chosen
from tal_engine.studio.library import Library, Video
from tal_engine.studio.order import FEATURES, Order, order_of
from tal_engine.studio.project import Project
from tal_engine.studio.studio import Studio

COUNT, CLASSES, DIFFICULTY = 10, 5, 0.35
ENCODERS = "planted"


@dataclass
class Planted:
    """What an annotator needs of a studio whose videos are features alone."""

    project: Project
    library: Library
    findings: Findings
    heads: int
    seed: int

    def order(self) -> Order:
        paths = {v.id: (str(v.path), v.duration) for v in self.library.videos.values()}
        return order_of(self.project.state, paths, encoders=ENCODERS, heads=self.heads, seed=self.seed)

    def close(self) -> None:
        self.project.close()


class Counting(Annotator):
    """Counts what questions were answered with; *reject* says that they were about what was marked already."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world, seed)
        self.answers = Counter[str]()

    def edit(self, video: str, changes: list[Any], answered: dict[str, Any] | None = None, clicks: int = 1) -> None:
        if answered is not None:
            self.answers[answered["answer"]] += 1
        super().edit(video, changes, answered, clicks)


def features_of(video: SimulatedVideo) -> Features:
    """The visual streams."""
    streams = {n: x.astype(np.float32) for n, x in video.streams.items() if n in ("rgb", "flow")}
    return Features(streams, TIMELINE, float(TIMELINE.right(len(streams["rgb"]))))


def planted(folder: Path, seed: int, heads: int) -> World:
    """Make a project over ten videos that share the classes out; a head is measured on the test videos."""
    options = SimulatorOptions(
        train=60, test=14, classes=CLASSES, difficulty=DIFFICULTY, seed=seed, snippets=(55, 95), instances=(2, 6),
        imbalance=0.3,
    )  # fmt: skip
    every = simulate(options)
    train, test = ([v for v in every if (v.subset == "test") == side] for side in (False, True))
    labels = {v.name: {s.label for s in v.instances} for v in train}
    of = {v.name: features_of(v) for v in every}
    mine = chosen(labels, {n: of[n].duration for n in labels}, COUNT / len(train), seed)[0]
    classes = tuple(sorted({c for n in mine for c in labels[n]}))
    project = Project(folder / "p")
    with_classes(project, classes)
    videos = {n: Video(n, n, Path("nowhere", n), 1, of[n].duration) for n in mine}
    kept = project.folder / FEATURES / ENCODERS
    kept.mkdir(parents=True)
    for v in videos.values():
        project.note("video", id=v.id, name=v.name, size=1, digest="")
        save_features(kept / f"{v.id}.npz", of[v.id])
    truth = {v.name: v.instances for v in train if v.name in videos}
    held = chosen({n: labels[n] for n in truth}, {n: of[n].duration for n in truth}, 0.3)
    project.set("held_out", videos=list(held[0]), why=held[1])
    studio = Planted(project, Library(folder, videos), Findings(project.folder), heads, seed)
    unseen = [v for v in test if {s.label for s in v.instances} <= set(classes)]
    judge = tuple(VideoLabels(v.name, segments=v.instances, duration=of[v.name].duration) for v in unseen)
    return World(cast(Studio, studio), truth, {v.name: of[v.name] for v in unseen}, judge)


def curve(arm: str, seed: int, folder: Path, most: int, round_: int) -> tuple[list[list[float]], dict[str, int]]:
    """mAP@0.5 by the number of clicks, and how questions were answered."""
    world = planted(folder, seed, 2 if arm == "queue" else 1)
    somebody, out = Counting(world, seed), list[list[float]]()
    act = {"queue": somebody.answer, "random": somebody.anywhere, "watching": somebody.watch}[arm]
    somebody.first()
    while True:
        with contextlib.redirect_stdout(io.StringIO()):
            found = learned(world)
        out.append([somebody.clicks, round(100 * found, 2), 0.0])
        before = somebody.clicks
        if before < most:
            act(min(round_, most - before))
        if somebody.clicks == before:
            world.studio.close()
            return out, dict(somebody.answers)
