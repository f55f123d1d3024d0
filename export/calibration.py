"""Calibration data: the user's features or videos as inputs of each graph of a plan.

Runs the plan's own float32 graphs and keeps what each one was given. Knows nothing of how graphs are quantized.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, open_backend
from ..errors import FeatureError, UsageError, require
from ..features import EncoderGraph, SnippetEncoder, check_contract, contract_of, load_features
from ..inference import score
from ..inference.extraction import Extractor
from ..options import timeline_of
from ..plan.archive import Plan
from ..plan.fields import Graph
from ..pose.encoder import PoseFeatures
from ..records import Features
from .gate import Feeds, Stages

log = logging.getLogger("tal_engine")

#: Less than so many files, or snippets in all of them, is too little to calibrate on: the gate's limits are those of
#: ten videos and more.
LEAST_FILES, LEAST_SNIPPETS = 10, 256
#: A head sees so many snippets of each file at most, from its middle.
SNIPPETS = 256
#: So many files are used at most, fewer where encoders keep frames and flow of each in memory.
FILES, VIDEOS = 32, 16
#: So many of an encoder's calls are kept of each video, and then made one: ranges are averages over files (`quantize`).
CALLS = 4


@dataclass(frozen=True)
class Calibration:
    """Where calibration data come from.

    sources: feature files (.npz), which calibrate heads, or videos, which calibrate encoders too.
    """

    sources: Sequence[Path]

    def __post_init__(self) -> None:
        require(len(self.sources) > 0, "calibration", list(self.sources), "at least one feature file or video")


@dataclass(frozen=True)
class Samples:
    """Inputs of each graph, by member: those to calibrate on and, from other files where there are any, to check on."""

    train: dict[str, list[Feeds]] = field(default_factory=dict)
    check: dict[str, list[Feeds]] = field(default_factory=dict)
    files: int = 0
    snippets: int = 0
    #: The gate has only the files that were calibrated on.
    same: bool = False

    @property
    def figures(self) -> dict[str, Any]:
        """How much there was, for the manifest."""
        return {"files": self.files, "snippets": self.snippets, "held_out": not self.same}

    def warn_too_small(self) -> None:
        """Log that ranges come from too little, if they do: they then cut off what other videos hold."""
        if self.files >= LEAST_FILES and self.snippets >= LEAST_SNIPPETS:
            return
        same = "; the gate sees the file that was calibrated on" if self.same else ""
        log.warning(
            "calibration is small: %d file%s, %d snippets; give %d files and %d snippets or more, of all that the plan "
            "will see%s. Compare the result on other videos: tal diff A B --on VIDEOS --gate",
            self.files, "" if self.files == 1 else "s", self.snippets, LEAST_FILES, LEAST_SNIPPETS, same,
        )  # fmt: skip


class Recorder:
    """A backend that keeps some of what it was given: of each file `CALLS` calls, drawn evenly from all of them.

    Encoders are called many times a video. Were the first calls kept, one long video would be all that they see.
    """

    def __init__(self, inner: Backend, kept: list[Feeds]) -> None:
        self._inner, self._kept = inner, kept
        self._rng = np.random.default_rng(0)
        self._first = self._calls = 0
        self.description = inner.description

    def next_file(self) -> None:
        """Start recording another file."""
        self._first, self._calls = len(self._kept), 0

    def join(self) -> None:
        """Make one call of those of the file, whose rows do not see each other."""
        calls = self._kept[self._first :]
        self._kept[self._first :] = [{n: np.concatenate([c[n] for c in calls]) for n in calls[0]}] if calls else []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs by name from inputs by name."""
        self._calls += 1
        # A reservoir: how many calls will come is not known before the last one.
        at = self._calls - 1 if self._calls <= CALLS else int(self._rng.integers(self._calls))
        if at < CALLS:
            self._kept[self._first + at : self._first + at + 1] = [{n: np.array(a) for n, a in feeds.items()}]
        return self._inner.run(feeds)


