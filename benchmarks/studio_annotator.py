"""Somebody who labels as the truth says: answers a studio's questions, clicks by chance, or watches all videos."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tal_engine.annotations.labels import VideoLabels, read_labels
from tal_engine.features import load_features
from tal_engine.lab.fitting.held_out import HeldOut
from tal_engine.lab.fitting.outcomes import mean_ap
from tal_engine.lab.studio.run import train
from tal_engine.lab.studio.suggesting import heard
from tal_engine.lab.studio.telling import Telling
from tal_engine.lab.training import checkpoint
from tal_engine.records import Features, Segment
from tal_engine.studio.answers import changes_of
from tal_engine.studio.held_out import chosen
from tal_engine.studio.labels import Change, Label
from tal_engine.studio.marked import SAME, overlap
from tal_engine.studio.order import FEATURES, HEADS
from tal_engine.studio.questions import Question
from tal_engine.studio.settings import StudioOptions
from tal_engine.studio.studio import Studio

#: Half of the stretch that a random click says nothing happens in, seconds.
NOTHING_S = 1.0
#: A boundary that is this near is not moved, seconds.
NEAR_S = 0.5


@dataclass
class World:
    """A studio's project over some videos; truth by id; features and truth of videos that it never sees."""

    studio: Studio
    truth: dict[str, tuple[Segment, ...]]
    unseen: dict[str, Features]
    unseen_truth: tuple[VideoLabels, ...]

    @property
    def open(self) -> list[str]:
        """Videos that may be labelled: those that are not held out."""
        return [v for v in self.studio.library.videos if v not in self.studio.project.state.held_out]


def world(videos: Path, features: Path, count: int, folder: Path, heads: int, seed: int) -> World:
    """Make a project over `count` videos that share the classes out evenly; a plan is measured on the others."""
    labels = read_labels(videos / "annotations.json", videos)
    lengths = {n: load_features(features / f"{n}.npz").duration for n in labels.videos}
    mine_first = chosen({n: v.labels for n, v in labels.videos.items()}, lengths, count / len(lengths))[0]
    names = [*mine_first, *sorted(set(labels.videos) - set(mine_first))]
    mine = folder / "videos"
    mine.mkdir(parents=True)
    for name in names[:count]:
        path = labels.videos[name].path
        assert path is not None
        os.link(path, mine / path.name)
    options = StudioOptions(
        videos=mine, classes=labels.classes, encoders=features.name, auto_train=False, heads=heads, seed=seed
    )
    studio = Studio(options)
    kept = options.folder / FEATURES / features.name
    kept.mkdir(parents=True)
    truth = {}
    for v in studio.library.videos.values():
        stem = Path(v.name).stem
        os.link(features / f"{stem}.npz", kept / f"{v.id}.npz")
        truth[v.id] = labels.videos[stem].segments
    # Without labels a studio holds videos out by their lengths; somebody who knows the videos shares classes out.
    shared = chosen({i: {s.label for s in of} for i, of in truth.items()},
                    {v.id: v.duration for v in studio.library.videos.values()}, options.held_out)  # fmt: skip
    studio.project.set("held_out", videos=list(shared[0]), why=shared[1])
    unseen = {n: load_features(features / f"{n}.npz") for n in names[count:]}
    return World(studio, truth, unseen, tuple(labels.videos[n] for n in names[count:]))


