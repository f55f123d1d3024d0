"""The plan for people on skeletons of real persons that it was not trained on; a part of bench_people.

Subject 13 is localized: all sessions, each as it was captured and from sets of cameras (pitch as each camera's height
has it, and landmark noise). MSRC-12 and UTD-MHAD are judged by the video: the score of a class is that of its best
segment. `named` is what the plan says at its own thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import people_sets
from common import spread
from people_sets import Clip

from tal_engine import Segment, TALEngine
from tal_engine.demo.script import View
from tal_engine.lab.fitting.outcomes import average_precision
from tal_engine.metrics import WTAL_TIOUS, evaluate
from tal_engine.pose.skeleton import Poses
from tal_engine.pose.windows import features_of

#: Cameras of a set, and seeds of the sets; metres of landmark noise, fast and slow.
VIEWS, CAMERAS = 6, (0, 1, 2, 3)
FAST_M, SLOW_M = 0.01, 0.02
EVERYTHING: dict[str, Any] = {"min_score": -np.inf, "top_k": 0}


def seen_from(poses: Poses, view: View) -> Poses:
    """Turn and tilt a person into a camera's axes, and add landmark noise, twice as much in depth."""
    rng = np.random.default_rng(view.seed)
    pitch = np.arctan2(view.height_m - 1.0, view.distance_m)
    c, s = np.cos(view.azimuth), np.sin(view.azimuth)
    around = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    count = len(poses)
    knots = rng.normal(size=(int(poses.times[-1] * 2) + 2, *poses.joints.shape[1:])) * SLOW_M
    at = poses.times * 2
    first = at.astype(int)
    share = (at - first)[:, None, None]
    slow = knots[first] * (1 - share) + knots[first + 1] * share
    noise = (slow + rng.normal(size=(count, *poses.joints.shape[1:])) * FAST_M) * [1, 1, 2]
    joints = (poses.joints @ (tilt @ around).T + noise).astype(np.float32)
    return Poses(joints, poses.visibility, poses.times, poses.subject)


def localized(engine: TALEngine, clips: Sequence[tuple[str, Poses, Clip]]) -> dict[str, Any]:
    """mAP in percent at 0.5 and over 0.1:0.7, and AP@0.5 by class."""
    truth = {name: list(clip.instances) for name, _, clip in clips}
    found = {n: list(engine.localize(features_of(p, duration=c.duration), **EVERYTHING)) for n, p, c in clips}
    score = evaluate(truth, found, engine.plan.vocabulary, tious=WTAL_TIOUS)
    by_class = {c: round(100 * a, 1) for c, a in score.class_ap(0.5).items()}
    return {
        "map_50": round(100 * score.at(0.5), 2),
        "map_10_70": round(100 * score.average, 2),
        "ap_50_by_class": by_class,
    }


def subject13(engine: TALEngine) -> dict[str, Any]:
    """The sessions as captured, and from every set of cameras."""
    sessions = people_sets.subject13()
    captured = localized(engine, [(c.name, c.poses, c) for c in sessions])
    runs = []
    for cameras in CAMERAS:
        rng = np.random.default_rng([cameras, 13])
        views = [(c, i, View.sample(rng)) for c in sessions for i in range(VIEWS)]
        runs.append(localized(engine, [(f"{c.name}_{i}", seen_from(c.poses, v), c) for c, i, v in views]))
    over = {k: spread([r[k] for r in runs]) for k in ("map_50", "map_10_70")}
    classes = {c: spread([r["ap_50_by_class"][c] for r in runs]) for c in runs[0]["ap_50_by_class"]}
    return {
        "what": f"CMU subject 13, {len(sessions)} sessions x {VIEWS} views x {len(CAMERAS)} sets of cameras",
        "captured": captured, "cameras": {**over, "ap_50_by_class": classes},
    }  # fmt: skip


