"""Runs: a method trained on a data set, scored on its test videos, reported; one seed or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..annotations import AnnotatedVideo
from ..data.batches import BatchSampler
from ..data.dataset import DataSet, Progress
from ..data.description import Role
from ..errors import FeatureError, UsageError
from ..features import differences
from ..methods import Method, has_views, uses_points
from ..metrics import Protocol as Rules
from ..metrics import protocol
from ..nn.text import TextEncoder
from ..records import Features
from . import report, supervision
from .distributed import World, joined
from .evaluation import Videos, scores
from .loop import Evaluate, fit
from .options import TrainOptions

#: (task, done, total, note)
Bar = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Run:
    """What a run ended with: rows of its report, none without test videos, and the rules they were scored by."""

    rows: list[report.Row]
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
) -> Run:
    """Train a method on a data set, leave a checkpoint and, if it has test videos, ``report.json``.

    Args:
        method: what to train.
        config: its configuration.
        options: of the loop.
        data: where videos and features come from.
        output: folder of the checkpoint.
        text: the text tower, for methods that train with one.
        subset: whose labels are read; their times are not.
        resume: go on from the checkpoint in `output`.
        bar: progress.

    Raises:
        UsageError: options ask for what the data set does not have.
    """
    if options.select == "validation" and not data.has("validation"):
        raise UsageError(f"select is 'validation', but {data.name} has no validation videos; use 'last'")
    rules = protocol(data.protocol)
    videos = data.subset(subset)
    labels = f"points ({options.points})" if uses_points(method) else "video-level labels"
    with joined(options) as world:
        tell = bar if bar is not None and world.first else _silent
        streams = method.training_streams(config)
        with world.first_before_others():  # the first process makes features, the others find them made
            features = data.features(videos, streams, _counted(tell, "features"))
        batches = _batches(method, config, options, data, videos, features, world)
        tests = _tests(method, config, options, data, tell) if world.first else {}
        watch = _Watch(tell, lambda net: {r: scores(method, net, config, data.vocabulary, t) for r, t in tests.items()})
        state = fit(
            method, config, data.vocabulary, text, batches, options, output, resume=resume, report=watch.stepped,
            evaluate=watch.evaluated if tests else None,
            provenance={"data": f"{data.name}: {len(videos)} videos of subset {subset!r}, {labels}",
                        "contract": _record(data, features, streams)},
        )  # fmt: skip
        rows = report.rows(
            state.history, mean_of_last=options.mean_of_last, by_validation=options.select == "validation",
            every=options.eval_every or options.steps or 1,
        )  # fmt: skip
        if state.history and world.first:
            about = {"method": method.name, "data": data.name, "seed": options.seed, "step": state.step}
            report.write_run(output, rows, state.history, rules, about)
    return Run(rows, rules)


class _Watch:
    """Progress with the last scores beside the loss."""

    def __init__(self, tell: Bar, evaluate: Evaluate) -> None:
        self._tell, self._evaluate, self._last = tell, evaluate, ""

    def evaluated(self, net: nn.Module) -> dict[str, dict[str, Any]]:
        """Score a network."""
        found = self._evaluate(net)
        self._last = "".join(f", {role} mAP {100 * s['average']:.2f}" for role, s in found.items())
        return found

    def stepped(self, step: int, steps: int, terms: dict[str, float]) -> None:
        """Show a step, now and then."""
        if step % 10 == 0 or step == steps:
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
                resume=resume and (folder / "checkpoint.json").exists(), bar=bar,
            )  # fmt: skip
    rules = runs[options.seed].rules
    if not (world.first and runs[options.seed].rows):
        return Run([], rules)
    about = {"method": method.name, "data": data.name}
    return Run(report.write_seeds(output, {s: r.rows for s, r in runs.items()}, rules, about), rules)


def _silent(task: str, done: int, total: int, note: str) -> None:
    """No progress."""


def _counted(tell: Bar, task: str) -> Progress:
    return lambda done, total: tell(task, done, total, "")


def _batches(
    method: Method,
    config: Any,
    options: TrainOptions,
    data: DataSet,
    videos: list[AnnotatedVideo],
    features: dict[str, Features],
    world: World,
) -> BatchSampler:
    """This process's part of the batches."""
    streams = method.training_streams(config)
    size, pairs = world.share(options)
    return BatchSampler(
        videos, features, data.vocabulary, streams, length=options.length, size=size, pairs=pairs,
        sampling=options.sampling, widths={s: getattr(config, s) for s in streams if hasattr(config, s)},
        points=supervision.points_of(data, videos, options) if uses_points(method) else None,
    )  # fmt: skip


def _record(data: DataSet, features: Mapping[str, Features], streams: Sequence[str]) -> dict[str, Any]:
    """What made the features, and the versions of what made them; {} where not everything is on record.

    Raises:
        FeatureError: two files that were made of something else.
    """
    made = dict(data.contract) or _alike(data, features, streams)
    seen: dict[str, set[str]] = {}
    for one in features.values():
        for name, version in one.contract.get("libraries", {}).items():
            seen.setdefault(name, set()).add(version)
    versions = {name: ", ".join(sorted(found)) for name, found in sorted(seen.items())}
    return made | {"libraries": versions} if made and versions else made


def _alike(data: DataSet, features: Mapping[str, Features], streams: Sequence[str]) -> dict[str, Any]:
    """What every feature file says; {} where one says nothing of a stream."""
    records = {n: {k: v for k, v in f.contract.items() if k != "libraries"} for n, f in features.items()}
    if not all(set(streams) <= set(r.get("encoders", {})) for r in records.values()):
        return {}
    first, wanted = next(iter(records.items()))
    for name, found in records.items():
        for what, other, value in differences(found, wanted):
            raise FeatureError(f"{data.name}: {what} is {other!r} in the features of {name}, {value!r} in {first}'s")
    return wanted


def videos_of(
    method: Method, config: Any, options: TrainOptions, data: DataSet, role: Role, bar: Bar | None = None
) -> Videos:
    """The videos of a role with their features, ready to score under the data set's protocol."""
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
    """Videos to score by role: test, and validation if weights are selected by it."""
    wanted: tuple[Role, ...] = ("test", "validation") if options.select == "validation" else ("test",)
    return {role: videos_of(method, config, options, data, role, tell) for role in wanted if data.has(role)}
