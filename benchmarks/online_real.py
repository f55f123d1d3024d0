"""Real streams for bench_online.py: MSRC-12's skeletons and VTS's surgery, each with a teacher of our own.

Teachers are LACP heads, trained from points with the settings of `tal fit`; students learn their segments that hold a
point. Both learn from some of the training persons; thresholds are fitted on the others, and all figures are of the
data sets' test persons. MSRC-12 has no truth of where actions begin and end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED
from fit_worlds import skeleton_features
from online_worlds import World

from tal_engine import TALEngine
from tal_engine._util.untrusted import read_csv
from tal_engine.annotations.labels import VideoLabels
from tal_engine.annotations.points import Point
from tal_engine.annotations.tables import Table
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.fitting.outcomes import outcomes_of
from tal_engine.lab.fitting.rules import Rule, rule_for
from tal_engine.lab.fitting.thresholds import best_f1
from tal_engine.lab.fitting.tools import make_plan
from tal_engine.lab.fitting.training import Course, trained
from tal_engine.lab.online.student import Lesson, taught_segments
from tal_engine.lab.training import checkpoint
from tal_engine.options import SnippetOptions
from tal_engine.plan.archive import Plan, read_plan, with_calibration, write_plan
from tal_engine.plan.score_fields import ScoreThresholds
from tal_engine.records import Features
from tal_engine.vocabulary import Vocabulary

#: Of the training persons every so many-th is for thresholds.
EVERY = 4
#: Steps of the teachers' training; the settings are those of `tal fit` for points.
STEPS = {"MSRC-12": 600, "VTS": 300}
#: Most passes of the students' training; fewer of MSRC-12, which has most snippets.
EPOCHS = {"MSRC-12": 20, "VTS": 30}
#: Of MSRC-12's test sequences every so many-th is measured.
MEASURED = 2


def skeletons(work: Path) -> World:
    """MSRC-12: 12 gestures by Kinect, five snippets a second, a click for each gesture."""
    folder = SHARED / "motion" / "msrc12"
    rows = [r for _, r in read_csv(folder / "sequences.csv", "sequences", required=("sequence", "person", "subset"))]
    clicks: dict[str, list[Point]] = {}
    for _, r in read_csv(folder / "points.csv", "points", required=("sequence", "seconds", "class")):
        clicks.setdefault(str(r["sequence"]), []).append(Point(float(r["seconds"]), str(r["class"])))
    features, labels = {}, {}
    with np.load(folder / "skeleton_mm_15fps_delta.npz") as archive:
        for r in rows:
            name = str(r["sequence"])
            features[name] = skeleton_features(np.cumsum(archive[name].astype(np.int32), axis=0), 15.0)
            labels[name] = VideoLabels(
                name, points=tuple(sorted(clicks.get(name, ()))), subset=str(r["subset"]), group=str(r["person"])
            )
    return _world("MSRC-12", work, features, labels, SnippetOptions(fps=15.0, window=3, stride=3))


def surgery(work: Path) -> World:
    """VTS: open-surgery suturing, kinematics three times a second, exact segments; a moment of each is told."""
    data = open_dataset(SHARED / "surgery_vts" / "points.yaml")
    features, labels = {}, {}
    for subset in ("train", "test"):
        videos = data.subset(subset)
        for v in videos:
            points = tuple(sorted((data.points or {}).get(v.name, ()))) if subset == "train" else ()
            segments = () if subset == "train" else tuple(v.instances)
            labels[v.name] = VideoLabels(
                v.name, points=points, segments=segments, subset="training" if subset == "train" else "test",
                group=v.name.partition("_")[0],
            )  # fmt: skip
        for name, f in data.features(videos, ("rgb", "flow")).items():
            joined = np.concatenate([f.streams["rgb"], f.streams["flow"]], axis=1)
            features[name] = replace(f, streams={"rgb": joined})
    return _world("VTS", work, features, labels, SnippetOptions(fps=30.0, window=10, stride=10))


def _world(
    name: str, work: Path, features: Mapping[str, Features], labels: Mapping[str, VideoLabels], snippet: SnippetOptions
) -> World:
    """Split by person, train the teacher unless it is there, and let it say what the student learns."""
    persons = sorted({v.group for v in labels.values() if v.subset == "training"})
    held = set(persons[EVERY - 1 :: EVERY])
    training = [v for v in labels.values() if v.subset == "training" and v.points]
    taught, others = [v for v in training if v.group not in held], [v for v in training if v.group in held]
    tested = [n for n, v in labels.items() if v.subset == "test"]
    test = {n: features[n] for n in (tested[::MEASURED] if name == "MSRC-12" else tested)}
    plan = teacher(work / "teachers" / f"{name}.plan", name, features, taught, others, snippet)
    engine = TALEngine(plan, "cpu", threads=1)
    points = {n: list(labels[n].points) for n in test if not labels[n].segments}
    return World(
        name, plan, _lessons(engine, features, taught), _lessons(engine, features, others), test,
        {n: list(labels[n].segments) for n in test}, points, EPOCHS[name],
    )  # fmt: skip


def _lessons(engine: TALEngine, features: Mapping[str, Features], videos: Sequence[VideoLabels]) -> dict[str, Lesson]:
    return {
        v.name: Lesson(features[v.name], taught_segments(engine, features[v.name], set(v.labels), v.points))
        for v in videos
    }


def teacher(
    path: Path, name: str, features: Mapping[str, Features], videos: Sequence[VideoLabels],
    others: Sequence[VideoLabels], snippet: SnippetOptions,
) -> Plan:  # fmt: skip
    """Train LACP from points on some videos, choose its thresholds on others; once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rule: Rule = rule_for("point", 0, steps=STEPS[name])
        words = Vocabulary(sorted({p.label for v in videos for p in v.points}))
        contract: dict[str, Any] = {"snippet": {"fps": snippet.fps, "window": snippet.window, "stride": snippet.stride}}
        folder = path.with_suffix(".run")
        trained(Course(rule, words, features, contract), videos, folder)
        plan = make_plan(checkpoint.load(folder), None, name=f"{name}-teacher")
        write_plan(path, with_calibration(plan, thresholds=_thresholds(plan, features, others)))
    return read_plan(path)


def _thresholds(plan: Plan, features: Mapping[str, Features], videos: Sequence[VideoLabels]) -> ScoreThresholds:
    """The thresholds of best F1 by points, as `tal fit` chooses them."""
    engine, names = TALEngine(plan, "cpu", threads=1), tuple(plan.manifest.vocabulary)
    found = {v.name: list(engine.localize(features[v.name], min_score=float("-inf"), top_k=0)) for v in videos}
    table = Table.of_segments(found, "held-out videos", names)
    seconds = {v.name: features[v.name].duration for v in videos}
    outcomes = outcomes_of(table, videos, names, "point", seconds)
    least = {c: best_f1(*outcomes.of_class(i), sum(seconds.values()) / 3600).score for i, c in enumerate(names)}
    return ScoreThresholds(classes=least, chosen_for="f1", fitted_on=f"{len(videos)} videos", videos=len(videos))
