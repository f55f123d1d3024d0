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
from ...records import Features
from ...vocabulary import Vocabulary
from ..data.batches import BatchSampler
from ..heads.streams import IMAGE, default_streams, with_streams
from ..methods import Method, mixes, uses_points, uses_segments
from ..nn.projection import Projection, fit_projection
from ..training import checkpoint
from ..training.loop import fit
from ..training.training_options import TrainOptions
from ..training.validation import Videos, detect
from .known import known_by, points_of, truth_of
from .material import FeaturesOf
from .rules import Rule

#: Streams of a small head are at most so wide in all.
_SMALL_HEAD = 512

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
    def widths(self) -> dict[str, int]:
        """The features' widths."""
        some = next(iter(self.features.values()))
        return {s: int(x.shape[1]) for s, x in some.streams.items()}

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that the head reads after training."""
        return self.method.inference_streams(config_for(self.rule, self.widths))


@dataclass(frozen=True)
class Trained:
    """A trained head, its config, and the projection of features before it, if there is one."""

    net: nn.Module
    config: Any
    projection: Projection | None

    def projected(self, features: FeaturesOf, videos: Sequence[VideoLabels]) -> FeaturesOf:
        """Give the features of videos as the head reads them."""
        if self.projection is None:
            return features
        return projected(features, videos, self.projection)


def projected(features: FeaturesOf, videos: Sequence[VideoLabels], projection: Projection) -> dict[str, Features]:
    """Project the features of videos."""
    chosen = {v.name: features[v.name] for v in videos}
    return {n: replace(f, streams=projection.arrays(f.streams)) for n, f in chosen.items()}


def config_for(rule: Rule, widths: Mapping[str, int]) -> Any:
    """Make the config of a rule's head on streams of these widths.

    Raises:
        UsageError: the head needs a stream that there is not.
    """
    method = rule.method
    visual = {s: widths[s] for s in default_streams(widths)}
    config = with_streams(method.Config(**rule.config), visual)
    missing = [s for s in method.training_streams(config) if s not in widths]
    if missing:
        raise UsageError(
            f"head {rule.head!r} reads stream {missing[0]!r}, the encoders make {', '.join(widths)}: choose another "
            "head or other encoders"
        )
    return config


def trained(course: Course, videos: Sequence[VideoLabels], folder: Path, tell: Steps | None = None) -> Trained:
    """Train on some videos, or go on where `folder` says; the last weights are the result."""
    options = course.rule.options(course.seed)
    report = None if tell is None else (lambda step, steps, terms: tell(step, steps, sum(terms.values())))
    begun = (folder / "checkpoint.json").exists()
    projection = checkpoint.load(folder).projection if begun else _projection(course, videos)
    features, widths = course.features, course.widths
    if projection is not None:
        features, widths = projected(features, videos, projection), projection.widths(widths, before=False)
    config = config_for(course.rule, widths)
    with _one_thread(sum(widths.values())):
        state = fit(
            course.method, config, course.vocabulary, None, _batches(course, config, features, videos, options),
            options, folder, provenance={"data": _said(videos), "contract": dict(course.contract)}, resume=begun,
            report=report, projection=projection,
        )  # fmt: skip
    return Trained(state.net, config, projection)


def _projection(course: Course, videos: Sequence[VideoLabels]) -> Projection | None:
    """Fit the projection of wide streams on training videos; none of images that are compared with texts."""
    if not course.rule.per_component:
        return None
    streams = [s for s in course.streams if not (course.method.uses_text and s == IMAGE)]
    return fit_projection([course.features[v.name].streams for v in videos], streams, course.rule.per_component)


@contextmanager
def _one_thread(width: int) -> Iterator[None]:
    """Train small heads by one thread: others wait for each other longer than they work, above all on a busy machine.

    Results are then the same on any number of cores, too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if width <= _SMALL_HEAD else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(
    course: Course, config: Any, features: FeaturesOf, videos: Sequence[VideoLabels], options: TrainOptions
) -> BatchSampler:
    method = course.method
    streams, mixed = method.training_streams(config), mixes(method)
    if not mixed:
        videos = taught(method, videos)
    return BatchSampler(
        [v.annotated("train") for v in videos], features, course.vocabulary, streams, length=options.length,
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


def found_by(course: Course, head: Trained, videos: Sequence[VideoLabels]) -> Table:
    """Detect by a head on videos: suppressed, as the plan will give it before calibration."""
    shown = [v.annotated("test") for v in videos]
    data = Videos(shown, head.projected(course.features, videos), protocol("activitynet"), threads=0)
    return detect(course.method, head.net, head.config, course.vocabulary, data)


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
