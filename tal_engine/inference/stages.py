"""The graphs of a plan on a device, and the way of a source through them: features, activations, segments.

Composes the stages and owns no algorithm. What only videos need (decoding, encoders) is loaded when the first one
comes. Safe to share between threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._util.arrays import NUMBERS, as_float32
from .._util.concurrency import Stopwatch
from ..backends import Backend, DynamicBatchingBackend, LazyBackend, Runtime
from ..errors import FeatureError, PlanError, PlanFault, TALError, UsageError, require
from ..features import EncoderGraph, check_contract, contract_of
from ..features.contract import for_features
from ..features.pixel_conversion import conversions_for
from ..limits import Limits
from ..options import PIXELS, timeline_of
from ..plan.archive import Plan
from ..plan.fields import Graph
from ..plan.int8 import int8_notes
from ..records import Features, Info, Proposals, Scored, Segment, Snippets
from ..results import Localization
from . import ScoreRule, evaluator_of, propose, score_batch, score_on_card, suppress, to_segments
from .card_stages import CardStages
from .domain import DomainModel
from .each_person import asked_for, drawn_later, of_each_person
from .given import Progress, Source, is_features, read_features
from .online_scoring import Reading, Step, advance
from .seen import of_seen, pose_stream

if TYPE_CHECKING:
    from ..backends.card_tensor import CardTensor
    from ..pose.encoder import PoseFeatures
    from ..pose.people import FoundPeople
    from ..pose.skeleton_options import SkeletonOptions
    from ..video.source import Part

    #: Features, how they came about, and where they lie on the card, if they do.
    _Found = tuple[Features, Info, dict[str, CardTensor] | None]
    #: A video as a file or as frames.
    Video = str | Path | NDArray[np.uint8] | Sequence[NDArray[np.uint8]]

log = logging.getLogger("tal_engine")

#: Flow that plans were trained on which are older than its record, by their hash: the embedded demonstration model,
#: made with OpenCV 5.0, before and since it carries its scores' calibration.
_FLOWS = dict.fromkeys(
    (
        "6eed0827819ccfd71380d7baed666e1d05c4cf5ac8e35bfe91ab6ba6dbe8b974",
        "d6afa09b5aa369465363ab558d628454c516dea0929647ae72e36f7214710135",
    ),
    "dis, revision 3",
)


@dataclass
class Prepared:
    """A source that has features; `Stages.score` adds the activations."""

    features: Features
    info: Info
    #: Seconds from the source to its features.
    seconds: float
    watch: Stopwatch = field(default_factory=Stopwatch)
    activations: Scored | None = None
    #: Where the features lie on the card, if they stayed there.
    on_card: dict[str, CardTensor] | None = None
    #: Everybody who was found, if that was asked for, to be localized by themselves (`people`) or only drawn (`seen`).
    people: FoundPeople | None = None
    seen: FoundPeople | None = None


class Stages:
    """A plan's graphs, opened, and what is done with them."""

    def __init__(
        self,
        plan: Plan,
        runtime: Runtime,
        batch: int,
        limits: Limits | None = None,
        on_card: bool = False,
        convert_on_device: bool = False,
        decoder: str = "ffmpeg",
    ) -> None:
        """Open the graphs; with `on_card` features of a video stay on the card between encoders and head.

        Raises:
            UsageError: `convert_on_device`, and an encoder reads flow or poses; `on_card`, and one reads poses.
            BackendError: `on_card`, and the head does not run on a card by ONNX Runtime's CUDA provider.
        """
        self.plan, self.batch, self._runtime, self.limits = plan, batch, runtime, limits or Limits()
        self._decoder = decoder
        self._flow_said = False
        manifest = plan.manifest
        self.head = _open(plan, runtime, manifest.head)
        self.evaluator = None
        if manifest.evaluator is not None:
            self.evaluator = evaluator_of(_open(plan, runtime, manifest.evaluator))
        self._of_poses = pose_stream(manifest)
        #: What the training features looked like; None where the plan does not know.
        self.domain = DomainModel.of(plan)
        self._late = [LazyBackend(partial(_open, plan, runtime, e.graph, batch)) for e in manifest.graph_encoders]
        # Calls of one thread each do better side by side; those that take the whole device, one after the other.
        apart = runtime.supports_concurrent_runs
        shared = [b if apart else DynamicBatchingBackend(b, batch) for b in self._late]
        graphs = {e.stream: EncoderGraph(e, b) for e, b in zip(manifest.graph_encoders, shared, strict=True)}
        #: Finds the poses that one of the encoders reads; None where none does.
        self.poses = self._poses()
        self.encoders: list[EncoderGraph | PoseFeatures] = [
            self.poses if self.poses is not None and e.reads == "pose" else graphs[e.stream] for e in manifest.encoders
        ]
        #: Rules of pixels that the head was trained on; heads without a record are taken to know those of now.
        trained = manifest.provenance.get("contract", {})
        self.pixels = str(trained.get("pixels", PIXELS))
        #: The flow that it was trained on, as `video.flow_rules` names it; "" where there is no record.
        self.flow = str(trained.get("flow", _FLOWS.get(plan.sha256, "")))
        poses = str(trained.get("poses", ""))
        own = contract_of(manifest.snippet, manifest.encoders, self.pixels, self.flow, poses)
        self.contract = own if manifest.encoders else for_features(own, trained, [t.name for t in manifest.head.inputs])
        #: Where features stay on the card; None where they pass through the host.
        require(not (on_card and manifest.online), "on_card", on_card, "False for an online head")
        self._card = CardStages(manifest, self.head, self._late, runtime, batch) if on_card else None
        self._conversions = conversions_for(manifest, runtime) if convert_on_device else None

    def _poses(self) -> PoseFeatures | None:
        """Prepare to load the graphs that find poses, which `load_encoders` then does too."""
        spec = self.plan.manifest.pose_encoder
        if spec is None:
            return None

        def late(graph: Graph) -> Backend:
            self._late.append(LazyBackend(partial(_open, self.plan, self._runtime, graph, self.batch)))
            return self._late[-1]

        from ..pose.encoder import PoseFeatures

        return PoseFeatures.opened(spec, self.plan.manifest.snippet, late)

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
        members = [g.member for g in (*(e.graph for e in manifest.graph_encoders), *manifest.pose_graphs)]
        return own | {m: b.description for m, b in zip(members, self._late, strict=True)}

    @cached_property
    def flow_note(self) -> str:
        """What is to be said where the installed OpenCV computes another flow than the plan was trained on; else ""."""
        if not self.flow or all(e.spec.reads != "flow" for e in self.encoders):
            return ""
        from ..video.flow_rules import flow_rules

        here = flow_rules(self.plan.manifest.snippet.flow)
        if here in self.flow.split(" and "):
            return ""
        return (
            f"plan {self.plan.manifest.name} was trained on flow {self.flow!r}, the installed OpenCV computes "
            f"{here!r}: scores may be off"
        )

    def prepare(
        self,
        source: Source,
        fps: float | None,
        force: bool,
        progress: Progress | None,
        share: int = 0,
        people: int = 0,
        keep: bool = False,
        skeleton: SkeletonOptions | None = None,
        part: Part | None = None,
    ) -> Prepared:
        """Compute the features of a source.

        Args:
            source: see `TALEngine.localize`.
            fps: see `TALEngine.localize`.
            force: see `TALEngine.localize`.
            progress: see `TALEngine.localize`.
            share: snippets at a time; 0: the encoders' batch size.
            people: follow up to so many people, each by itself; 0: the main person.
            keep: remember where who is followed was, to be drawn.
            skeleton: see `TALEngine.localize`.
            part: of a video, the snippets that are wanted; None: all.

        Raises:
            VideoError, FeatureError, UsageError: the source cannot be used.
            PlanError: the source is a video, and the plan has no encoders.
        """
        began = time.perf_counter()
        found = asked_for(people, source, self.plan.manifest)
        seen = found if found is not None or not keep else drawn_later(source, self.plan.manifest)
        of_video = partial(
            self._of_video, fps=fps, progress=progress, share=share or self.batch, people=seen, part=part
        )
        features, info, on_card = self._features(source, fps, force, skeleton, of_video)
        if self._runtime.device.kind == "cpu":
            info.warnings += int8_notes(self.plan.manifest)
        return Prepared(features, info, time.perf_counter() - began, on_card=on_card, people=found, seen=seen)

    def score(self, videos: Sequence[Prepared]) -> None:
        """Run the head once on videos of one length; each is charged its share of the time.

        Raises:
            FeatureError: a stream is missing or has another width than the head reads.
            BackendError: the head does not run.
        """
        together, features, manifest = Stopwatch(), [v.features for v in videos], self.plan.manifest
        on_card = videos[0].on_card if len(videos) == 1 else None
        if on_card is None or self._card is None:
            activations_of_all = together.run("head", lambda: score_batch(features, self.head, manifest))
        else:
            head = self._card.head
            activations_of_all = [together.run("head", lambda: score_on_card(features[0], on_card, head, manifest))]
        for video, activations in zip(videos, activations_of_all, strict=True):
            video.activations = activations
            video.on_card = None  # its memory is free for the next video
            video.watch.seconds["head"] = together.seconds["head"] / len(videos)

    def encode_snippets(self, snippets: Snippets) -> dict[str, NDArray[np.float32]]:
        """Compute features [N, D] of a batch of snippets by stream; flow is added if the plan needs it."""
        from ..video.flow import needs_flow, with_flow

        if self.flow_note and not self._flow_said:
            log.warning("%s", self.flow_note)
            self._flow_said = True
        batch, snippet = snippets, self.plan.manifest.snippet
        if needs_flow(snippet, [e.spec.reads for e in self.encoders]):
            (batch,) = with_flow([snippets], snippet)
        if self._card is not None:
            return self._card.encode(batch)
        if self.poses is not None:
            batch = self.poses.posed(batch)
        return {e.spec.stream: e(batch) for e in self.encoders}

    def advance(self, steps: Sequence[Step]) -> list[Reading]:
        """Read on in several streams with an online head; those with as many new snippets share a call."""
        return advance(steps, self.head, self.plan.manifest)

    def propose_many(self, features: Sequence[Features]) -> list[Proposals]:
        """Propose segments for each of several features, before suppression; equal lengths share a call."""
        lengths: dict[int, list[int]] = {}
        for i, one in enumerate(features):
            lengths.setdefault(len(one), []).append(i)
        proposals: dict[int, Proposals] = {}
        for same in lengths.values():
            scored = self._scored([features[i] for i in same])
            for i, activations in zip(same, scored, strict=True):
                proposals[i] = self._proposed(activations, features[i])
        return [proposals[i] for i in range(len(features))]

    def _proposed(self, activations: Scored, features: Features) -> Proposals:
        found = propose(activations, self.plan.manifest.proposal, self.evaluator)
        return of_seen(found, features) if self._of_poses else found

    def _scored(self, windows: Sequence[Features]) -> list[Scored]:
        """Score features of one length, reading them where they lie."""

        def on_host() -> list[Scored]:
            return score_batch(windows, self.head, self.plan.manifest)

        return on_host() if self._card is None else self._card.scored(windows, on_host)

    def finish(self, prepared: Prepared, rule: ScoreRule) -> Localization:
        """Turn activations into segments; score the features first if that was not done."""
        if prepared.activations is None:
            self.score([prepared])
        activations, watch, info, manifest = prepared.activations, prepared.watch, prepared.info, self.plan.manifest
        assert activations is not None  # noqa: S101 - `score` has set them
        began = time.perf_counter()
        if (people := prepared.people) is not None and self.poses is not None:
            stream = self.poses.spec.stream
            localize = partial(of_each_person, prepared.features, people, stream, self._localized, rule)
            segments = watch.run("people", localize)
        else:
            proposals = watch.run("proposals", lambda: self._proposed(activations, prepared.features))
            proposals = watch.run("nms", lambda: suppress(proposals, manifest.nms))
            segments = to_segments(rule.shown(proposals), self.plan.vocabulary, rule)

        info.plan, info.plan_name, info.snippets = self.plan.sha256, manifest.name, len(prepared.features)
        info.duration, info.calibrated = prepared.features.duration, rule.calibrated
        if (model := self.domain) is not None:
            watch.run("domain", lambda: model.tell(prepared.features.streams, info, manifest.name))
        info.seconds |= watch.seconds
        info.seconds["total"] = prepared.seconds + watch.seconds["head"] + time.perf_counter() - began
        result = Localization(segments, info, self.plan.vocabulary, activations)
        result.people = prepared.seen
        return result

    def _localized(self, features: Sequence[Features], rule: ScoreRule) -> list[list[Segment]]:
        """Turn features into segments of each."""
        found = [suppress(p, self.plan.manifest.nms) for p in self.propose_many(features)]
        return [to_segments(rule.shown(p), self.plan.vocabulary, rule) for p in found]

    def results(
        self, group: Sequence[tuple[Source, Prepared | TALError]], rule: ScoreRule
    ) -> Iterator[tuple[Source, Localization | TALError]]:
        """`finish` several sources; those of one length share a call of the head, errors are results too."""
        lengths: dict[int, list[Prepared]] = {}
        for _, prepared in group:
            if isinstance(prepared, Prepared):
                lengths.setdefault(len(prepared.features), []).append(prepared)
        for same in lengths.values():
            try:
                self.score(same)
            except TALError:  # whose fault it is shows when each is run alone
                continue
        for source, prepared in group:
            yield source, self._outcome(prepared, rule)

    def _outcome(self, prepared: Prepared | TALError, rule: ScoreRule) -> Localization | TALError:
        if isinstance(prepared, TALError):
            return prepared
        try:
            return self.finish(prepared, rule)
        except TALError as e:
            return e

    def _features(
        self,
        source: Source,
        fps: float | None,
        force: bool,
        skeleton: SkeletonOptions | None,
        of_video: Callable[[Video], _Found],
    ) -> _Found:
        if fps is not None and is_features(source):
            raise UsageError(f"fps={fps} was given for features; their snippets carry their own times")
        require(
            skeleton is None or is_features(source), "skeleton", skeleton, "left out: the source is no skeleton file"
        )
        if isinstance(source, Mapping):
            streams = {n: _numbers(n, a) for n, a in source.items()}
            count = max((a.shape[0] for a in streams.values() if a.ndim), default=0)
            timeline = timeline_of(self.plan.manifest.snippet)
            source = Features(streams, timeline, float(timeline.right(count)))
        if isinstance(source, (str, Path)) and is_features(source):
            given, said = read_features(source, self.plan.manifest.snippet, self.limits, skeleton)
            features, info = self._checked(given, str(source), force)
            info.warnings += said
            return features, info, None
        if isinstance(source, Features):
            return (*self._checked(source, "features", force), None)
        if not self.encoders:
            raise PlanError(
                PlanFault.NO_ENCODER,
                f"plan {self.plan.manifest.name} has no encoders: it localizes features, not videos",
            )
        return of_video(source)

    def _of_video(
        self,
        source: Video,
        *,
        fps: float | None,
        progress: Progress | None,
        share: int,
        people: FoundPeople | None,
        part: Part | None,
    ) -> _Found:
        from ..video import open_video
        from .extraction import Extractor

        path = nullcontext() if self._card is None else self._card.path()
        with open_video(source, fps, self.limits, self._decoder) as video, path as card:
            video.part = part or video.part
            extractor = Extractor(self.plan.manifest.snippet, self.encoders, card=card, conversions=self._conversions)
            extraction = extractor.encode(video, progress, share, people)
        info = Info(
            video.name, fps=video.fps, frames=video.decoded, frames_lost=video.lost, warnings=extraction.warnings
        )
        info.seconds = extraction.seconds
        pixels = extraction.features.contract["pixels"]
        if self.pixels != pixels:
            what = "this version decodes" if pixels == PIXELS else "convert_on_device makes them"
            then = "; train and export it anew" if pixels == PIXELS else ""
            info.warnings.append(
                f"plan {self.plan.manifest.name} was trained on pixels by the rules {self.pixels!r}, {what} "
                f"by {pixels!r}: scores may be off{then}"
            )
        if self.flow_note:
            info.warnings.append(self.flow_note)
        return extraction.features, info, extraction.on_card

    def _checked(self, features: Features, name: str, force: bool) -> tuple[Features, Info]:
        if len(features) == 0:
            raise FeatureError(f"{name}: no features")
        return features, Info(name, warnings=check_contract(features.contract, self.contract, name, force=force))


def _numbers(stream: str, array: object) -> NDArray[np.float32]:
    """Convert a stream given as an array; text, dates, objects and complex numbers are refused."""
    values = np.asarray(array)
    if values.dtype.kind not in NUMBERS:
        raise FeatureError(f"stream {stream!r} is an array of {values.dtype}, must be numbers [T, D]")
    return as_float32(values)


def _open(plan: Plan, runtime: Runtime, graph: Graph, rows: int = 0) -> Backend:
    engines = [e for e in plan.engines if e[0].graph == graph.member]
    return runtime.open(plan.files[graph.member], graph.member, rows=rows, spec=graph, engines=engines)