def judged(engine: TALEngine, clips: Sequence[Clip]) -> dict[str, Any]:
    """Whole clips: accuracy among all classes of the plan, and mAP of the mapped ones."""
    names = list(engine.plan.vocabulary)
    scores, domain = np.zeros((len(clips), len(names))), []
    for row, clip in zip(scores, clips, strict=True):
        result = engine.localize(features_of(clip.poses, duration=clip.duration), **EVERYTHING)
        for s in result:
            row[names.index(s.label)] = max(row[names.index(s.label)], s.score)
        domain.append(result.info.out_of_domain)
    labels = [c.label for c in clips]
    mapped = np.array([label is not None for label in labels])
    hits = [names[int(row.argmax())] == label for row, label in zip(scores, labels, strict=True) if label]
    classes = sorted({label for label in labels if label})

    def mean_ap(rows: np.ndarray) -> dict[str, Any]:
        each = {}
        for c in classes:
            right = np.array([label == c for label in labels])[rows]
            each[c] = round(100 * average_precision(scores[rows, names.index(c)], right, int(right.sum())), 1)
        return {"map": round(float(np.mean(list(each.values()))), 1), "ap_by_class": each}

    confusion: dict[str, Counter[str]] = {c: Counter() for c in classes}
    for row, label in zip(scores, labels, strict=True):
        if label:
            confusion[label][names[int(row.argmax())]] += 1
    return {
        "clips": len(clips), "mapped": int(mapped.sum()), "persons": len({c.person for c in clips}),
        "accuracy": round(100 * float(np.mean(hits)), 1), "chance_accuracy": round(100 / len(names), 1),
        "mapped_clips": mean_ap(mapped), "all_clips": mean_ap(np.ones(len(clips), bool)),
        "out_of_domain": round(100 * float(np.mean(domain)), 1),
        "taken_for": {c: dict(n.most_common(4)) for c, n in confusion.items()},
    }  # fmt: skip


def told(engine: TALEngine, clips: Sequence[Clip]) -> dict[str, Any]:
    """What whole clips are called, at the thresholds of the plan: by the best segment that reaches its own."""
    said: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    for clip in clips:
        found = engine.localize(features_of(clip.poses, duration=clip.duration))
        best = max(found, key=lambda s: s.score, default=None)
        name = None if best is None else best.label
        if clip.label is None:
            foreign[name or "nothing"] += 1
        else:
            said["nothing" if name is None else "right" if name == clip.label else "wrong"] += 1
    mapped, others = sum(said.values()), sum(foreign.values())
    return {
        "mapped": mapped, "others": others,
        **{k: round(100 * said[k] / max(mapped, 1), 1) for k in ("right", "wrong", "nothing")},
        "foreign_named": round(100 * (1 - foreign["nothing"] / others), 1) if others else None,
        "foreign_taken_for": dict(foreign.most_common()),
    }  # fmt: skip


def named(plan: Path) -> dict[str, Any]:
    """What is named, of the persons who judge, and at which thresholds."""
    engine = TALEngine.load(plan, "cpu")
    found = {"utd_mhad": told(engine, people_sets.utd_mhad(False)), "msrc12": told(engine, people_sets.msrc12(False))}
    known = engine.plan.manifest.thresholds
    least = {} if known is None else {name: round(value, 3) for name, value in known.classes.items()}
    return {"plan_sha256": engine.plan.sha256, **found, "thresholds": least}


def joined(clips: Sequence[Clip], seed: int = 0, size: int = 9) -> list[Clip]:
    """Join clips of each person in random order, so that where actions begin and end is exact."""
    rng = np.random.default_rng(seed)
    out = []
    for person in sorted({c.person for c in clips}):
        own = [c for c in clips if c.person == person]
        order = rng.permutation(len(own))
        for first in range(0, len(own) - size + 1, size):
            out.append(_joined(f"{person}_{first}", [own[k] for k in order[first : first + size]]))
    return out


def _joined(name: str, clips: Sequence[Clip]) -> Clip:
    joints, visible, times, instances, now = [], [], [], [], 0.0
    for c in clips:
        joints.append(c.poses.joints - c.poses.joints[:1, :1])
        visible.append(c.poses.visibility)
        times.append(c.poses.times + now)
        instances += [Segment(now, now + c.duration, c.label, 1.0)] if c.label else []
        now += c.duration
    poses = Poses(np.concatenate(joints), np.concatenate(visible), np.concatenate(times))
    return Clip(name, clips[0].person, poses, None, now, tuple(instances))


def skeletons(plan: Path, development: bool = False) -> dict[str, Any]:
    """All of it. `development` judges the persons that settings were chosen on, and leaves subject 13 out."""
    engine = TALEngine.load(plan, "cpu")
    utd, msrc = people_sets.utd_mhad(development), people_sets.msrc12(development)
    sequences = joined(utd)
    figures = {
        "plan_sha256": engine.plan.sha256,
        "utd_mhad": judged(engine, utd),
        "msrc12": judged(engine, msrc),
        "utd_joined": {"sequences": len(sequences), **localized(engine, [(c.name, c.poses, c) for c in sequences])},
    }
    return figures if development else {"subject13": subject13(engine), **figures}
