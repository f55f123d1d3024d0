"""One training run of a fit, and what its head finds on videos that it did not see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...annotations.labels import Kind, VideoLabels
from ...annotations.points import Points, draw_points
from ...annotations.tables import Table
from ...errors import UsageError
from ...metrics import protocol
from ...vocabulary import Vocabulary
from ..data.batches import BatchSampler
from ..heads.streams import default_streams, with_streams
from ..methods import Method, mixes, uses_points, uses_segments
from ..training.loop import fit
from ..training.training_options import TrainOptions
from ..training.validation import Videos, detect
from .known import known_by, points_of, truth_of
from .material import FeaturesOf
from .rules import Rule

#: Width up to which a head is small.
_SMALL = 512

#: Called with (step, steps, loss).
Steps = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Course:
    """What all training runs of a fit share."""

    rule: Rule
    vocabulary: Vocabulary
    features: FeaturesOf
    contract: Mapping[str, Any]
    seed: int = 0

    @property
    def method(self) -> Method:
        """The head's module."""
        return self.rule.method

    @property
    def config(self) -> Any:
        """The head's config, at the features' widths."""
        some = next(iter(self.features.values()))
        return config_for(self.rule, {s: int(x.shape[1]) for s, x in some.streams.items()})


def config_for(rule: Rule, widths: Mapping[str, int]) -> Any:
    """Make the config of a rule's head on streams of these widths.

    Raises:
        UsageError: the head needs a stream that there is not.
    """
    method = rule.method
    visual = {s: widths[s] for s in default_streams(widths)}
    config = with_streams(method.Config(**rule.config), visual)
    if getattr(config, "embedding", None) == 0 and config.total > rule.widest > 0:
        config = replace(config, embedding=rule.widest)
    missing = [s for s in method.training_streams(config) if s not in widths]
    if missing:
        raise UsageError(
            f"head {rule.head!r} reads stream {missing[0]!r}, the encoders make {', '.join(widths)}: choose another "
            "head or other encoders"
        )
    return config


def trained(course: Course, videos: Sequence[VideoLabels], folder: Path, tell: Steps | None = None) -> nn.Module:
    """Train on some videos, or go on where `folder` says; the last weights are the result."""
    options = course.rule.options(course.seed)
    report = None if tell is None else (lambda step, steps, terms: tell(step, steps, sum(terms.values())))
    with one_thread(course.config):
        state = fit(
            course.method, course.config, course.vocabulary, None, _batches(course, videos, options), options, folder,
            provenance={"data": _said(videos), "contract": dict(course.contract)},
            resume=(folder / "checkpoint.json").exists(), report=report,
        )  # fmt: skip
    return state.net


@contextmanager
def one_thread(config: Any) -> Iterator[None]:
    """Train small heads on one thread: several wait for each other longer than they work, above all on a busy machine.

    The result is then the same on any number of cores, too.
    """
    before = torch.get_num_threads()
    inner = getattr(config, "embedding", 0) or getattr(config, "width", 0) or config.total
    torch.set_num_threads(1 if inner <= _SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(course: Course, videos: Sequence[VideoLabels], options: TrainOptions) -> BatchSampler:
    method, config = course.method, course.config
    streams, mixed = method.training_streams(config), mixes(method)
    if not mixed:
        videos = taught(method, videos)
    return BatchSampler(
        [v.annotated("train") for v in videos], course.features, course.vocabulary, streams, length=options.length,
        size=options.batch, pairs=options.pairs, sampling=options.sampling, mixed=mixed,
        points=_points(videos, options) if uses_points(method) else None,
        segments={v.name: truth_of(v, "segment").segments for v in videos} if uses_segments(method) else None,
    )  # fmt: skip


def taught(method: Method, videos: Sequence[VideoLabels]) -> list[VideoLabels]:
    """Take the videos that a method learns from: one that reads times and does not mix needs those of all classes."""
    kind: Kind = "point" if uses_points(method) else "segment" if uses_segments(method) else "video"
    return [v for v in videos if mixes(method) or known_by(v, kind) == set(v.labels)]


def _points(videos: Sequence[VideoLabels], options: TrainOptions) -> Points:
    """Give the points of videos; with points=uniform or gaussian, segments have drawn ones in place of others."""
    given = {v.name: points_of(v) for v in videos}
    if options.points == "given":
        return given
    drawn = draw_points([v.annotated("train") for v in videos], options.points, options.seed)
    bare = {v.name: {p.label for p in v.points} - {s.label for s in v.segments} for v in videos}
    return {n: tuple(sorted({*drawn[n], *(p for p in of if p.label in bare[n])})) for n, of in given.items()}


def _said(videos: Sequence[VideoLabels]) -> str:
    text = json.dumps([[v.name, v.labels, [(p.seconds, p.label) for p in v.points],
                        [(s.start, s.end, s.label) for s in v.segments]] for v in videos])  # fmt: skip
    return f"{len(videos)} videos of tal fit, {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def found_by(course: Course, net: nn.Module, videos: Sequence[VideoLabels]) -> Table:
    """Detect by a network on videos: suppressed, as the plan will give it before calibration."""
    shown = [v.annotated("test") for v in videos]
    data = Videos(shown, course.features, protocol("activitynet"), threads=0)
    return detect(course.method, net, course.config, course.vocabulary, data)


def rows_of(table: Table) -> list[list[Any]]:
    """Make plain data of detections: video, class, start, end, score."""
    columns = (table.video, table.label, table.start, table.end, table.score)
    return [
        [table.videos[v], table.labels[c], s, e, x]
        for v, c, s, e, x in zip(*(np.asarray(col).tolist() for col in columns), strict=True)
    ]


def table_of(rows: Sequence[Sequence[Any]], videos: Sequence[str], vocabulary: Sequence[str]) -> Table:
    """Make detections of what `rows_of` gave."""
    return Table.of(((v, c, s, e, x) for v, c, s, e, x in rows), source="held-out detections", videos=videos,
                    labels=tuple(vocabulary))  # fmt: skip