def read_samples(plan: Plan, calibration: Calibration) -> Samples:
    """Record the inputs of a plan's graphs on calibration data.

    Every fourth file is kept for checking; with a single file both sets are the same.

    Raises:
        UsageError: a plan with encoders was given features alone.
        FeatureError, VideoError: a source cannot be used; the message names it.
    """
    chosen = list(calibration.sources)
    most = VIDEOS if plan.manifest.encoders else FILES
    if len(chosen) > most:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, most).round().astype(int)]
    checked = chosen[3::4] or chosen[-1:]
    trained = [s for s in chosen if s not in checked] or checked
    kept = _recorded(plan, trained)
    held = _recorded(plan, checked) if checked != trained else kept
    lengths = [len(next(iter(x.values()))[0]) for x in kept[plan.manifest.head.member]]
    lengths += [len(next(iter(x.values()))[0]) for x in held[plan.manifest.head.member] if held is not kept]
    samples = Samples(kept, held, len(chosen), sum(lengths), same=held is kept)
    for encoder in plan.manifest.graph_encoders:
        if not samples.train[encoder.graph.member] or not samples.check[encoder.graph.member]:
            raise UsageError(
                f"calibration: encoder {encoder.name} of stream {encoder.stream!r} is calibrated on videos, "
                f"{chosen[0]} and its like are features: give videos, two or more, or also videos"
            )
    return samples


def _recorded(plan: Plan, sources: Sequence[Path]) -> dict[str, list[Feeds]]:
    manifest = plan.manifest
    kept: dict[str, list[Feeds]] = {g.member: [] for g in manifest.graphs}
    recorders = {m: Recorder(open_backend(plan.files[m], m, "cpu"), calls) for m, calls in kept.items()}
    encoders: list[SnippetEncoder] = [EncoderGraph(e, recorders[e.graph.member]) for e in manifest.graph_encoders]
    if manifest.pose_encoder is not None:
        encoders.append(PoseFeatures.opened(manifest.pose_encoder, manifest.snippet, partial(_float32, plan)))
    head = recorders[manifest.head.member]
    evaluator = None if manifest.evaluator is None else recorders[manifest.evaluator.member]
    stages = Stages(manifest.proposal, manifest.nms, timeline_of(manifest.snippet))
    for source in sources:
        for recorder in recorders.values():
            recorder.next_file()
        features = _features(plan, encoders, source)
        for encoder in manifest.graph_encoders:
            recorders[encoder.graph.member].join()
        try:
            score(features, head, manifest)
        except FeatureError as e:
            raise FeatureError(f"{source}: {e}") from e
        if evaluator is not None:  # it is called with the proposals of the head
            feeds = kept[manifest.head.member][-1]
            stages.segments(head.run(feeds), evaluator, next(iter(feeds.values())).shape[1])
    return kept


def _float32(plan: Plan, graph: Graph) -> Backend:
    return open_backend(plan.files[graph.member], graph.member, "cpu")


def _features(plan: Plan, encoders: Sequence[SnippetEncoder], source: Path) -> Features:
    """Take at most `SNIPPETS` features from the middle of a file."""
    manifest = plan.manifest
    if source.suffix == ".npz":
        try:
            features = load_features(source)
        except FeatureError as e:
            raise FeatureError(f"calibration: {e}" if str(source) in str(e) else f"{source}: {e}") from e
        check_contract(features.contract, contract_of(manifest.snippet, manifest.encoders), str(source))
    elif encoders:
        features = Extractor(manifest.snippet, encoders)(source).features
    else:
        raise UsageError(f"{source}: plan {manifest.name} has no encoders: it is calibrated on feature files (.npz)")
    if len(features) == 0:
        raise FeatureError(f"{source}: no features to calibrate on")
    first = max(0, (len(features) - SNIPPETS) // 2)
    streams = {n: a[first : first + SNIPPETS] for n, a in features.streams.items()}
    return Features(streams, features.timeline, features.duration, features.contract)
