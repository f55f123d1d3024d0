"""TALEngine: a plan that localizes files, features and many of both. What is done with each is in `stages`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ._engine_parts import AsyncLocalize, OpensStreams, Renamed, SeesPeople, WorksInParts
from ._util.concurrency import in_groups
from .backends import Backend, RunOptions, Runtime
from .backends.memory import trimmer
from .errors import StateError, TALError, require
from .inference import ScoreRule
from .inference.given import Progress, Source, is_features
from .inference.online_scoring import Reading, Step
from .inference.stages import Prepared, Stages
from .limits import Limits
from .options import timeline_of
from .plan.archive import Plan, release
from .pose.plans import DEMO_PLAN, open_plan
from .pose.skeleton_options import SkeletonOptions
from .records import Features, Proposals, Snippets
from .results import Localization
from .texts.classes import TextClass, parse_classes
from .timeline import Timeline

__all__ = ["EMBEDDED_PLAN", "Progress", "Source", "TALEngine", "timeline_for"]

#: The drawn figure's plan, for tests and demonstrations; `TALEngine.load("demo")`.
EMBEDDED_PLAN = DEMO_PLAN


class TALEngine(AsyncLocalize, OpensStreams, SeesPeople, WorksInParts, Renamed):
    """A plan that is ready to localize. Safe to share between threads.

    An error of one call does not affect the others: the engine stays usable. `close`, or leaving a ``with`` block,
    releases the graphs; from then on everything that needs them raises `StateError`.

    >>> import numpy as np
    >>> from tal_engine import TALEngine
    >>> with TALEngine.load() as engine:  # the plan for people
    ...     result = engine.localize(np.zeros((64, 120, 160, 3), np.uint8), fps=25.0)
    >>> len(result), result.info.snippets, result.info.duration  # nobody is in a black video
    (0, 6, 2.56)
    """

    def __init__(
        self,
        plan: Plan,
        device: str = "auto",
        *,
        threads: int = 0,
        strict: bool = False,
        batch: int = 8,
        gpu_memory_mib: int = 0,
        timeout: float = 0.0,
        limits: Limits | None = None,
        on_card: bool = False,
        convert_on_device: bool = False,
        decoder: str = "ffmpeg",
    ) -> None:
        require(batch >= 1, "batch", batch, "at least 1")
        require(not (on_card and timeout), "timeout", timeout, "0 with on_card: calls on a card cannot be ended")
        self.plan = plan
        runtime = Runtime(device, RunOptions(threads, gpu_memory_mib, timeout_s=timeout), strict=strict)
        self._open: Stages | None = Stages(plan, runtime, batch, limits, on_card, convert_on_device, decoder)
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
        timeout: float = 0.0,
        key: str | Path | None = None,
        limits: Limits | None = None,
        on_card: bool = False,
        convert_on_device: bool = False,
        decoder: str = "ffmpeg",
        classes: str | Sequence[str | TextClass] | None = None,
    ) -> TALEngine:
        """Load a plan file; without one, the plan for people that ships with the package (docs/people.md).

        Args:
            plan: path of a ``.plan``, or the name of one that ships: "people", the default, or "demo", the drawn
                figure's. Nothing is ever downloaded.
            device: "auto", "cpu", "cuda", "tensorrt", "tensorrt-rtx" or "ort-tensorrt", all but the first two also with
                the number of a GPU, "cuda:1". "auto" picks the fastest ONNX Runtime provider that works here.
                TensorRT takes engines from the plan or from the user's cache folder, and builds them on first use
                where neither has one for this GPU; ort-tensorrt does the same inside ONNX Runtime.
            threads: CPU threads of the runtime; 0 lets it choose.
            strict: raise instead of falling back when the device does not work here.
            batch: snippets per call of an encoder. GPUs with too little memory for them take fewer.
            gpu_memory_mib: most GPU memory of each graph, in MiB; 0 sets no limit.
            timeout: seconds for each call of a graph, and at least 60 for loading one; 0 sets no limit. A call that
                takes longer ends with a `GraphTimeoutError`, which says whether the engine can be used afterwards.
            key: public key, or a file with one, whose signature the plan must carry; see `plan.signatures.verified`.
            limits: what a video may cost, in pixels of a frame and in snippets; default: `limits.Limits`.
            on_card: snippets of a video are uploaded once for all encoders, and its features stay on the GPU until
                the head has read them. For device "cuda" and "ort-tensorrt"; encoders then run without CUDA graphs.
            convert_on_device: frames of videos go to the encoders' device as they are stored, 8-bit 4:2:0 YUV, and a
                graph there scales them and converts them to RGB. For plans whose encoders read no flow. Pixels differ
                slightly from the default: the features' record and the results' warnings say so.
            decoder: decoder of video files: "ffmpeg", or "nvdec" on GPU 0; see `video.nvdec`.
            classes: what to look for instead, as texts, for plans with a text tower; in one text they are parted by
                semicolons. See `texts.with_classes`.

        Raises:
            PlanError: the file is damaged, not a plan, not signed by `key`, or has no text tower for `classes`.
            UsageError: `classes` that make no sense, or a plan of texts that still has to be given some.
            BackendError: it cannot run on this machine as requested.
        """
        opened = read = open_plan(plan, key=key)
        if classes is not None:
            from .texts.plans import with_classes

            opened = with_classes(opened, parse_classes(classes) if isinstance(classes, str) else classes)
        elif opened.manifest.texts is not None:
            from .texts.plans import check_classes

            check_classes(opened)
        options: dict[str, Any] = {"threads": threads, "strict": strict, "batch": batch}
        options |= {"timeout": timeout, "limits": limits, "on_card": on_card}
        options |= {"convert_on_device": convert_on_device, "decoder": decoder}
        engine = cls(opened, device, gpu_memory_mib=gpu_memory_mib, **options)
        # The sessions have weights of their own; what else asks for a graph's bytes reads them again.
        release(opened, read)
        return engine

    @property
    def _stages(self) -> Stages:
        if self._open is None:
            raise StateError(f"the engine of plan {self.plan.manifest.name} is closed; load another one")
        return self._open

    def close(self) -> None:
        """Release the graphs and their memory; closing twice is harmless.

        Calls that are running in other threads finish. Streams and schedulers of this engine cannot continue.
        """
        self._open = None

    def __enter__(self) -> Self:
        self._stages  # noqa: B018 - a closed engine is refused
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load_encoders(self) -> None:
        """Load the encoders now, so that the first video is as quick as the next.

        Raises:
            BackendError: an encoder cannot be loaded.
        """
        self._stages.load_encoders()

    @property
    def description(self) -> str:
        """Plan and runtime, for people."""
        where = "a closed engine" if self._open is None else self._open.head.description
        return f"{self.plan.manifest.name} ({self.plan.manifest.method.name}) on {where}"

    @property
    def runs_on(self) -> dict[str, str]:
        """Where head and encoders run, by member; encoders that no video needed yet are not loaded."""
        return self._stages.runs_on

    def localize(
        self,
        source: Source,
        *,
        fps: float | None = None,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
        force: bool = False,
        progress: Progress | None = None,
        people: int = 0,
        keep_people: bool = False,
        skeleton: SkeletonOptions | None = None,
    ) -> Localization:
        """Find which actions happen when.

        Args:
            source: a video file, frames with `fps`, features, or a skeleton file. Frames are an array [N, H, W, 3]
                uint8 or a list of arrays [H, W, 3] of one size.
            fps: frames per second of frames that are given as arrays; not allowed for other sources.
            min_score: leave out segments below it, on the scale of the result's scores; None takes the plan's operating
                point, class by class.
            top_k: keep at most this many segments, best first; None takes the plan's, 0 keeps all.
            calibrated: scores are in [0, 1] where the plan carries their calibration; False gives raw scores.
            force: accept features whose record differs from the head's; the result's warnings list the differences.
            progress: called with (seconds done, seconds in total or 0 if unknown).
            people: follow up to so many people of a video (1 to 16) and localize each by itself: segments have a
                `subject`. 0 follows the main person. For plans that read poses.
            keep_people: the result's `people` gives who was followed at any time, for annotated videos; a kilobyte a
                person and picture. Always so with `people`.
            skeleton: what a skeleton file leaves open, such as its frame rate; for skeleton files alone.

        Returns:
            A list-like `Localization` of `Segment`, best first; its `by_time` returns them in time order.

        Raises:
            VideoError, FeatureError, UsageError: the source cannot be used.
            BackendError: the device cannot run it, such as a video longer than a TensorRT engine's profile covers; the
                message names its T and the covered range.
            StateError: the engine is closed.
        """
        stages, wanted = self._stages, self._rule(min_score, top_k, calibrated)
        asked: dict[str, Any] = {"people": people, "keep": keep_people, "skeleton": skeleton}
        result = stages.finish(stages.prepare(source, fps, force, progress, **asked), wanted)
        trimmer.worked(result.info.seconds["total"])
        return result

    def _rule(self, min_score: float | None, top_k: int | None, calibrated: bool) -> ScoreRule:
        return ScoreRule.of(self.plan.manifest.with_segment(min_score, top_k, calibrated=calibrated))

    def localize_batch(
        self,
        sources: Iterable[Source],
        *,
        on_error: Literal["raise", "return"] = "raise",
        workers: int = 1,
        batch: int = 8,
        fps: float | None = None,
        min_score: float | None = None,
        top_k: int | None = None,
        calibrated: bool = True,
        force: bool = False,
    ) -> Iterator[tuple[Source, Any]]:
        """Localize several sources.

        Results come in the order of the sources, each as soon as it is ready. Features go through the head in groups of
        up to `batch` neighbours: those with the same number of snippets in one call. Features of different lengths do
        not share a call: padding to a common length would leak into the head's temporal layers and make results depend
        on the batch. Videos wait for no others, since the head takes next to no time beside the encoders. With several
        workers, snippets of different videos share the calls of the encoders, whose rows are independent; on the CPU
        with `threads=1` the encoders run beside each other instead.

        No result waits for a source that has not come: `sources` may be a generator that blocks, such as on a queue of
        jobs. Anything but a list or a tuple is therefore iterated in a thread of its own. With `workers=1, batch=1` it
        is iterated in the calling thread, and a source is taken only after the result of the one before was.

        A device whose engines cover certain lengths only (TensorRT's profiles) refuses a longer video with a
        `BackendError` that names its T and the covered range; the error is one of the results, and the next video
        follows.

        Args:
            sources: see `localize`; taken as they are needed, so they may be without end.
            on_error: what happens at a source that cannot be used. "raise" ends with its error; "return" yields the
                error in place of the result and continues.
            workers: sources that are decoded and encoded at the same time.
            batch: most features that share a call of the head.
            fps: see `localize`.
            min_score: see `localize`.
            top_k: see `localize`.
            force: see `localize`.
            calibrated: see `localize`.

        Yields:
            (source, its `Localization`), or with `on_error="return"` (source, its `TALError`).

        Raises:
            UsageError: on_error, workers, batch, min_score or top_k is out of range.
            TALError: of a source, if `on_error` is "raise".
            StateError: the engine is closed, or was closed meanwhile.

        >>> engine = TALEngine.load("demo")
        >>> rng = np.random.default_rng(0)
        >>> streams = {name: rng.random((5, dim), np.float32) for name, dim in engine.plan.manifest.streams.items()}
        >>> [type(result).__name__ for _, result in engine.localize_batch([streams, "no.mp4"], on_error="return")]
        ['Localization', 'MissingVideoError']
        """
        require(on_error in ("raise", "return"), "on_error", on_error, "'raise' or 'return'")
        several = isinstance(sources, Iterable) and not isinstance(sources, str | bytes | Mapping | Features)
        require(several, "sources", sources, "a list or another iterable of sources; localize takes one")
        require(workers >= 1, "workers", workers, "at least 1")
        require(batch >= 1, "batch", batch, "at least 1")
        stages, wanted = self._stages, self._rule(min_score, top_k, calibrated)
        # Each of the workers gives its share of the snippets that an encoder takes at a time.
        share = -(-stages.batch // workers)

        def prepare(source: Source) -> Prepared:
            return stages.prepare(source, fps, force, None, share)

        groups = in_groups(
            prepare, sources, workers=workers, size=batch, failures=TALError, alone=lambda s: not is_features(s)
        )
        results = self._many(groups, wanted)
        return results if on_error == "return" else _or_raise(results)

    def _many(
        self, groups: Iterator[list[tuple[Source, Prepared | TALError]]], wanted: ScoreRule
    ) -> Iterator[tuple[Source, Localization | TALError]]:
        for group in groups:
            began = time.perf_counter()
            yield from self._stages.results(group, wanted)  # a closed engine stops here
            group.clear()
            trimmer.worked(time.perf_counter() - began)

    @property
    def head(self) -> Backend:
        """The head's graph: features [B, T, D] by stream to activations.

        Raises:
            StateError: the engine is closed.
        """
        return self._stages.head

    def encode_snippets(self, snippets: Snippets) -> dict[str, NDArray[np.float32]]:
        """Compute features [N, D] of a batch of snippets by stream; flow is added if the plan needs it."""
        return self._stages.encode_snippets(snippets)

    def advance(self, steps: Sequence[Step]) -> list[Reading]:
        """Read on in several streams with an online head; those with as many new snippets share a call."""
        return self._stages.advance(steps)

    def propose_many(self, features: Sequence[Features]) -> list[Proposals]:
        """Propose segments for each of several features, before suppression; equal lengths share a call."""
        return self._stages.propose_many(features)

    def propose(self, features: Features) -> Proposals:
        """Propose segments for features, before suppression."""
        return self.propose_many([features])[0]

    def features(self, source: Source, *, fps: float | None = None, progress: Progress | None = None) -> Features:
        """Compute the features of a source that the head reads.

        Args:
            source: see `localize`.
            fps: frames per second of frames that are given as arrays.
            progress: called with (seconds done, seconds in total or 0 if unknown).

        Raises:
            VideoError, FeatureError, UsageError: the source cannot be used.
            PlanError: the source is a video and the plan has no encoders.
            StateError: the engine is closed.
        """
        return self._stages.prepare(source, fps, False, progress).features


def _or_raise(
    results: Iterator[tuple[Source, Localization | TALError]],
) -> Iterator[tuple[Source, Localization]]:
    for source, result in results:
        if isinstance(result, TALError):
            raise result
        yield source, result


def timeline_for(plan: Plan) -> Timeline:
    """Return the time base of a plan's snippets.

    >>> timeline_for(TALEngine.load().plan)
    Timeline(start=0.0, step=0.48, width=0.48)
    """
    return timeline_of(plan.manifest.snippet)
