"""What bench_online.py teaches and measures on: videos to learn from, to fit thresholds on and to measure, apart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tal_engine import Segment, TALEngine
from tal_engine.annotations.points import Point
from tal_engine.demo.demo_set import render_split, script_of
from tal_engine.features import load_features
from tal_engine.features.store import save_features
from tal_engine.lab.distilling.targets import thinned
from tal_engine.lab.online.student import Lesson, taught_segments
from tal_engine.lab.online.training import OnlineTraining
from tal_engine.plan.archive import Plan, with_members
from tal_engine.pose.plans import open_plan
from tal_engine.records import Features

#: Seeds of the procedural splits; validation is nobody else's, and no plan that ships has seen the test videos.
SEEDS = {"train": 0, "validation": 6, "test": 0}
VALIDATION, TEST = 12, 44


@dataclass(frozen=True)
class World:
    """A teacher, lessons to learn from, lessons to fit thresholds on, and videos to measure with their truth.

    truth: segments. points: in place of those, a moment of each action. epochs: passes over what students learn from.
    overlap: of the features' snippets.
    """

    name: str
    teacher: Plan
    taught: dict[str, Lesson]
    held_out: dict[str, Lesson]
    measured: dict[str, Features]
    truth: dict[str, list[Segment]]
    points: dict[str, list[Point]] = field(default_factory=dict)
    epochs: int = OnlineTraining.epochs
    overlap: int = 1

    @property
    def seconds(self) -> float:
        """Length of the measured videos."""
        return sum(f.duration for f in self.measured.values())


def procedural(work: Path, train: int) -> World:
    """The embedded plan's videos; what the student is told of them are their classes."""
    plan = open_plan("demo")
    return _world("procedural", plan, plan, work / "features", work, train, 1)


def overlapping(work: Path, train: int) -> World:
    """The same videos, of which snippets begin twice as often and overlap by half."""
    plan = open_plan("demo")
    manifest = plan.manifest
    snippet = replace(manifest.snippet, stride=manifest.snippet.stride // 2)
    often = with_members(manifest.model_copy(update={"snippet": snippet}), plan.files)
    return _world("overlapping", plan, often, work / "overlapping", work, train, 2)


def _world(name: str, plan: Plan, reader: Plan, folder: Path, work: Path, train: int, overlap: int) -> World:
    """Make features by one plan, and let the teacher see every so many-th snippet of them."""
    engine, encoders = TALEngine(plan, "cpu", threads=1), TALEngine(reader, "cpu", threads=1)
    counts = {"train": train, "validation": VALIDATION, "test": TEST}
    read = {split: _procedural(encoders, work, folder / split, split, count) for split, count in counts.items()}
    taught, held_out = (_lessons(engine, split, read[split], overlap) for split in ("train", "validation"))
    truth = {n: _true("test", n) for n in read["test"]}
    return World(name, plan, taught, held_out, read["test"], truth, overlap=overlap)


def _procedural(engine: TALEngine, work: Path, folder: Path, split: str, count: int) -> dict[str, Features]:
    names = [f"{split}_{i:05d}" for i in range(count)]
    if any(not (folder / f"{n}.npz").exists() for n in names):
        videos = work / "videos" / split
        render_split(videos, split, count, SEEDS[split], workers=2)
        folder.mkdir(parents=True, exist_ok=True)
        for n in names:
            save_features(folder / f"{n}.npz", engine.features(videos / "videos" / f"{n}.mp4"))
    return {n: load_features(folder / f"{n}.npz") for n in names}


def _true(split: str, name: str) -> list[Segment]:
    script = script_of(split, SEEDS[split], int(name.rpartition("_")[2]))
    return [Segment(start, end, label, 1.0) for start, end, label in script.instances()]


def _lessons(engine: TALEngine, split: str, features: dict[str, Features], overlap: int) -> dict[str, Lesson]:
    """What the teacher says of each video, of the classes that it has."""
    classes = {n: {s.label for s in _true(split, n)} for n in features}
    return {n: Lesson(f, taught_segments(engine, thinned(f, overlap), classes[n])) for n, f in features.items()}
