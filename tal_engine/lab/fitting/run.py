"""`fit`: videos and labels in, a plan and an honest report out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..._util.files import check_free, check_writable
from ...annotations.labels import Labels, read_labels
from ...errors import FitError
from ...inference.extraction import Extractor
from . import assess, checks, rules, stages
from .advice import next_steps
from .extracting import Extracted, extracted, record_of, stored
from .held_out import HeldOut
from .material import Material, material_of, some
from .options import NO_ENCODERS, Bar, FitOptions
from .refused import refusals
from .report import FitReport
from .scores import Scores, fitted_scores
from .separation import Chance, against_chance
from .shipping import ship
from .tools import Encoders, open_encoders
from .training import Course, config_for, taught
from .workplace import Workplace

log = logging.getLogger("tal_engine")


def fit(
    videos: str | Path,
    labels: str | Path | None = None,
    output: str | Path = "mine.plan",
    *,
    progress: Bar | None = None,
    **options: Any,
) -> FitReport:
    """Fit a plan to videos and their labels, and measure it on videos that it was not trained on.

    A run that was killed or interrupted goes on when it is called again.

    Args:
        videos: folder of the videos; or of their features, NAME.npz, with ``encoders="none"``.
        labels: what `tal_engine.annotations.labels.read_labels` reads; None takes the folders in `videos` as classes.
        output: the plan to write.
        progress: called with (task, done, total, note).
        options: fields of `FitOptions`.

    Returns:
        The report; its ``table``, ``next_steps`` and ``to_html``.

    Raises:
        UsageError: an unknown option or value, the plan is there already, or the work folder is of another run.
        DataError: labels or videos cannot be read.
        FitError: these videos and labels cannot make a plan that works; the message says what would help.
    """
    return fit_with(Path(videos), Path(labels or videos), Path(output), FitOptions(**options), progress or _silent)


def _silent(task: str, done: int, total: int, note: str) -> None:
    """No progress."""


def fit_with(videos: Path, labels: Path, output: Path, options: FitOptions, bar: Bar) -> FitReport:
    """See `fit`."""
    check_free(output, overwrite=options.overwrite)
    check_writable(output, "the plan")
    given = options.spec == NO_ENCODERS
    read = read_labels(labels, None if given else videos)
    with refusals(read, output):
        return _fitted(videos, read, output, options, bar)


def _fitted(videos: Path, read: Labels, output: Path, options: FitOptions, bar: Bar) -> FitReport:
    given = options.spec == NO_ENCODERS
    material = material_of(read, options.task, options.groups)
    warnings = checks.check_labels(material, options.min_videos)
    work = options.work or output.with_suffix(".fit")
    place = Workplace(work, {"videos": _videos(material), "labels": _digest(material), **options.identity()})
    if given:
        encoders, made = None, stored(material.videos, videos)
        record = record_of(made.features)
    else:
        bar("encoders", 0, 1, options.spec)
        encoders = open_encoders(options.spec, options.weights)
        bar("encoders", 1, 1, options.spec)
        made, record = _features(material, place, encoders, options, bar)
    material, lost = _readable(material, made, options)
    checks.check_features(made.features, material.names, options.spec)
    course = _course(material, made, record, options)
    held, half = _validated(course, material, place, options, bar)
    document, scores = _measured(held, half, material, options)
    found = stages.final(course, material, place, bar)
    document |= ship(found, encoders, output, scores, document, held.judged(material.measured), course)
    document |= _about(read, course, options, place, output)
    chance = Chance(**document["chance"])
    forced = [] if chance.better else [f"{_no_better(chance)}; shipped because of --force"]
    document["warnings"] = [*forced, *warnings, *lost]
    document["notes"] = [*material.notes, *_not_taught(course, material), *(str(p) for p in read.problems)]
    report = FitReport(document | {"next_steps": next_steps(document)})
    report.save(place.folder / "report.json")
    return report


def _measured(
    held: HeldOut, half: HeldOut | None, material: Material, options: FitOptions
) -> tuple[dict[str, Any], Scores]:
    """Measure by what labels can judge, calibrate, and refuse what chance does as well."""
    everything, held = held, held.judged(material.measured)
    half = None if half is None else half.judged(material.measured)
    outcomes, per_hour = held.outcomes(), options.false_alarms_per_hour
    chance = against_chance(held.found, held.videos, held.vocabulary, held.kind, held.seconds, options.seed)
    _gate(chance, held, options)
    scores = fitted_scores(held, outcomes, per_hour)
    document = assess.assessed(held, outcomes, scores, material, half, per_hour)
    document |= assess.shown_beside(everything, scores)
    return document | {"chance": chance._asdict()}, scores


def _videos(material: Material) -> list[list[Any]]:
    """List name and size of each video: another file under a name is another run."""
    return [[v.name, v.path.stat().st_size if v.path is not None else None] for v in material.videos]


def _digest(material: Material) -> str:
    rows = [
        [v.name, v.labels, [(p.seconds, p.label) for p in v.points], [(s.start, s.end, s.label) for s in v.segments]]
        for v in material.videos
    ]
    text = json.dumps([material.kind, list(material.vocabulary), rows, material.groups])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _features(
    material: Material, place: Workplace, encoders: Encoders, options: FitOptions, bar: Bar
) -> tuple[Extracted, dict[str, Any]]:
    """Make features of the videos, and the record of what made them."""
    extractor = Extractor(encoders.snippet, encoders.open(tuple(encoders.specs), options.device))
    made: list[Extracted] = []

    def work() -> dict[str, Any]:
        made.append(extracted(material.videos, place.folder / "features", extractor, bar))
        return {"failed": made[0].failed, "warnings": made[0].warnings}

    place.run("features", work)
    if not made:  # a run before this one made them
        made.append(extracted(material.videos, place.folder / "features", extractor, bar))
    return made[0], extractor.contract


def _readable(material: Material, made: Extracted, options: FitOptions) -> tuple[Material, list[str]]:
    """Keep the videos that have features, if they still are enough; and say what was lost.

    Raises:
        FitError: they are not.
    """
    if not made.failed:
        return material, []
    keep = [n in made.features for n in material.names]
    groups = tuple(g for g, k in zip(material.groups, keep, strict=True) if k)
    left = replace(material, videos=material.part(keep), groups=groups)
    checks.check_labels(left, options.min_videos)
    first = next(iter(made.failed.values()))
    return left, [f"{len(made.failed)} videos cannot be read and are left out ({some(list(made.failed))}): {first}"]


def _course(material: Material, made: Extracted, record: Mapping[str, Any], options: FitOptions) -> Course:
    count = sum(material.labels_of(c) for c in material.vocabulary)
    rule = rules.rule_for(material.kind, count, options.head, options.steps)
    course = Course(rule, material.vocabulary, made.features, record, options.seed)
    config_for(rule, {s: int(x.shape[1]) for s, x in next(iter(made.features.values())).streams.items()})
    return course


def _not_taught(course: Course, material: Material) -> list[str]:
    """Say which videos a head that was chosen by name cannot learn from."""
    left = set(material.names) - {v.name for v in taught(course.method, material.videos)}
    if not left:
        return []
    what = f"{len(left)} videos lack times of some of their classes and teach {course.rule.head!r} nothing"
    return [f"{what}: {some(sorted(left))}"]


def _validated(
    course: Course, material: Material, place: Workplace, options: FitOptions, bar: Bar
) -> tuple[HeldOut, HeldOut | None]:
    count = min(options.folds, len(set(material.groups)))
    fold = stages.fold_of(material, count, options.seed)
    place.run("folds", lambda: dict(zip(material.names, fold.tolist(), strict=True)))
    if options.ray is not None:
        stages.spread(course, material, fold, place, bar, options.ray, half=options.curve)
    held = stages.held_out(course, material, fold, place, bar)
    return held, stages.held_out(course, material, fold, place, bar, half=True) if options.curve else None


def _no_better(chance: Chance) -> str:
    return (
        f"on held-out videos the AP is {100 * chance.found:.1f}, and {100 * chance.chance:.1f} for labels dealt out by "
        f"chance, which does as well with a probability of {chance.p:.2f}"
    )


def _gate(chance: Chance, held: HeldOut, options: FitOptions) -> None:
    """Refuse to ship what chance does as well.

    Raises:
        FitError: with what would help.
    """
    if chance.better:
        return
    what = f"{_no_better(chance)}: these classes cannot be told apart by features of {options.spec}"
    if options.force:
        log.warning("%s; shipped because of --force", what)
        return
    advice = "add videos, look whether labels are right, make classes one that look alike"
    if "tiny" not in options.spec:
        advice += ", or try --encoders tiny"
    if options.steps is not None:
        advice += f", or train longer than --steps {options.steps}"
    if held.kind == "video":
        advice = f"click one moment of each action (--task points), {advice}"
    raise FitError(f"{what}. No plan is written: {advice}. --force ships it anyway")


def _about(read: Labels, course: Course, options: FitOptions, place: Workplace, output: Path) -> dict[str, Any]:
    from ... import __version__

    return {
        "output": str(output),
        "labels_file": str(read.source),
        "rows_left_out": read.rows_left_out,
        "encoders": options.spec,
        "rule": asdict(course.rule),
        "seed": options.seed,
        "work": str(place.folder),
        "seconds": place.seconds(),
        "version": __version__,
    }
