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

from .. import ops
from ..annotations import AnnotatedVideo
from ..data.sampling import uniform
from ..errors import FeatureError
from ..localize import Evaluator, paired
from ..methods import Method, has_views, views_of
from ..metrics import Evaluation, MaskOverlap, Protocol, evaluate_tables, mask_overlap, truth_mask
from ..options import BoundaryOptions, linspace
from ..records import Features
from ..tables import Table
from ..vocabulary import Vocabulary

#: Overlaps over which weakly supervised papers average, by their first and last (methods.md 10).
AVERAGES = {"0.1:0.5": linspace(0.1, 0.5, 5), "0.3:0.7": linspace(0.3, 0.7, 5), "0.1:0.7": linspace(0.1, 0.7, 7)}

#: A snippet belongs to a class whose activation, scaled to [0, 1] over the video, is above this.
MASK_THRESHOLD = 0.5

#: From a module's outputs of one video to its proposals.
_Pair = Callable[[Mapping[str, NDArray[np.float32]]], ops.Proposed]


class Found(NamedTuple):
    """Activations of videos, one after the other.

    cas [N, C (+ 1)]; attention [N] or None; video [videos, C] or None; offsets [videos + 1]. ratio [videos]:
    snippets of the features that one row stands for, 1 where all were read. proposed: of each video, by methods
    that pair boundaries; their CAS is empty.
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
    """The network as inference runs it; after the block training goes on as if nothing had been."""
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
    options, pair = method.proposal_options(config), None
    with frozen(method, net) as module:
        if isinstance(options, BoundaryOptions):
            pair = partial(_paired, options=options, evaluator=evaluator_of(method.freeze_evaluator(net)))
        return _run(module, method.inference_streams(config), data, pair)


def _run(module: nn.Module, streams: Sequence[str], data: Videos, pair: _Pair | None = None) -> Found:
    """A frozen module on each video; `pair` makes the proposals of a video of outputs that are boundaries."""
    names = tuple(v.name for v in data.videos)
    # A network that is not trained (VLPO's "zero_shot") may have buffers only.
    device = next((t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    parts: dict[str, list[NDArray[np.float32]]] = {}
    proposed, lengths, ratio = [], [], []
    for name in names:
        rows = _rows(data, name)
        feeds = {s: _stream(data.features[name], s, rows, name).to(device) for s in streams}
        out = {k: v[0].float().cpu().numpy() for k, v in module(**feeds).items()}
        if pair is not None:
            proposed.append(pair(out))
        else:
            for key, value in out.items():
                parts.setdefault(key, []).append(value)
        lengths.append(len(rows))
        ratio.append(len(data.features[name]) / len(rows))
    joined = {k: np.stack(v) if k == "video" else np.concatenate(v) for k, v in parts.items()}
    offsets = np.cumsum([0, *lengths])
    cas = joined.get("cas", np.empty((0, 0), np.float32))
    attention, video = joined.get("attention"), joined.get("video")
    return Found(names, cas, attention, video, offsets, np.array(ratio), tuple(proposed))


def _paired(out: Mapping[str, NDArray[np.float32]], options: BoundaryOptions, evaluator: Evaluator) -> ops.Proposed:
    try:
        return paired(out["start"], out["end"], out["embedding"], options, evaluator)
    except ValueError as e:
        raise FeatureError(f"boundaries: {e}") from e


def evaluator_of(module: nn.Module) -> Evaluator:
    """A frozen evaluator as the runtime calls it; see `methods.protocol.Method.freeze_evaluator`."""

    def run(embedding: NDArray[np.float32], positions: NDArray[np.float32]) -> NDArray[np.float32]:
        device = next(module.parameters()).device
        feeds = {"embedding": embedding, "positions": positions}
        with torch.no_grad():
            found = module(**{k: torch.from_numpy(v).to(device) for k, v in feeds.items()})
        scores: NDArray[np.float32] = found["score"].float().cpu().numpy()
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


def detections(found: Found, method: Method, config: Any, vocabulary: Vocabulary, data: Videos) -> Table:
    """Activations to suppressed detections in seconds, all of them, best first in each video.

    A row of a sampled video stands for `ratio` snippets of its features, so its borders lie at multiples of
    that on the video's timeline; ends are clipped to the duration.

    Raises:
        FeatureError: an activation is NaN or infinite.
    """
    cut = _proposed(found, method, config, data.threads)
    video = np.repeat(np.arange(len(found.names)), np.diff(cut.offsets))
    start, end = np.empty_like(cut.start), np.empty_like(cut.end)
    for v, name in enumerate(found.names):
        mine, features = slice(cut.offsets[v], cut.offsets[v + 1]), data.features[name]
        start[mine] = features.timeline.left(cut.start[mine] * found.ratio[v])
        end[mine] = np.minimum(features.timeline.right(cut.end[mine] * found.ratio[v]), features.duration)
    real = np.flatnonzero(start < end)
    video, start, end, score, label = video[real], start[real], end[real], cut.score[real], cut.label[real]
    offsets = np.searchsorted(video, np.arange(len(found.names) + 1))
    kept = ops.suppress_columns(
        start, end, score, label, method.nms_options(config), offsets=offsets, threads=data.threads
    )
    rows = kept.rows
    ids = (video[rows].astype(np.int32), label[rows].astype(np.int32))
    return Table(found.names, tuple(vocabulary), *ids, start[rows], end[rows], kept.score)


def _proposed(found: Found, method: Method, config: Any, threads: int) -> ops.Proposed:
    options = method.proposal_options(config)
    if isinstance(options, BoundaryOptions):
        return _one_after_the_other(found.proposed)
    try:
        return ops.propose(
            found.cas, found.attention, options, video=found.video, offsets=found.offsets, threads=threads
        )
    except ValueError as e:
        raise FeatureError(f"activations: {e}") from e


def detect(method: Method, net: nn.Module, config: Any, vocabulary: Vocabulary, data: Videos) -> Table:
    """Detections of a network in training on videos; see `activations` and `detections`."""
    return detections(activations(method, net, config, data), method, config, vocabulary, data)


def evaluate(table: Table, data: Videos) -> Evaluation:
    """Score detections against the truth of the videos under the protocol."""
    videos = (*data.videos, *data.missed)
    labels = sorted({s.label for v in videos for s in v.instances})
    truth = Table.of_segments({v.name: v.instances for v in videos}, "truth", labels)
    ambiguous = {v.name: v.ambiguous for v in videos if v.ambiguous}
    return evaluate_tables(truth, table, data.protocol, ambiguous=ambiguous, threads=data.threads)


def masks(found: Found, vocabulary: Vocabulary, data: Videos, threshold: float = MASK_THRESHOLD) -> MaskOverlap:
    """Overlap of the CAS above a threshold with the truth, snippet by snippet (CBP+VLP's Table 3).

    Each class's activation is scaled to [0, 1] over the video, as proposals are cut from it. NaN without a CAS.
    """
    if not found.cas.size:
        return MaskOverlap(float("nan"), float("nan"))
    pairs = []
    for v, video in enumerate(data.videos):
        cas = found.cas[found.offsets[v] : found.offsets[v + 1], : len(vocabulary)]
        low, high = cas.min(axis=0), cas.max(axis=0)
        scaled = (cas - low) / np.where(high > low, high - low, 1)
        time, edges = data.features[video.name].timeline, np.arange(len(cas) + 1) * found.ratio[v]
        centers = (time.left(edges[:-1]) + time.right(edges[1:])) / 2
        pairs.append((scaled > threshold, truth_mask(video.instances, vocabulary.names, centers)))
    return mask_overlap(pairs)


def scores(method: Method, net: nn.Module, config: Any, vocabulary: Vocabulary, data: Videos) -> dict[str, Any]:
    """One entry of a run's history, ready for JSON; all figures in [0, 1].

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


def _figures(found: Found, method: Method, config: Any, vocabulary: Vocabulary, data: Videos) -> dict[str, Any]:
    table = detections(found, method, config, vocabulary, data)
    e, overlap = evaluate(table, data), masks(found, vocabulary, data)
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
