"""Runs: a method trained on a data set, scored on its test videos, reported; one seed or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...annotations import AnnotatedVideo
from ...annotations.points import Points
from ...errors import FeatureError, UsageError
from ...features import differences
from ...metrics import Protocol as Rules
from ...metrics import protocol
from ...records import Features
from ..data.batches import BatchSampler
from ..data.dataset import DataSet
from ..data.description import Role
from ..data.feature_source import Progress
from ..heads.streams import width_of
from ..methods import Method, has_views, mixes, uses_points, uses_segments
from ..nn.text import TextEncoder
from . import supervision, training_report
from .distributed import World, joined
from .loop import Evaluate, fit
from .run_record import data_hash, versions
from .scalars import written
from .training_options import TrainOptions
from .validation import Videos, scores

#: (task, done, total, note)
Bar = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Run:
    """What a run ended with: rows of its report, none without test videos, and the rules they were scored by."""

    rows: list[training_report.Row]
    rules: Rules


def train_head(
    method: Method,
    config: Any,
    options: TrainOptions,
    data: DataSet,
    output: Path,
    *,
    text: TextEncoder | None = None,
    subset: Role = "train",
    resume: bool = False,
    bar: Bar | None = None,
    command: Sequence[str] = (),
) -> Run:
    """Train a method on a data set, leave a checkpoint and ``report.json``.

    The report has the scores of test videos, if there are some, and what the run was made of: command, settings,
    versions, and a hash of the data.

    Args:
        method: what to train.
        config: its configuration.
        options: of the loop.
        data: where videos and features come from.
        output: folder of the checkpoint.
        text: the text tower, for methods that train with one.
        subset: whose labels are read; their times only by methods that say so (`uses_points`, `uses_segments`).
        resume: go on from the checkpoint in `output`.
        bar: progress.
        command: what started the run, for the report.

    Raises:
        UsageError: options ask for what the data set does not have.
    """
    if options.select == "validation" and not data.has("validation"):
        raise UsageError(f"select is 'validation', but {data.name} has no validation videos; use 'last'")
    rules = protocol(data.protocol)
    videos = supervision.supervised(data, data.subset(subset), method)
    labels = f"points ({options.points})" if uses_points(method) else "video-level labels"
    labels = "segments" if uses_segments(method) else labels
    with joined(options) as world:
        tell = bar if bar is not None and world.first else _silent
        streams = method.training_streams(config)
        with world.first_before_others():  # the first process makes features, the others find them made
            features = data.features(videos, streams, _counted(tell, "features"))
        points = supervision.points_of(data, videos, options) if uses_points(method) else None
        batches = _batches(method, config, options, data, videos, features, points, world)
        learned = data_hash(videos, features, streams, points)
        tests = _tests(method, config, options, data, tell) if world.first else {}
        watch = _Watch(tell, lambda net: {r: scores(method, net, config, data.vocabulary, t) for r, t in tests.items()})
        state = fit(
            method, config, data.vocabulary, text, batches, options, output, resume=resume, report=watch.stepped,
            evaluate=watch.evaluated if tests else None,
            provenance={"data": f"{data.name}: {len(videos)} videos of subset {subset!r}, {labels}",
                        "data_hash": learned, "contract": _record(data, features, streams)},
        )  # fmt: skip
        rows = training_report.rows(
            state.history, mean_of_last=options.mean_of_last, by_validation=options.select == "validation",
            every=options.eval_every or options.steps or 1,
        )  # fmt: skip
        if world.first:
            about = {**_made_of(method, config, options, data, command), "seed": options.seed, "step": state.step,
                     "supervision": labels, "videos": [v.name for v in videos], "data_hash": learned}  # fmt: skip
            with written(output, "the report"):
                training_report.write_run(output, rows, state.history, rules, about)
    return Run(rows, rules)


class _Watch:
    """Progress with the last scores beside the loss."""

    def __init__(self, tell: Bar, evaluate: Evaluate) -> None:
        self._tell, self._evaluate, self._last = tell, evaluate, ""

    def evaluated(self, net: nn.Module) -> dict[str, dict[str, Any]]:
        """Score a network."""
        scores = self._evaluate(net)
        self._last = "".join(f", {role} mAP {100 * s['average']:.2f}" for role, s in scores.items())
        return scores

    def stepped(self, step: int, steps: int, terms: dict[str, float]) -> None:
        """Show a step, now and then."""
        if step % 10 == 0 or step in (1, steps):
            self._tell("training", step, steps, f"loss {sum(terms.values()):.3f}{self._last}")


def train_seeds(
    method: Method,
    config: Any,
    options: TrainOptions,
    data: DataSet,
    output: Path,
    *,
    seeds: int,
    text: TextEncoder | None = None,
    subset: Role = "train",
    resume: bool = False,
    bar: Bar | None = None,
    command: Sequence[str] = (),
) -> Run:
    """`train_head` with so many seeds, from the options' on, in ``OUTPUT/seedN``, and a report over them.

    With `resume` seeds that were begun go on and the others begin.
    """
    runs: dict[int, Run] = {}
    with joined(options) as world:  # once: a group of processes cannot be joined again
        for seed in range(options.seed, options.seed + seeds):
            folder = output / f"seed{seed}"
            runs[seed] = train_head(
                method, config, replace(options, seed=seed), data, folder, text=text, subset=subset,
                resume=resume and (folder / "checkpoint.json").exists(), bar=bar, command=command,
            )  # fmt: skip
    rules = runs[options.seed].rules
    if not world.first:
        return Run([], rules)
    about = _made_of(method, config, options, data, command)
    with written(output, "the report"):
        return Run(training_report.write_seeds(output, {s: r.rows for s, r in runs.items()}, rules, about), rules)


def _made_of(
    method: Method, config: Any, options: TrainOptions, data: DataSet, command: Sequence[str]
) -> dict[str, Any]:
    """Describe the run for a report, whatever its seed."""
    return {"method": method.name, "data": data.name, "command": list(command), "config": asdict(config),
            "train": asdict(options), "versions": versions()}  # fmt: skip


def _silent(task: str, done: int, total: int, note: str) -> None:
    """Ignore progress."""


def _counted(tell: Bar, task: str) -> Progress:
    return lambda done, total: tell(task, done, total, "")


def _batches(
    method: Method,
    config: Any,
    options: TrainOptions,
    data: DataSet,
    videos: list[AnnotatedVideo],
    features: dict[str, Features],
    points: Points | None,
    world: World,
) -> BatchSampler:
    """Create this process's part of the batches."""
    streams = method.training_streams(config)
    size, pairs = world.share(options)
    return BatchSampler(
        videos, features, data.vocabulary, streams, length=options.length, size=size, pairs=pairs,
        sampling=options.sampling, widths={s: width_of(config, s) for s in streams}, points=points,
        segments=supervision.segments_of(data, videos) if uses_segments(method) else None,
        mixed=data.mixed and mixes(method),
    )  # fmt: skip


