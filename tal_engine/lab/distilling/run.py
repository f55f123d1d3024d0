"""`distill`: a plan and videos in, a plan that costs less out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..._util.files import check_folder, check_free, check_writable, write_text
from ..._util.untrusted import read_text
from ...annotations.labels.label_files import video_files
from ...errors import CheckpointError, DataError, UsageError
from ...options import SnippetOptions, timeline_of
from ...plan.archive import Plan, write_plan
from ...records import Features
from .lessons import Lesson, lesson_of
from .measuring import labels_of, measured, true_segments
from .options import DistillOptions, fitted_options, student_snippets
from .parts import LUMA, parameters_of
from .pictures import pictures_of
from .report import DistillReport
from .student import Shares, Student, order_of, shares_of
from .targets import Bar, Targets, Teacher, VideoTargets, gather_targets, open_teacher
from .tools import make_student_plan, streams_of_students
from .training import error_of, features_of, head_error, train

T = TypeVar("T")

#: Says whose the work folder is.
_IDENTITY = "teacher.txt"
#: Share of the features' variance, unexplained on held-out videos, from which on a student is called useless: half.
_USELESS = 0.5


def distill(
    teacher: str | Path,
    data: str | Path,
    output: str | Path = "student.plan",
    labels: str | Path | None = None,
    *,
    progress: Bar | None = None,
    **options: Any,
) -> DistillReport:
    """Train a student that reads few small pictures, with or without flow, and gives what the teacher gives.

    Args:
        teacher: a plan with encoders that read frames or flow, or the name of one that ships ("demo").
        data: folder of videos; they need no labels.
        output: the plan to write.
        labels: true segments of the videos, as `tal_engine.annotations.labels.read_labels` reads them; both plans are
            then measured by those of the held-out videos. Nothing is trained on them.
        progress: called with (task, done, total, note).
        options: fields of `DistillOptions`.

    Returns:
        The report: ``table``, ``figures``, ``plan``.

    Raises:
        UsageError: an unknown option or value, a teacher that reads skeletons, a plan that is there already, or a work
            folder of another teacher.
        PlanError: the teacher is damaged or has no encoders.
        DataError: fewer than two videos can be read, or labels that say nothing of the held-out ones.
        ParityError: a graph gives something else than what it was made of; nothing is written.
    """
    label_file = None if labels is None else Path(labels)
    return distill_with(
        Path(teacher), Path(data), Path(output), label_file, DistillOptions(**options), progress or _silent
    )


def _silent(task: str, done: int, total: int, note: str) -> None:
    """No progress."""


def distill_with(
    teacher: Path, data: Path, output: Path, labels: Path | None, options: DistillOptions, bar: Bar
) -> DistillReport:
    """See `distill`."""
    check_free(output, overwrite=options.overwrite)
    check_writable(output, "the plan")
    found = open_teacher(teacher, options.device)
    manifest = found.plan.manifest
    if set(streams_of_students().values()) & set(manifest.streams):
        raise UsageError(f"plan {manifest.name} is a student itself: take the plan that taught it")
    shares, options = shares_of(manifest, options), fitted_options(manifest.snippet, options)
    snippet = student_snippets(manifest.snippet, options)
    videos = video_files(data)
    if len(videos) < 2:
        raise DataError(f"{data}: has {len(videos)} video, at least 2 are needed: one to learn from, one held out")
    known = labels_of(labels, data, videos)
    if known and not any(v.segments for v in known.values()):
        raise DataError(f"{labels}: has no segments, only they tell how good a student is: leave --labels out")
    work = options.work or output.with_suffix(".distill")
    claim(work, found)
    seconds: dict[str, float] = {}
    seen = _timed(seconds, "teacher", lambda: gather_targets(found, videos, work / "features", bar))
    if len(seen) < 2:
        why = "; ".join(f"{name}: {reason}" for name, reason in seen.failed.items())
        raise DataError(f"{len(seen)} video could be read, at least 2 are needed; left out: {why}")
    taught, held = divided(list(seen), options)
    truth = true_segments(labels, known, held)
    kept = work / "pictures"
    cut = _timed(seconds, "pictures", lambda: pictures_of(list(seen), list(shares), snippet, options, kept, bar))
    lessons = {v.name: lesson_of(cut[v.name], v.features.streams, shares) for v in seen}
    head, note = head_error(found.plan, shares, options)
    trained = [lessons[v.name] for v in taught]
    net = _timed(seconds, "training", lambda: train(trained, shares, options, head, _epochs(bar), work))
    figures: dict[str, Any] = {
        "training_cpu_seconds": round(net.spent, 1),
        "trained_on": {"videos": len(taught), "snippets": sum(map(len, trained))},
        "unexplained": round(float(np.mean([error_of(net, lessons[v.name]) for v in held])), 4),
    }
    plan = _plan(found, net, shares, snippet, options, output, trained, figures)
    figures |= _timed(seconds, "measuring", lambda: measured(plan, held, truth))
    figures["seconds"] = seconds
    write_plan(output, plan)
    return DistillReport(output, plan, figures, tuple(_warnings(seen, figures["unexplained"], note)))


def _warnings(seen: Targets, unexplained: float, note: str) -> Iterator[str]:
    """Say what a user should know before the student is used."""
    if unexplained > _USELESS:
        yield (
            f"the student leaves {unexplained:.0%} of the features' variance unexplained on videos that it was not "
            "trained on: give it more videos or --epochs before you use it"
        )
    if note:
        yield note
    yield from (f"{name}: left out: {why}" for name, why in seen.failed.items())
    yield from (f"{name}: {n}" for name, notes in seen.warnings.items() for n in notes)


def divided(videos: Sequence[VideoTargets], options: DistillOptions) -> tuple[list[VideoTargets], list[VideoTargets]]:
    """Divide videos into those that a student learns from and those that it is measured on, by the seed.

    Raises:
        DataError: there are not two.
    """
    if len(videos) < 2:
        raise DataError(f"{len(videos)} video could be read, at least 2 are needed: one to learn from, one held out")
    order = np.random.default_rng([options.seed, 1]).permutation(len(videos))
    count = min(max(1, round(options.held_out * len(videos))), len(videos) - 1)
    chosen = set(order[:count].tolist())
    return [v for i, v in enumerate(videos) if i not in chosen], [videos[i] for i in sorted(chosen)]


def _plan(
    teacher: Teacher, net: Student, shares: Shares, snippet: SnippetOptions, options: DistillOptions, output: Path,
    trained: Sequence[Lesson], figures: dict[str, Any],
) -> Plan:  # fmt: skip
    """Put the student into a plan."""
    drawn = {name: str(value) for name, value in options.architecture().items()}
    values = {"frames": f"-1..1, luma {LUMA}" if options.colours == "luma" else "-1..1", "flow": "pixels"}
    record = {
        "options": {"epochs": options.epochs, "activations": options.activations, "seed": options.seed},
        "parameters": parameters_of(net),
        "figures": figures,
    }
    order = order_of(teacher.plan.manifest.streams, shares)
    kept = {s: width for s, width in order.items() if not any(s in streams for streams in shares.values())}
    return make_student_plan(
        teacher.plan, [(part, shares[part.reads]) for part in net.parts], snippet,
        name=output.name.removesuffix(".plan"),
        preprocess={reads: {**drawn, "values": said} for reads, said in values.items()}, record=record,
        seen=[_features(net, shares, kept, x, snippet) for x in trained], kept=list(kept),
    )  # fmt: skip


def _features(
    net: Student, shares: Shares, kept: Mapping[str, int], lesson: Lesson, snippet: SnippetOptions
) -> Features:
    """Make a student's features of a training video; those of encoders that stay, of some widths, are the teacher's."""
    widths = {streams_of_students()[reads]: sum(streams.values()) for reads, streams in shares.items()}
    widths |= kept
    columns = np.concatenate([features_of(net, lesson).numpy(), lesson.features[:, net.width :]], 1)
    parts = np.split(columns, np.cumsum(list(widths.values()))[:-1], 1)
    timeline = timeline_of(snippet)
    return Features(dict(zip(widths, parts, strict=True)), timeline, float(timeline.right(len(lesson))))


def claim(work: Path, teacher: Teacher) -> None:
    """Make the work folder, or find it to be of this teacher.

    Raises:
        UsageError: it is of another teacher or of something else.
    """
    path, wanted = work / _IDENTITY, teacher.plan.sha256
    if path.exists():
        of = read_text(path, "whose folder it is", CheckpointError).strip()
        if of != wanted:
            raise UsageError(
                f"{work}: is of another teacher ({of[:12]}, not {wanted[:12]}): choose another folder with --work, or "
                "delete this one"
            )
    elif work.exists() and any(work.iterdir()):
        raise UsageError(f"{work}: is no folder of tal distill and not empty: choose another one with --work")
    check_folder(work, "the work folder")
    if not path.exists():
        write_text(path, wanted + "\n")


def _timed(seconds: dict[str, float], stage: str, work: Callable[[], T]) -> T:
    began = time.monotonic()
    found = work()
    seconds[stage] = round(time.monotonic() - began, 2)
    return found


def _epochs(bar: Bar) -> Callable[[int, int, str], None]:
    return lambda done, total, note: bar("training", done, total, note)
