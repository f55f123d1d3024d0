"""The graphs of a plan on a device, and the way of a source through them: features, activations, segments.

Composes the stages and owns no algorithm. What only videos need (decoding, encoders) is loaded when the first one
comes. Safe to share between threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import Backend, LazyBackend, Runtime, TogetherBackend
from .errors import FeatureError, PlanError, PlanFault
from .features import EncoderGraph, check_contract, contract_of, load_features
from .localize import evaluator_of, propose, score_together, suppress, to_segments
from .manifest import Graph
from .options import PIXELS, SegmentOptions, timeline_of
from .pipeline import Stopwatch
from .plan import Plan
from .records import Activations, Boundaries, Features, Info, Localization, Proposals, Snippets

#: What can be localized: a video file, frames [N, H, W, 3] uint8 (with fps), features as a record, as a file (.npz) or
#: as a mapping stream -> [T, D].
Source = str | Path | NDArray[Any] | Features | Mapping[str, NDArray[np.float32]]

#: Called with (seconds done, seconds in total or 0 if unknown).
Progress = Callable[[float, float], None]


@dataclass
class Prepared:
    """A source that has features; `Stages.score` adds the activations."""

    features: Features
    info: Info
    #: Seconds from the source to its features.
    seconds: float
    watch: Stopwatch = field(default_factory=Stopwatch)
    activations: Activations | Boundaries | None = None


class Stages:
    """A plan's graphs, opened, and what is done with them."""

    def __init__(self, plan: Plan, runtime: Runtime, batch: int) -> None:
        self.plan, self.batch = plan, batch
        manifest = plan.manifest
        self.head = _open(plan, runtime, manifest.head)
        self.evaluator = None
        if manifest.evaluator is not None:
            self.evaluator = evaluator_of(_open(plan, runtime, manifest.evaluator))
        self._late = [LazyBackend(partial(_open, plan, runtime, e.graph, batch)) for e in manifest.encoders]
        # Calls of one thread each do better side by side; those that take the whole device, one after the other.
        apart = runtime.side_by_side
        shared = [b if apart else TogetherBackend(b, batch) for b in self._late]
        self.encoders = [EncoderGraph(e, b) for e, b in zip(manifest.encoders, shared, strict=True)]
        #: Rules of pixels that the head was trained on; heads without a record are taken to know those of now.
        self.pixels = str(manifest.provenance.get("contract", {}).get("pixels", PIXELS))
        self.contract = contract_of(manifest.snippet, manifest.encoders, self.pixels)

    def load_encoders(self) -> None:
        """Load the encoders now rather than with the first video.

        Raises:
            BackendError: one cannot be loaded.
        """
        for backend in self._late:
            backend.get()

    @property
    def runs_on(self) -> dict[str, str]:
        """Where each graph runs, by member."""
        manifest = self.plan.manifest
        own = {manifest.head.member: self.head.description}
        return own | {e.spec.graph.member: e.backend.description for e in self.encoders}

    def prepare(
        self, source: Source, fps: float | None, force: bool, progress: Progress | None, share: int = 0
    ) -> Prepared:
        """From a source to its features, `share` snippets at a time; 0: as many as an encoder takes.

        Raises:
            VideoError, FeatureError, UsageError: it cannot be used.
            PlanError: a video, and the plan has no encoders.
        """
        began = time.perf_counter()
        features, info = self._features(source, fps, force, progress, share or self.batch)
        return Prepared(features, info, time.perf_counter() - began)

    def score(self, videos: Sequence[Prepared]) -> None:
        """Run the head once on videos of one length; each is charged its share of the time.

        Raises:
            FeatureError: a stream is missing or has another width than the head reads.
            BackendError: the head does not run.
        """
        together, features = Stopwatch(), [v.features for v in videos]
        found = together.run("head", lambda: score_together(features, self.head, self.plan.manifest))
        for video, activations in zip(videos, found, strict=True):
            video.activations = activations
            video.watch.seconds["head"] = together.seconds["head"] / len(videos)

    def encode_snippets(self, snippets: Snippets) -> dict[str, NDArray[np.float32]]:
        """Features [N, D] of a batch of snippets by stream; flow is added as the plan says."""
        from .video.flow import with_flow

        (batch,) = with_flow([snippets], self.plan.manifest.snippet)
        return {e.spec.stream: e(batch) for e in self.encoders}

    def propose_many(self, features: Sequence[Features]) -> list[Proposals]:
        """Proposals of each of several features, before suppression; the head sees those of one length in one call."""
        manifest = self.plan.manifest
        lengths: dict[int, list[int]] = {}
        for i, one in enumerate(features):
            lengths.setdefault(len(one), []).append(i)
        found: dict[int, Proposals] = {}
        for same in lengths.values():
            scored = score_together([features[i] for i in same], self.head, manifest)
            for i, activations in zip(same, scored, strict=True):
                found[i] = propose(activations, manifest.proposal, self.evaluator)
        return [found[i] for i in range(len(features))]

    def finish(self, made: Prepared, wanted: SegmentOptions) -> Localization:
        """From activations to segments; without activations it scores first."""
        if made.activations is None:
            self.score([made])
        activations, watch, info, manifest = made.activations, made.watch, made.info, self.plan.manifest
        assert activations is not None  # noqa: S101 - `score` has set them
        began = time.perf_counter()
        proposals = watch.run("proposals", lambda: propose(activations, manifest.proposal, self.evaluator))
        proposals = watch.run("nms", lambda: suppress(proposals, manifest.nms))
        segments = to_segments(proposals, self.plan.vocabulary, wanted)

        info.plan, info.snippets = self.plan.sha256, len(made.features)
        info.duration = made.features.duration
        info.seconds |= watch.seconds
        info.seconds["total"] = made.seconds + watch.seconds["head"] + time.perf_counter() - began
        return Localization(segments, info, self.plan.vocabulary, activations)

    def _features(
        self, source: Source, fps: float | None, force: bool, progress: Progress | None, share: int
    ) -> tuple[Features, Info]:
        if isinstance(source, Mapping):
            streams = {n: np.asarray(a, np.float32) for n, a in source.items()}
            count = max((a.shape[0] for a in streams.values() if a.ndim), default=0)
            timeline = timeline_of(self.plan.manifest.snippet)
            source = Features(streams, timeline, float(timeline.right(count)))
        if isinstance(source, (str, Path)) and Path(source).suffix == ".npz":
            return self._checked(load_features(source), str(source), force)
        if isinstance(source, Features):
            return self._checked(source, "features", force)
        if not self.encoders:
            raise PlanError(
                PlanFault.NO_ENCODER,
                f"plan {self.plan.manifest.name} has no encoders: it localizes features, not videos",
            )
        from .extraction import Extractor
        from .video import open_video

        with open_video(source, fps) as video:
            made = Extractor(self.plan.manifest.snippet, self.encoders).encode(video, progress, share)
        info = Info(video.name, fps=video.fps, frames=video.decoded, frames_lost=video.lost, warnings=made.warnings)
        info.seconds = made.seconds
        if self.pixels != PIXELS:
            info.warnings.append(
                f"plan {self.plan.manifest.name} was trained on pixels by the rules {self.pixels!r}, this version "
                f"decodes by {PIXELS!r}: scores may be off; train and export it anew"
            )
        return made.features, info

    def _checked(self, features: Features, name: str, force: bool) -> tuple[Features, Info]:
        if len(features) == 0:
            raise FeatureError(f"{name}: no features")
        return features, Info(name, warnings=check_contract(features.contract, self.contract, name, force=force))


def _open(plan: Plan, runtime: Runtime, graph: Graph, rows: int = 0) -> Backend:
    engines = [e for e in plan.engines if e[0].graph == graph.member]
    return runtime.open(plan.files[graph.member], graph.member, rows=rows, spec=graph, engines=engines)
