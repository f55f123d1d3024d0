"""TALEngine: a plan that localizes files, features and many of both. What is done with each is in `stages`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .backends import RunOptions, Runtime
from .errors import TALError, require
from .options import SegmentOptions, StreamOptions, timeline_of
from .pipeline import in_order
from .plan import Plan, read_plan
from .records import Features, Localization, Proposals, Segment, Snippets
from .stages import Prepared, Progress, Source, Stages
from .timeline import Timeline

__all__ = ["EMBEDDED_PLAN", "Progress", "Source", "TALEngine", "timeline_for"]

if TYPE_CHECKING:
    from .stream import StreamingLocalizer, StreamScheduler

#: The demonstration model that ships with the package.
EMBEDDED_PLAN = Path(__file__).parent / "assets" / "demo.plan"


class TALEngine:
    """A plan that is ready to localize. Safe to share between threads."""

    def __init__(
        self,
        plan: Plan,
        device: str = "auto",
        *,
        threads: int = 0,
        strict: bool = False,
        batch: int = 8,
        gpu_memory_mib: int = 0,
    ) -> None:
        require(batch >= 1, "batch", batch, "at least 1")
        self.plan = plan
        runtime = Runtime(device, RunOptions(threads, gpu_memory_mib), strict=strict)
        self._stages = Stages(plan, runtime, batch)
        self.contract = self._stages.contract

    @classmethod
    def load(
        cls,
        plan: str | Path | None = None,
        device: str = "auto",
        *,
        threads: int = 0,
        strict: bool = False,
        batch: int = 8,
        gpu_memory_mib: int = 0,
    ) -> TALEngine:
        """Load a plan file; without one, the embedded demonstration model.

        Args:
            plan: path of a ``.plan``; nothing is ever downloaded.
            device: "auto", "cpu", "cuda", "tensorrt", "tensorrt-rtx" or "ort-tensorrt", all but the first two also with
                the number of a card, "cuda:1". auto takes the best of ONNX Runtime that is installed and works here.
                TensorRT takes engines from the plan or from the user's cache folder, and builds them on first use
                where neither has one for this card; ort-tensorrt does the same inside ONNX Runtime.
            threads: CPU threads of the runtime; 0 lets it choose.
            strict: raise instead of falling back when the device does not work here.
            batch: snippets that an encoder takes at a time. Cards with too little memory for them take fewer.
            gpu_memory_mib: at most so much memory of the card for each graph; 0 sets no limit.

        Raises:
            PlanError: the file is not a sound plan.
            BackendError: it cannot run on this machine as asked.
        """
        found = read_plan(EMBEDDED_PLAN if plan is None else plan)
        return cls(found, device, threads=threads, strict=strict, batch=batch, gpu_memory_mib=gpu_memory_mib)

    def load_encoders(self) -> None:
        """Load what is otherwise loaded when the first video comes: its call is then as quick as the next.

        Raises:
            BackendError: an encoder cannot be loaded.
        """
        self._stages.load_encoders()

    @property
    def description(self) -> str:
        """Plan and runtime, for people."""
        return f"{self.plan.manifest.name} ({self.plan.manifest.method.name}) on {self._stages.head.description}"

    @property
    def runs_on(self) -> dict[str, str]:
        """Where head and encoders run, by member; encoders that no video needed yet are not loaded."""
        return self._stages.runs_on

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
            BackendError: it does not run, such as a video longer than a TensorRT engine's profile covers; the message
                names its T and what is covered.
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
        wanted = self._wanted(min_score, top_k)
        return self._stages.finish(self._stages.prepare(source, fps, force, progress), wanted)

    def _wanted(self, min_score: float | None, top_k: int | None) -> SegmentOptions:
        wanted = self.plan.manifest.segment
        if min_score is not None:
            wanted = replace(wanted, min_score=min_score)
        return wanted if top_k is None else replace(wanted, top_k=top_k)

    def localize_many(
        self,
        sources: Iterable[Source],
        *,
        workers: int = 1,
        batch: int = 8,
        fps: float | None = None,
        min_score: float | None = None,
        top_k: int | None = None,
        force: bool = False,
    ) -> Iterator[tuple[Source, Localization | TALError]]:
        """Localize several sources; one that cannot be used does not stop the others.

        Results come in the order of the sources, `batch` of them at a time. Of these, videos with the same number of
        snippets go through the head in one call. Videos of different lengths do not: filled up to one length they
        would see the filling, and their segments would depend on their neighbours. With several workers, snippets of
        different videos share the calls of the encoders, whose rows do not see each other; on the CPU with `threads=1`
        the encoders run beside each other instead.

        A device whose engines cover certain lengths only (TensorRT's profiles) refuses a longer video with a
        `BackendError` that names its T and what is covered; it is one of the results, and the next video goes on.

        Args:
            sources: see `localize`; taken as they are needed, so they may be without end.
            workers: sources that are decoded and encoded at the same time.
            batch: sources whose results are made together; 1 gives each as soon as it is there.
            fps, min_score, top_k, force: see `localize`.

        Yields:
            (source, its localization or the error that it met).

        Raises:
            UsageError: workers, batch, min_score or top_k make no sense.
        """
        require(workers >= 1, "workers", workers, "at least 1")
        require(batch >= 1, "batch", batch, "at least 1")
        # Each of the workers gives its share of the snippets that an encoder takes at a time.
        share = -(-self._stages.batch // workers)

        def prepare(source: Source) -> Prepared:
            return self._stages.prepare(source, fps, force, None, share)

        begun = in_order(prepare, sources, workers, workers + batch, TALError)
        return self._many(begun, batch, self._wanted(min_score, top_k))

    def _many(
        self, begun: Iterator[tuple[Source, Prepared | TALError]], batch: int, wanted: SegmentOptions
    ) -> Iterator[tuple[Source, Localization | TALError]]:
        while group := list(islice(begun, batch)):
            lengths: dict[int, list[Prepared]] = {}
            for _, made in group:
                if isinstance(made, Prepared):
                    lengths.setdefault(len(made.features), []).append(made)
            for same in lengths.values():
                try:
                    self._stages.score(same)
                except TALError:  # whose fault it is shows when each is run alone
                    continue
            for source, made in group:
                yield source, made if isinstance(made, TALError) else self._outcome(made, wanted)

    def _outcome(self, made: Prepared, wanted: SegmentOptions) -> Localization | TALError:
        try:
            return self._stages.finish(made, wanted)
        except TALError as e:
            return e

    def encode_snippets(self, snippets: Snippets) -> dict[str, NDArray[np.float32]]:
        """Features [N, D] of a batch of snippets by stream; flow is added as the plan says."""
        return self._stages.encode_snippets(snippets)

    def propose_many(self, features: Sequence[Features]) -> list[Proposals]:
        """What the head finds in each of several features, before suppression; those of one length share a call."""
        return self._stages.propose_many(features)

    def propose(self, features: Features) -> Proposals:
        """What the head finds in features, before suppression."""
        return self.propose_many([features])[0]

    @overload
    def stream(
        self, source: str = ..., options: StreamOptions | None = ..., *, provisional: bool = ...,
        min_score: float | None = ..., top_k: int | None = ...,
    ) -> StreamingLocalizer: ...  # fmt: skip
    @overload
    def stream(
        self, source: list[str], options: StreamOptions | None = ..., *, provisional: bool = ...,
        min_score: float | None = ..., top_k: int | None = ...,
    ) -> StreamScheduler: ...  # fmt: skip
    def stream(
        self,
        source: str | list[str] = "stream",
        options: StreamOptions | None = None,
        *,
        provisional: bool = False,
        min_score: float | None = None,
        top_k: int | None = None,
    ) -> StreamingLocalizer | StreamScheduler:
        """Localize live: one stream that is pushed frame by frame, or a list of sources that are read.

        Args:
            source: the name of the one stream, see `StreamingLocalizer`; or sources, see `StreamScheduler`, whose
                `run` gives the events.
            options, provisional, min_score, top_k: see there.
        """
        from .stream import StreamingLocalizer, StreamScheduler

        how = {"provisional": provisional, "min_score": min_score, "top_k": top_k}
        if isinstance(source, list):
            return StreamScheduler(self, source, options, **how)  # type: ignore[arg-type]
        return StreamingLocalizer(self, source, options, **how)  # type: ignore[arg-type]

    def features(self, source: Source, *, fps: float | None = None, progress: Progress | None = None) -> Features:
        """Features of a source, as the head reads them."""
        return self._stages.prepare(source, fps, False, progress).features


def timeline_for(plan: Plan) -> Timeline:
    """The time base of a plan's snippets."""
    return timeline_of(plan.manifest.snippet)
