"""A morning at the studio's page with real movement: MSRC-12's Kinect skeletons, drawn as stick figures.

Ten sequences of ten persons become videos of stick figures; their features are those of the skeletons, as the `pose`
encoder computes them. Somebody clicks in headless Chromium as the recorded action points say; the head is measured on
sequences of other persons by the point mAP (the set has no human truth of where actions begin and end), beside the same
head with *every* action point of the videos that may be learned from, and with full stretches about each.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import SHARED

sys.path.insert(0, str(Path(__file__).parents[1]))

import people_sets
from studio_page import Person, opened, worked

from tal_engine.annotations.labels import VideoLabels
from tal_engine.annotations.points import Point
from tal_engine.demo.demo_set import write_video
from tal_engine.features import save_features
from tal_engine.lab.fitting.held_out import HeldOut
from tal_engine.lab.fitting.outcomes import mean_ap
from tal_engine.lab.studio.run import train
from tal_engine.lab.studio.suggesting import heard
from tal_engine.lab.studio.telling import Telling
from tal_engine.lab.training import checkpoint
from tal_engine.pose.skeleton import BONES, J, Poses
from tal_engine.pose.windows import features_of
from tal_engine.records import Features, Segment
from tal_engine.studio.held_out import chosen
from tal_engine.studio.labels import Change, Label
from tal_engine.studio.order import FEATURES, HEADS
from tal_engine.studio.settings import StudioOptions
from tal_engine.studio.studio import Studio
from tests.browsing import chromium
from tests.studying import studying

GESTURES = ("G2", "G4", "G8", "G12")
WORDS = {"G2": "crouch", "G4": "goggles", "G8": "throw", "G12": "kick"}
#: Sequences of each gesture that the studio has, and that measure; seconds of each; pixels and rate of the pictures.
MINE, OTHERS, SECONDS, SIDE, FPS = (3, 3, 2, 2), 5, 40.0, 240, 15.0
ENCODERS = "pose"
#: Half of the stretch about an action point, at most: what somebody who clicks takes for the action.
HALF_S = 1.0


@dataclass(frozen=True)
class Sequence12:
    """A sequence, cut to `SECONDS`: who moves how, when actions were pointed at, and features."""

    name: str
    person: str
    poses: Poses
    points: tuple[Point, ...]
    features: Features

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Stretches about the points; neighbours meet in the middle."""
        times = [-np.inf, *(p.seconds for p in self.points), np.inf]
        return tuple(
            Segment(
                max(p.seconds - min(HALF_S, (p.seconds - times[k]) / 2), 0.0),
                min(p.seconds + min(HALF_S, (times[k + 2] - p.seconds) / 2), self.features.duration),
                p.label,
                1.0,
            )
            for k, p in enumerate(self.points)
        )


def sequences(development: bool) -> dict[str, list[Sequence12]]:
    """Sequences of each gesture, one of each person; of the persons of development, or of the others."""
    points: dict[str, list[tuple[float, str]]] = {}
    with (SHARED / "motion" / "msrc12" / "points.csv").open() as file:
        for row in csv.DictReader(file):
            points.setdefault(row["sequence"], []).append((float(row["seconds"]), row["class"].split()[0]))
    out: dict[str, list[Sequence12]] = {g: [] for g in GESTURES}
    for clip in people_sets.msrc12(development):
        mine = sorted(points[clip.name])
        gesture = mine[0][1]
        if gesture not in out or clip.person in {s.person for s in out[gesture]}:
            continue
        count = min(len(clip.poses), int(SECONDS * FPS))
        poses = Poses(*(x[:count] for x in (clip.poses.joints, clip.poses.visibility, clip.poses.times)))
        seconds = count / FPS
        shown = tuple(Point(t, WORDS[gesture]) for t, _ in mine if t < seconds - 0.5)
        if shown:
            out[gesture].append(Sequence12(clip.name, clip.person, poses, shown, features_of(poses, duration=seconds)))
    return out


def drawn(poses: Poses) -> Any:
    """A stick figure in front of a plain ground, frame by frame [H, W, 3] uint8."""
    about = np.median(poses.joints[:, J["pelvis"], :2], axis=0)
    size = np.percentile(np.abs(poses.joints[..., :2] - about), 99)
    at = ((poses.joints[..., :2] - about) / size * 0.42 + 0.5) * SIDE
    for joints in np.round(at).astype(int):
        picture = np.full((SIDE, SIDE, 3), (236, 240, 243), np.uint8)
        for a, b in BONES:
            colour = (0, 114, 178) if a.endswith("_l") or b.endswith("_l") else (213, 94, 0)
            cv2.line(picture, joints[J[a]].tolist(), joints[J[b]].tolist(), colour, 4, cv2.LINE_AA)
        cv2.circle(picture, joints[J["head"]].tolist(), 12, (60, 60, 60), -1, cv2.LINE_AA)
        yield picture