class Annotator:
    """Labels a world; `clicks` counts what it did: an answer is one, moving both ends of a segment two."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng, self.clicks = world, np.random.default_rng(seed), 0
        self.waiting: list[tuple[str, Segment | None]] = []
        self.began = False

    def edit(self, video: str, changes: list[Change], answered: dict[str, Any] | None = None, clicks: int = 1) -> None:
        self.world.studio.project.edit(uuid.uuid4().hex, "annotator", video, changes, answered=answered)
        self.clicks += clicks

    def click(self, video: str, at: float, label: str) -> None:
        self.edit(video, [Change("add", Label(uuid.uuid4().hex, video, "point", at, at, label))])

    def inside(self, s: Segment) -> float:
        return float(self.rng.uniform(s.start + 0.2 * (s.end - s.start), s.end - 0.2 * (s.end - s.start)))

    def first(self) -> None:
        """Click one action of each class, wherever it is."""
        found: dict[str, list[tuple[str, Segment]]] = {}
        for v in self.world.open:
            for s in self.world.truth[v]:
                found.setdefault(s.label, []).append((v, s))
        for label in sorted(found):
            video, s = found[label][int(self.rng.integers(len(found[label])))]
            self.click(video, self.inside(s), label)

    def answer(self, most: int) -> None:
        """Answer the questions that the studio asks first."""
        studio, until = self.world.studio, self.clicks + most
        while self.clicks < until:
            asked = studio.findings.queue(studio.project.state)
            if not asked:
                self.anywhere(1)
                continue
            q = asked[0]
            self.one(q)
            while q.reason == "unfinished" and self.clicks < until and not studio.project.state.videos[q.video].done:
                self.one(q)

    def one(self, q: Question) -> None:
        if q.reason == "unfinished":
            missing = [s for s in self.world.truth[q.video] if not self.marked(q.video, s)]
            if missing:  # the question stays, until what is missing is marked
                self.click(q.video, self.inside(missing[0]), missing[0].label)
            else:
                self.edit(q.video, *changes_of(q, "accept", uuid.uuid4().hex, None, None, None))
            return
        here = [s for s in self.world.truth[q.video] if overlap((q.start, q.end), (s.start, s.end)) >= SAME
                or s.start <= (q.start + q.end) / 2 <= s.end]  # fmt: skip
        here = [s for s in here if not self.marked(q.video, s)] or here
        edit, clicks = uuid.uuid4().hex, 1
        if not here:
            made = changes_of(q, "nothing", edit, None, None, None)
        elif all(self.marked(q.video, s) for s in here):  # it is on the timeline already
            made = changes_of(q, "reject", edit, None, None, None)
        else:
            s = max(here, key=lambda s: overlap((q.start, q.end), (s.start, s.end)))
            middle = (q.start + q.end) / 2
            if q.reason == "boundary" and s.label == q.label:
                good = abs(s.start - q.start) <= NEAR_S and abs(s.end - q.end) <= NEAR_S
                clicks = 1 if good else 2
                made = changes_of(q, "accept", edit, None, None, None) if good else changes_of(
                    q, "move", edit, s.start, s.end, None)  # fmt: skip
            else:
                at = middle if s.start <= middle <= s.end else self.inside(s)
                made = changes_of(q, "accept" if s.label == q.label else "other", edit, at, at, s.label)
        self.edit(q.video, *made, clicks)

    def marked(self, video: str, s: Segment) -> bool:
        labels = self.world.studio.project.state.of_video(video)
        return any(x.label == s.label and s.start <= (x.start + x.end) / 2 <= s.end for x in labels)

    def anywhere(self, most: int) -> None:
        """Look at moments by chance, and say what happens there."""
        for _ in range(most):
            video = self.world.open[int(self.rng.integers(len(self.world.open)))]
            length = self.world.studio.library.videos[video].duration
            at = float(self.rng.uniform(0, length))
            s = next((s for s in self.world.truth[video] if s.start <= at <= s.end), None)
            if s is not None and self.marked(video, s):
                self.clicks += 1  # it is on the timeline already
                continue
            if s is not None:
                self.click(video, at, s.label)
                continue
            before = max((t.end for t in self.world.truth[video] if t.end <= at), default=0.0)
            after = min((t.start for t in self.world.truth[video] if t.start >= at), default=length)
            start, end = max(before, at - NOTHING_S), min(after, at + NOTHING_S)
            self.edit(video, [Change("add", Label(uuid.uuid4().hex, video, "nothing", start, end, ""))])

    def watch(self, most: int) -> None:
        """Watch one video after the other, and click each action."""
        if not self.began:
            self.began = True
            for k in self.rng.permutation(len(self.world.open)):
                video = self.world.open[k]
                self.waiting += [(video, s) for s in self.world.truth[video]] + [(video, None)]
        until = self.clicks + most
        while self.waiting and self.clicks < until:
            video, s = self.waiting.pop(0)
            if s is not None:
                self.click(video, self.inside(s), s.label)
            while self.waiting and self.waiting[0][1] is None:
                done, _ = self.waiting.pop(0)
                self.world.studio.project.set("watched", id=done, fields={"done": True})


def learned(w: World) -> float:
    """Train, and measure mAP@0.5 on the videos that the studio never sees."""
    studio = w.studio
    train(studio.project.folder, studio.order(), Telling())
    studio.findings.read()
    found = checkpoint.load(studio.project.folder / HEADS / "0")
    table = heard(found.method, found.config, found.vocabulary, found.network(), w.unseen).found
    names = tuple(sorted({s.label for v in w.unseen_truth for s in v.segments}))
    seconds = {n: f.duration for n, f in w.unseen.items()}
    held = HeldOut(table, w.unseen_truth, np.zeros(len(w.unseen_truth), int), names, "segment", seconds)
    return mean_ap(held.outcomes(), len(names))