def _record(data: DataSet, features: Mapping[str, Features], streams: Sequence[str]) -> dict[str, Any]:
    """Return what made the features, and the versions of it; {} where not everything is recorded.

    Raises:
        FeatureError: two files were made from different things.
    """
    record = dict(data.contract) or _alike(data, features, streams)
    seen: dict[str, set[str]] = {}
    for one in features.values():
        for name, version in one.contract.get("libraries", {}).items():
            seen.setdefault(name, set()).add(version)
    versions = {name: ", ".join(sorted(versions_of_one)) for name, versions_of_one in sorted(seen.items())}
    # Files of several revisions of one flow are slightly different, and may be trained on together.
    flows = sorted({str(one.contract["flow"]) for one in features.values() if "flow" in one.contract})
    if record and flows:
        record["flow"] = " and ".join(flows)
    return record | {"libraries": versions} if record and versions else record


def _alike(data: DataSet, features: Mapping[str, Features], streams: Sequence[str]) -> dict[str, Any]:
    """Return what every feature file records; {} where one records nothing of a stream."""
    apart = ("libraries", "flow")  # joined by `_record`
    records = {n: {k: v for k, v in f.contract.items() if k not in apart} for n, f in features.items()}
    if not all(set(streams) <= set(r.get("encoders", {})) for r in records.values()):
        return {}
    first, wanted = next(iter(records.items()))
    for name, record in records.items():
        for what, other, value in differences(record, wanted):
            raise FeatureError(f"{data.name}: {what} is {other!r} in the features of {name}, {value!r} in {first}'s")
    return dict(wanted)


def videos_of(
    method: Method, config: Any, options: TrainOptions, data: DataSet, role: Role, bar: Bar | None = None
) -> Videos:
    """Load the videos of a role with their features, ready to score under the data set's protocol."""
    videos = data.subset(role)
    names = {v.name for v in videos}
    streams = method.training_streams(config) if has_views(method) else method.inference_streams(config)
    return Videos(
        videos=videos,
        features=data.features(videos, streams, _counted(bar or _silent, f"{role} features")),
        protocol=protocol(data.protocol),
        sampling=options.test_sampling,
        length=options.test_length,
        threads=0,
        missed=[v for v in data.truth(role) if v.name not in names],
    )


def _tests(method: Method, config: Any, options: TrainOptions, data: DataSet, tell: Bar) -> dict[str, Videos]:
    """Load the videos to score by role: test, and validation if weights are selected by it."""
    wanted: tuple[Role, ...] = ("test", "validation") if options.select == "validation" else ("test",)
    return {role: videos_of(method, config, options, data, role, tell) for role in wanted if data.has(role)}
