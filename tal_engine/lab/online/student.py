"""`distill --online`: a plan and videos in, a plan that reads streams snippet by snippet out."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from ..._util.files import check_free, check_writable
from ...annotations.labels import VideoLabels
from ...annotations.labels.label_files import video_files
from ...annotations.points import Point
from ...engine import TALEngine
from ...errors import require
from ...options import timeline_of
from ...plan.archive import Plan, write_plan
from ...plan.online_fields import OnlineOptions
from ...records import Features, Segment
from ...vocabulary import Vocabulary
from ..distilling.measuring import labels_of
from ..distilling.options import DistillOptions
from ..distilling.run import claim, divided
from ..distilling.targets import Bar, Teacher, VideoTargets, gather_targets, open_teacher, thinned
from .network import OnlineConfig, OnlineHead
from .rule import SHARES, FittedRule, fit_rule, read_video
from .stem import TeacherStem
from .targets import OnlineTargets, one_each, targets_of
from .training import OnlineTraining, TrainedHead, train_online

#: A teacher's segments from this score on are lessons where the video's classes are known, and where they are not. Raw
#: scores count as shares of the video's best.
_LEAST_KNOWN, _LEAST = 0.1, 0.3
#: Least snippets by which a start may be later than its onset: those that the look-ahead makes sure of come so late.
_BACKDATE = 3


@dataclass(frozen=True, kw_only=True)
class OnlineStudentOptions:
    """What can be chosen about an online student.

    look_ahead: seconds that delayed outputs, and so finals, wait; rounded down to whole snippets of the teacher.
    overlap: snippets begin so many times as often as the teacher's, which then overlap: starts are told sooner, and
    encoders run so many times as often. false_alarms: an hour, of starts and of finals, on the held-out videos.
    held_out: share of the videos that thresholds are fitted on. rule: of the event rule, fields of `OnlineOptions`.
    """

    look_ahead: float = 1.0
    overlap: int = 1
    false_alarms: float = 2.0
    training: OnlineTraining = field(default_factory=OnlineTraining)
    held_out: float = 0.25
    rule: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(0 <= self.look_ahead <= 60, "look_ahead", self.look_ahead, "in 0..60 seconds")
        require(1 <= self.overlap <= 64, "overlap", self.overlap, "in 1..64")
        require(0 < self.false_alarms < 1e6, "false_alarms", self.false_alarms, "positive")
        require(0 < self.held_out < 1, "held_out", self.held_out, "between 0 and 1")


@dataclass(frozen=True)
class Lesson:
    """A video to learn from, or to fit thresholds on: its features, and what counts as true in it."""

    features: Features
    segments: Sequence[Segment]


@dataclass(frozen=True)
class OnlineStudent:
    """A trained head, its stem and its rule."""

    net: OnlineHead
    stem: TeacherStem
    rule: FittedRule
    options: OnlineStudentOptions

    def plan(self, name: str) -> Plan:
        """Make its plan, behind the gate.

        Raises:
            ParityError: the graph differs from the network.
        """
        config = {**asdict(self.net.config), **asdict(self.options.training)}
        return _graphs().online_plan(
            self.net, self.stem, self.rule.options, name=name, config=config, thresholds=self.rule.thresholds,
            description="Reads a stream snippet by snippet; made by tal distill --online.",
            provenance={"fitted": self.rule.figures},
        )  # fmt: skip


class _Graphs(Protocol):
    """``tal_engine.export.online``, which builds on the lab."""

    def online_plan(self, net: OnlineHead, stem: TeacherStem, online: OnlineOptions, **options: Any) -> Plan: ...


def _graphs() -> _Graphs:
    return cast("_Graphs", importlib.import_module("tal_engine.export.online"))


def teach(
    teacher: Plan,
    taught: Mapping[str, Lesson],
    held_out: Mapping[str, Lesson],
    options: OnlineStudentOptions,
    bar: Bar | None = None,
    fitted_on: str = "held-out videos",
) -> OnlineStudent:
    """Train a head on some videos and fit its thresholds on others.

    Args:
        teacher: a plan whose head gives activations of classes.
        taught: videos to learn from.
        held_out: videos that thresholds are fitted on.
        options: see there.
        bar: gets the progress.
        fitted_on: says what the held-out videos are.

    Raises:
        UsageError: the teacher's head gives no activations.
        DataError: there is nothing to learn from, or to fit on.
    """
    manifest, words = teacher.manifest, Vocabulary(teacher.manifest.vocabulary)
    whole = int(options.look_ahead / timeline_of(manifest.snippet).step + 1e-6)
    ahead, window = whole * options.overlap, max(OnlineConfig.window, whole + 2)
    config = replace(OnlineConfig(), look_ahead=ahead, window=window, overlap=options.overlap)
    stem = TeacherStem(teacher, window, ahead, options.overlap)
    report = None if bar is None else lambda done, total: bar("training", done, total, "")
    made = train_online(
        {n: x.features for n, x in taught.items()},
        {n: _targets(x, words, config) for n, x in taught.items()},
        stem, config, options.training, report,
        {n: (x.features, _targets(x, words, config)) for n, x in held_out.items()},
    )  # fmt: skip
    net = made.net
    read = {n: read_video(net, stem, x.features) for n, x in held_out.items()}
    backdate = max(_BACKDATE, ahead + 2)
    rule = OnlineOptions(**{"look_ahead": ahead, "start": (1.0,) * len(words), "horizon_s": config.horizon_s,
                            "backdate": backdate, **options.rule})  # fmt: skip
    truth = {n: x.segments for n, x in held_out.items()}
    shares = () if {"share", "guesses"} & set(options.rule) else SHARES
    fitted = fit_rule(read, truth, words, rule, options.false_alarms, fitted_on, shares)
    return OnlineStudent(net, stem, replace(fitted, figures={**fitted.figures, "passes": _passes(made)}), options)


def _targets(lesson: Lesson, words: Vocabulary, config: OnlineConfig) -> OnlineTargets:
    features = lesson.features
    return targets_of(lesson.segments, words, features.timeline, len(features), config.horizon_s)


def _passes(made: TrainedHead) -> dict[str, object]:
    """Tell how training went: the passes, the one that was kept, and the loss of each on the held-out videos."""
    losses = [loss for _, loss in made.curve]
    kept = losses.index(min(losses)) + 1
    return {"run": len(losses), "kept": kept, "held_out_loss": [round(loss, 4) for loss in losses]}


def lessons_of(
    teacher: Teacher, videos: Sequence[VideoTargets], labels: Mapping[str, VideoLabels]
) -> dict[str, Lesson]:
    """Choose what counts as true in each video: its labelled segments, else the teacher's, of its classes if known.

    Args:
        teacher: finds segments.
        videos: what the teacher said.
        labels: by name; videos without any are the teacher's alone.
    """
    found = {}
    for video in videos:
        known = labels.get(video.name)
        if known is not None and known.segments:
            segments = list(known.segments)
        else:
            allowed = None if known is None else set(known.labels)
            segments = taught_segments(
                teacher.engine, thinned(video.features, teacher.overlap), allowed, _points(known)
            )
        found[video.name] = Lesson(video.features, segments)
    return found


def _points(labels: VideoLabels | None) -> Sequence[Point]:
    """Return a moment of each action of a video; () unless every class of it is known by such."""
    if labels is None or {p.label for p in labels.points} != set(labels.labels):
        return ()
    return labels.points


def taught_segments(
    teacher: TALEngine, features: Features, allowed: Collection[str] | None, points: Sequence[Point] = ()
) -> list[Segment]:
    """Return the segments of a video that a teacher is fairly sure of, one for each action.

    Args:
        teacher: finds segments.
        features: of the whole video.
        allowed: the video's classes; None: they are not known.
        points: a moment of each of its actions; (): they are not known.
    """
    found = teacher.localize(features, min_score=-np.inf, top_k=0)
    least = _LEAST if allowed is None else _LEAST_KNOWN
    if not found.info.calibrated:
        least *= max((s.score for s in found), default=0.0)
    return one_each(list(found), least, allowed, points)


def distill_online(
    teacher: Path, data: Path, output: Path, labels: Path | None, options: OnlineStudentOptions, how: DistillOptions,
    bar: Bar,
) -> OnlineStudent:  # fmt: skip
    """Let a teacher see whole videos, train an online student on what it says, and write its plan.

    Args:
        teacher: a plan with encoders, or the name of one that ships.
        data: folder of videos.
        output: the plan to write.
        labels: of the videos: segments are what the student learns, classes or points say which of the teacher's count.
        options: of the student.
        how: of the run: seed, work folder, device, overwrite.
        bar: gets the progress.

    Raises:
        UsageError: a plan that is there already, a work folder of another teacher, or a teacher without activations.
        DataError: fewer than two videos can be read, or nothing counts as true in those that are held out.
        ParityError: the graph differs from the network; nothing is written.
    """
    check_free(output, overwrite=how.overwrite)
    check_writable(output, "the plan")
    found = open_teacher(teacher, how.device, options.overlap)
    TeacherStem(found.plan, OnlineConfig.window, 0, options.overlap)  # refuses before an hour of work
    videos = video_files(data)
    known = labels_of(labels, data, videos)
    work = how.work or output.with_suffix(".distill")
    claim(work, found)
    seen = gather_targets(found, videos, work / "features", bar)
    taught, held = divided(list(seen), replace(how, held_out=options.held_out))
    named = {v.name: known[v.path.resolve()] for v in seen if v.path.resolve() in known}
    student = teach(
        found.plan, lessons_of(found, taught, named), lessons_of(found, held, named), options, bar,
        f"{len(held)} of {len(seen)} videos of tal distill",
    )  # fmt: skip
    write_plan(output, student.plan(output.name.removesuffix(".plan")))
    return student
