"""TALEngine: loads a plan and composes the stages. Owns no algorithm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .backends import Backend, open_backend
from .errors import FeatureError, PlanError, PlanFault
from .extraction import Extractor
from .features import EncoderGraph, check_contract, load_features
from .localize import evaluator_of, propose, score, suppress, to_segments
from .manifest import Graph
from .options import StreamOptions
from .pipeline import Stopwatch
from .plan import Plan, read_plan
from .records import Features, Info, Localization, Proposals, Segment, Snippets
from .timeline import Timeline
from .video import open_video
from .video.flow import with_flow
from .video.snippet import timeline_of

if TYPE_CHECKING:
    from .stream import StreamingLocalizer

#: The demonstration model that ships with the package.
EMBEDDED_PLAN = Path(__file__).parent / "assets" / "demo.plan"

#: What `localize` accepts: a video file, frames [N, H, W, 3] uint8 (with `fps`), features as a
#: record, as a file (.npz) or as a mapping stream -> [T, D].
Source = str | Path | NDArray[Any] | Features | Mapping[str, NDArray[np.float32]]

Progress = Callable[[float, float], None]


class TALEngine:
    """A plan that is ready to localize. Safe to share between threads."""

    def __init__(self, plan: Plan, device: str = "auto", *, threads: int = 0, strict: bool = False) -> None:
        self.plan = plan
        manifest = plan.manifest

        def open_graph(graph: Graph) -> Backend:
            return open_backend(plan.files[graph.member], graph.member, device, threads=threads, strict=strict)

        encoders = [EncoderGraph(e, open_graph(e.graph)) for e in manifest.encoders]
        self._extractor = Extractor(manifest.snippet, encoders)
        self._head = open_graph(manifest.head)
        self._evaluator = evaluator_of(open_graph(manifest.evaluator)) if manifest.evaluator is not None else None
        self.contract = self._extractor.contract

    @classmethod
    def load(
        cls, plan: str | Path | None = None, device: str = "auto", *, threads: int = 0, strict: bool = False
    ) -> TALEngine:
        """Load a plan file; without one, the embedded demonstration model.

        Args:
            plan: path of a ``.plan``; nothing is ever downloaded.
            device: "auto", "cpu", "cuda" or "cuda:N".
            threads: CPU threads of the runtime; 0 lets it choose.
            strict: raise instead of falling back when the device is not there.

        Raises:
            PlanError: the file is not a sound plan.
            BackendError: it cannot run on this machine as asked.
        """
        return cls(read_plan(EMBEDDED_PLAN if plan is None else plan), device, threads=threads, strict=strict)

    @property
    def description(self) -> str:
        """Plan and runtime, for people."""
        return f"{self.plan.manifest.name} ({self.plan.manifest.method.name}) on {self._head.description}"

    @overload
    def localize(
        self, source: Source, *, stream: Literal[False] = False, fps: float | None = ..., min_score: float | None = ...,
        top_k: int | None = ..., force: bool = ..., progress: Progress | None = ...,
    ) -> Localization: ...  # fmt: skip
    @overload
    def localize(
        self, source: Source, *, stream: Literal[True], fps: float | None = ..., min_score: float | None = ...,
        top_k: int | None = ..., force: bool = ..., progress: Progress | None = ...,
    ) -> Iterator[Segment]: ...  # fmt: skip
    def localize(
        self,
        source: Source,
        *,
        stream: bool = False,
        fps: float | None = None,
        min_score: float | None = None,
        top_k: int | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Localization | Iterator[Segment]:
        """Say which actions happen when.

        Args:
            source: a video file, frames [N, H, W, 3] uint8 with `fps`, or features.
            stream: return a generator of segments in time order; nothing runs before the first
                one is asked for.
            fps: frames a second of an array of frames.
            min_score: leave out segments below it; None takes the plan's operating point.
            top_k: at most so many segments, best first; None takes the plan's, 0 keeps all.
            force: take features that were made otherwise than the head's; the result's warnings say how.
            progress: called with (seconds done, seconds in total or 0 if unknown).

        Returns:
            A list-like `Localization` of `Segment`, best first; with `stream` an iterator.

        Raises:
            VideoError, FeatureError, UsageError: the source cannot be used.
        """
        if stream:
            return self._lazily(source, fps, min_score, top_k, force, progress)
        return self._localize(source, fps, min_score, top_k, force, progress)

    def _lazily(self, *args: Any) -> Iterator[Segment]:
        yield from self._localize(*args).by_time()

    def _localize(
        self,
        source: Source,
        fps: float | None,
        min_score: float | None,
        top_k: int | None,
        force: bool,
        progress: Progress | None,
    ) -> Localization:
        manifest = self.plan.manifest
        wanted = manifest.segment
        if min_score is not None:
            wanted = replace(wanted, min_score=min_score)
        if top_k is not None:
            wanted = replace(wanted, top_k=top_k)
        watch, began = Stopwatch(), time.perf_counter()

        features, info = self._features(source, fps, force, progress)
        activations = watch.run("head", lambda: score(features, self._head, manifest))
        proposals = watch.run("proposals", lambda: propose(activations, manifest.proposal, self._evaluator))
        proposals = watch.run("nms", lambda: suppress(proposals, manifest.nms))
        segments = to_segments(proposals, self.plan.vocabulary, wanted)

        info.plan, info.snippets, info.duration = self.plan.sha256, len(features), features.duration
        info.seconds |= watch.seconds
        info.seconds["total"] = time.perf_counter() - began
        return Localization(segments, info, self.plan.vocabulary, activations)

    def encode_snippets(self, snippets: Snippets) -> dict[str, NDArray[np.float32]]:
        """Features [N, D] of a batch of snippets by stream; flow is added as the plan says."""
        (batch,) = with_flow([snippets], self.plan.manifest.snippet)
        return {e.spec.stream: e(batch) for e in self._extractor.encoders}

    def propose(self, features: Features) -> Proposals:
        """What the head finds in features, before suppression."""
        manifest = self.plan.manifest
        return propose(score(features, self._head, manifest), manifest.proposal, self._evaluator)

    def stream(
        self,
        source: str = "stream",
        options: StreamOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
    ) -> StreamingLocalizer:
        """Localize a stream that is pushed frame by frame; see `StreamingLocalizer`."""
        from .stream import StreamingLocalizer

        return StreamingLocalizer(self, source, options, provisional=provisional, min_score=min_score, top_k=top_k)

    def features(self, source: Source, *, fps: float | None = None, progress: Progress | None = None) -> Features:
        """Features of a source, as the head reads them."""
        return self._features(source, fps, False, progress)[0]

    def _features(
        self, source: Source, fps: float | None, force: bool, progress: Progress | None
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
        if not self._extractor.encoders:
            raise PlanError(
                PlanFault.NO_ENCODER,
                f"plan {self.plan.manifest.name} has no encoders: it localizes features, not videos",
            )
        with open_video(source, fps) as video:
            made = self._extractor.encode(video, progress)
        info = Info(video.name, fps=video.fps, frames=video.decoded, frames_lost=video.lost, warnings=made.warnings)
        info.seconds = made.seconds
        return made.features, info

    def _checked(self, features: Features, name: str, force: bool) -> tuple[Features, Info]:
        if len(features) == 0:
            raise FeatureError(f"{name}: no features")
        return features, Info(name, warnings=check_contract(features.contract, self.contract, name, force=force))


def timeline_for(plan: Plan) -> Timeline:
    """The time base of a plan's snippets."""
    return timeline_of(plan.manifest.snippet)
