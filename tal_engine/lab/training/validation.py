"""A network in training, scored on videos: activations, detections, mAP under a protocol, overlap of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import ops
from ...annotations import AnnotatedVideo
from ...annotations.tables import Table
from ...errors import FeatureError
from ...inference import Evaluator, decoded, paired
from ...metrics import Evaluation, MaskOverlap, Protocol, evaluate_tables, mask_overlap, truth_mask
from ...options import BoundaryOptions, PyramidOptions, linspace
from ...records import Features
from ...timeline import Timeline
from ...vocabulary import Vocabulary
from ..data.sampling import uniform
from ..methods import Method, has_views, views_of

#: Overlaps over which weakly supervised papers average, by their first and last.
AVERAGES = {"0.1:0.5": linspace(0.1, 0.5, 5), "0.3:0.7": linspace(0.3, 0.7, 5), "0.1:0.7": linspace(0.1, 0.7, 7)}

#: A snippet belongs to a class whose activation, scaled to [0, 1] over the video, is above this.
MASK_THRESHOLD = 0.5

#: From a module's outputs of one video, its timeline, and snippets for each that the module read, to its proposals.
_Propose = Callable[[Mapping[str, NDArray[np.float32]], Timeline, float], ops.Proposed]


class Found(NamedTuple):
    """Activations of videos, one after the other.

    cas [N, C (+ 1)]; attention [N] or None; video [videos, C] or None; offsets [videos + 1]. ratio [videos]:
    snippets of the features that one row stands for, 1 where all were read. proposed: of each video, by methods
    that pair boundaries or have a pyramid; their CAS is empty.
    """

    names: tuple[str, ...]
    cas: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    video: NDArray[np.float32] | None
    offsets: NDArray[np.int64]
    ratio: NDArray[np.float64]
    proposed: tuple[ops.Proposed, ...] = ()


@dataclass(frozen=True)
class Videos:
    """Videos to score: those to localize, name -> features, and the rules.

    sampling, length: what is read of a video; see `TrainOptions.test_sampling`. missed: videos that are
    not localized, being too short, and whose instances count as missed.
    """

    videos: Sequence[AnnotatedVideo]
    features: Mapping[str, Features]
    protocol: Protocol
    sampling: str = "full"
    length: int = 750
    threads: int = 1
    missed: Sequence[AnnotatedVideo] = ()


@contextmanager
def frozen(method: Method, net: nn.Module) -> Iterator[nn.Module]:
    """Lend the network as inference runs it; after the block training continues as if nothing had happened."""
    training = {m: m.training for m in net.modules()}
    devices = sorted({p.device.index for p in net.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            net.eval()
            yield method.freeze(net)
        finally:
            for module, was in training.items():
                module.training = was


def activations(method: Method, net: nn.Module, config: Any, data: Videos) -> Found:
    """Run the frozen network on each video, as long as it is.

    Raises:
        FeatureError: features of a video or a stream are missing.
    """
    options = method.proposal_options(config)
    propose: _Propose | None = None
    with frozen(method, net) as module:
        if isinstance(options, BoundaryOptions):
            propose = partial(_paired, options=options, evaluator=evaluator_of(method.freeze_evaluator(net)))
        elif isinstance(options, PyramidOptions):
            propose = partial(_decoded, options=options)
        return _run(module, method.inference_streams(config), data, propose)


def _run(module: nn.Module, streams: Sequence[str], data: Videos, propose: _Propose | None = None) -> Found:
    """Run a frozen module on each video; `propose` makes the proposals of outputs that are no activations."""
    names = tuple(v.name for v in data.videos)
    # A network that is not trained (VLPO's "zero_shot") may have buffers only.
    device = next((t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    parts: dict[str, list[NDArray[np.float32]]] = {}
    proposed, lengths, ratio = [], [], []
    for name in names:
        rows = _rows(data, name)
        feeds = {s: _stream(data.features[name], s, rows, name).to(device) for s in streams}
        out = {k: v[0].float().cpu().numpy() for k, v in module(**feeds).items()}
        lengths.append(len(rows))
        ratio.append(len(data.features[name]) / len(rows))
        if propose is not None:
            proposed.append(propose(out, data.features[name].timeline, ratio[-1]))
        else:
            for key, value in out.items():
                parts.setdefault(key, []).append(value)
    joined = {k: np.stack(v) if k == "video" else np.concatenate(v) for k, v in parts.items()}
    offsets = np.cumsum([0, *lengths])
    cas = joined.get("cas", np.empty((0, 0), np.float32))
    attention, video = joined.get("attention"), joined.get("video")
    return Found(names, cas, attention, video, offsets, np.array(ratio), tuple(proposed))


def _decoded(
    out: Mapping[str, NDArray[np.float32]], time: Timeline, ratio: float, options: PyramidOptions
) -> ops.Proposed:
    return decoded(out["score"], out["distance"], options, time, ratio)


def _paired(
    out: Mapping[str, NDArray[np.float32]],
    time: Timeline,
    ratio: float,
    options: BoundaryOptions,
    evaluator: Evaluator,
) -> ops.Proposed:
    try:
        return paired(out["start"], out["end"], out["embedding"], options, evaluator)
    except ValueError as e:
        raise FeatureError(f"boundaries: {e}") from e


def evaluator_of(module: nn.Module) -> Evaluator:
    """Wrap a frozen evaluator for the runtime; see `methods.protocol.Method.freeze_evaluator`."""

    def run(embedding: NDArray[np.float32], positions: NDArray[np.float32]) -> NDArray[np.float32]:
        device = next(module.parameters()).device
        feeds = {"embedding": embedding, "positions": positions}
        with torch.no_grad():
            results = module(**{k: torch.from_numpy(v).to(device) for k, v in feeds.items()})
        scores: NDArray[np.float32] = results["score"].float().cpu().numpy()
        return scores

    return run


def _one_after_the_other(parts: Sequence[ops.Proposed]) -> ops.Proposed:
    start, end, score, label = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("start", "end", "score", "label")
    )
    return ops.Proposed(start, end, score, label, np.cumsum([0, *(len(p.start) for p in parts)]))


def _rows(data: Videos, name: str) -> NDArray[np.int64]:
    if name not in data.features:
        raise FeatureError(f"no features of video {name!r}")
    length = len(data.features[name])
    if data.sampling == "full" or (data.sampling == "uniform_if_longer" and length <= data.length):
        return np.arange(length)
    return uniform(length, data.length)


def _stream(features: Features, stream: str, rows: NDArray[np.int64], name: str) -> torch.Tensor:
    if stream not in features.streams:
        raise FeatureError(f"features of {name!r} lack stream {stream!r}, which the method reads")
    return torch.from_numpy(np.ascontiguousarray(features.streams[stream][rows], np.float32))[None]


def detections(outputs: Found, method: Method, config: Any, vocabulary: Vocabulary, data: Videos) -> Table:
    """Turn activations into suppressed detections in seconds, best first in each video.

    A row of a sampled video stands for `ratio` snippets of its features, so its borders lie at multiples of that on
    the video's timeline; ends are clipped to the duration.

    Raises:
        FeatureError: an activation is NaN or infinite.
    """
    cut = _proposed(outputs, method, config, data.threads)
    video = np.repeat(np.arange(len(outputs.names)), np.diff(cut.offsets))
    start, end = np.empty_like(cut.start), np.empty_like(cut.end)
    for v, name in enumerate(outputs.names):
        mine, features = slice(cut.offsets[v], cut.offsets[v + 1]), data.features[name]
        start[mine] = features.timeline.left(cut.start[mine] * outputs.ratio[v])
        end[mine] = np.minimum(features.timeline.right(cut.end[mine] * outputs.ratio[v]), features.duration)
    real = np.flatnonzero(start < end)
    video, start, end, score, label = video[real], start[real], end[real], cut.score[real], cut.label[real]
    offsets = np.searchsorted(video, np.arange(len(outputs.names) + 1))
    kept = ops.suppress_columns(
        start, end, score, label, method.nms_options(config), offsets=offsets, threads=data.threads
    )
    rows = kept.rows
    ids = (video[rows].astype(np.int32), label[rows].astype(np.int32))
    return Table(outputs.names, tuple(vocabulary), *ids, start[rows], end[rows], kept.score)


def _proposed(outputs: Found, method: Method, config: Any, threads: int) -> ops.Proposed:
    options = method.proposal_options(config)
    if isinstance(options, BoundaryOptions | PyramidOptions):
        return _one_after_the_other(outputs.proposed)
    try:
        return ops.propose(
            outputs.cas, outputs.attention, options, video=outputs.video, offsets=outputs.offsets, threads=threads
        )
    except ValueError as e:
        raise FeatureError(f"activations: {e}") from e


def detect(method: Method, net: nn.Module, config: Any, vocabulary: Vocabulary, data: Videos) -> Table:
    """Detect with a network in training; see `activations` and `detections`."""
    return detections(activations(method, net, config, data), method, config, vocabulary, data)


def evaluate(table: Table, data: Videos) -> Evaluation:
    """Score detections against the truth of the videos under the protocol."""
    videos = (*data.videos, *data.missed)
    labels = sorted({s.label for v in videos for s in v.instances})
    truth = Table.of_segments({v.name: v.instances for v in videos}, "truth", labels)
    ambiguous = {v.name: v.ambiguous for v in videos if v.ambiguous}
    return evaluate_tables(truth, table, data.protocol, ambiguous=ambiguous, threads=data.threads)


def masks(outputs: Found, vocabulary: Vocabulary, data: Videos, threshold: float = MASK_THRESHOLD) -> MaskOverlap:
    """Compare the thresholded CAS with the truth, snippet by snippet (CBP+VLP's Table 3).

    Each class's activation is scaled to [0, 1] over the video, as for proposals. NaN without a CAS.
    """
    if not outputs.cas.size:
        return MaskOverlap(float("nan"), float("nan"))
    pairs = []
    for v, video in enumerate(data.videos):
        cas = outputs.cas[outputs.offsets[v] : outputs.offsets[v + 1], : len(vocabulary)]
        low, high = cas.min(axis=0), cas.max(axis=0)
        scaled = (cas - low) / np.where(high > low, high - low, 1)
        time, edges = data.features[video.name].timeline, np.arange(len(cas) + 1) * outputs.ratio[v]
        centers = (time.left(edges[:-1]) + time.right(edges[1:])) / 2
        pairs.append((scaled > threshold, truth_mask(video.instances, vocabulary.names, centers)))
    return mask_overlap(pairs)


def scores(method: Method, net: nn.Module, config: Any, vocabulary: Vocabulary, data: Videos) -> dict[str, Any]:
    """Return one entry of a run's history, ready for JSON; all figures in [0, 1].

    "views", only where the method has some (`methods.protocol.View`): the same figures of each.
    """
    out = _figures(activations(method, net, config, data), method, config, vocabulary, data)
    if not has_views(method):
        return out
    streams = method.training_streams(config)
    with frozen(method, net):
        views = {
            name: _figures(_run(view.module, streams, data), view.method, view.config, vocabulary, data)
            for name, view in views_of(method, net).items()
        }
    return {**out, "views": views}


def _figures(outputs: Found, method: Method, config: Any, vocabulary: Vocabulary, data: Videos) -> dict[str, Any]:
    table = detections(outputs, method, config, vocabulary, data)
    e, overlap = evaluate(table, data), masks(outputs, vocabulary, data)
    by_tiou = {t: float(m) for t, m in zip(e.protocol.tious, e.mean_ap, strict=True)}
    averages = {
        name: float(np.mean([by_tiou[t] for t in tious]))
        for name, tious in AVERAGES.items()
        if set(tious) <= set(by_tiou)
    }
    return {
        "protocol": data.protocol.name,
        "videos": e.counts.videos,
        "instances": e.counts.instances,
        "detections": e.counts.detections,
        "average": e.average,
        "averages": averages,
        "map": {f"{t:g}": m for t, m in by_tiou.items()},
        "miou": {k: v if v == v else None for k, v in overlap._asdict().items()},
    }