def split(seed: int) -> tuple[list[Sequence12], list[Sequence12]]:
    """Those that the studio has, of persons of their own; and those that measure, of other persons."""
    rng, used, mine = np.random.default_rng([seed, 12]), set[str](), list[Sequence12]()
    for (_, of), count in zip(sequences(True).items(), MINE, strict=True):
        for k in rng.permutation(len(of)):
            if of[k].person not in used and sum(s in mine for s in of) < count:
                used.add(of[k].person)
                mine.append(of[k])
    others = [s for of in sequences(False).values() for s in of[:OTHERS]]
    return mine, others


def prepared(videos: Path, project: Path, mine: Sequence[Sequence12], **options: Any) -> Studio:
    """A project whose features are those of the skeletons; gestures are shared out among what is held out."""
    studio = Studio(
        StudioOptions(videos=videos, project=project, encoders=ENCODERS, auto_train=False, heads=1, **options)
    )
    kept, of = project / FEATURES / ENCODERS, known(studio, mine)
    kept.mkdir(parents=True)
    for i, s in of.items():
        save_features(kept / f"{i}.npz", s.features)
    labels = {i: {p.label for p in s.points} for i, s in of.items()}
    held = chosen(labels, {i: s.features.duration for i, s in of.items()}, 0.3)
    studio.project.set("held_out", videos=list(held[0]), why=held[1])
    return studio


def known(studio: Studio, mine: Sequence[Sequence12]) -> dict[str, Sequence12]:
    """The sequences by the ids of their videos."""
    by_name = {s.name: s for s in mine}
    return {v.id: by_name[Path(v.name).stem] for v in studio.library.videos.values()}


def motion(folder: Path, seed: int, each: int = 10, round_: int = 9, pictures: Path | None = None) -> dict[str, Any]:
    """By at most `each` clicks a class through the page; and the same with all labels of the same videos."""
    mine, others = split(seed)
    videos, project = folder / "videos", folder / "p"
    videos.mkdir(parents=True)
    for s in mine:
        write_video(videos / f"{s.name}.mp4", drawn(s.poses), FPS, SIDE, SIDE)
    classes, began = tuple(WORDS[g] for g in GESTURES), time.monotonic()
    prepared(videos, project, mine).close()
    with (
        studying(videos, project=project, encoders=ENCODERS, auto_train=True, settle_seconds=1.0, seed=seed) as one,
        chromium() as browser,
    ):
        page, seen = opened(browser, one, classes)
        truth = {i: s.segments for i, s in known(one.studio, mine).items()}
        somebody = Person(page, one.base, truth, classes, seed)
        rounds = worked(one, somebody, each * len(classes), round_, began)
        page.goto(f"{one.base}/#/model")
        page.get_by_label("Plan").fill("motion")
        page.get_by_role("button", name="Save the plan").click()
        page.get_by_role("region", name="Use it").get_by_text("✓").wait_for()
        if pictures is not None:
            page.goto(f"{one.base}/#/label/{next(iter(truth))}")
            page.wait_for_timeout(1500)
            page.screenshot(path=str(pictures))
        found = {
            "clicks": somebody.clicks, "classes": len(classes), "answers": somebody.answers, "rounds": rounds,
            "minutes": round((time.monotonic() - began) / 60, 2), "point mAP": measured(project, others, classes),
            "errors of the page": seen.errors, "half_s": HALF_S, "videos": len(mine), "unseen": len(others),
            "persons": [len({s.person for s in mine}), len({s.person for s in others})],
        }  # fmt: skip
    for kind in ("point", "segment"):
        found[f"all {kind}s"] = full(videos, mine, kind, others, classes, seed)
    return found


def full(
    videos: Path, mine: Sequence[Sequence12], kind: str, others: Sequence[Sequence12], classes: tuple[str, ...],
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The same videos with every label: how many, and the point mAP."""
    with tempfile.TemporaryDirectory() as folder:
        studio, count = prepared(videos, Path(folder, "p"), mine, classes=classes, seed=seed), 0
        for i, s in known(studio, mine).items():
            if i in studio.project.state.held_out:
                continue
            marks = [(p.seconds, p.seconds) if kind == "point" else (x.start, x.end)
                     for p, x in zip(s.points, s.segments, strict=True)]  # fmt: skip
            label = s.points[0].label
            changes = [Change("add", Label(uuid.uuid4().hex, i, kind, a, b, label)) for a, b in marks]
            count += len(changes)
            studio.project.edit(uuid.uuid4().hex, "everything", i, changes)
            studio.project.set("watched", id=i, fields={"done": True})
        train(studio.project.folder, studio.order(), Telling())
        out = {"labels": count, "point mAP": measured(studio.project.folder, others, classes)}
        studio.close()
    return out


def measured(project: Path, others: Sequence[Sequence12], classes: tuple[str, ...]) -> float:
    """Point mAP of the head that was trained last on sequences of other persons, percent."""
    found = checkpoint.load(project / HEADS / "0")
    features = {s.name: s.features for s in others}
    table = heard(found.method, found.config, found.vocabulary, found.network(), features).found
    truth = tuple(VideoLabels(s.name, points=s.points, duration=s.features.duration) for s in others)
    seconds = {n: f.duration for n, f in features.items()}
    names = tuple(found.vocabulary)
    held = HeldOut(table, truth, np.zeros(len(truth), int), names, "point", seconds)
    return round(100 * mean_ap(held.outcomes(), len(classes)), 2)
