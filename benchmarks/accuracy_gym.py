"""Real I3D features, weak labels, no temporal truth: video-level mAP by five folds, for two heads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHARED, spread
from numpy.typing import NDArray

from tal_engine import ops
from tal_engine.annotations import AnnotatedVideo
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.methods import load_method
from tal_engine.lab.training.loop import fit
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary

FOLDS = 5
HEADS = ("co2", "basnet")
#: Clips are short (median 2 snippets, at most 39), so 8 snippets a clip lose little.
OPTIONS = TrainOptions(steps=60, batch=16, pairs=3, length=8, learning_rate=3e-4, weight_decay=1e-3)


def gym() -> dict[str, Any]:
    """Mean and spread over the folds; chance is the mean share of a class."""
    videos, features, vocabulary = clips()
    labels = np.array([vocabulary.id(v.labels[0]) for v in videos])
    fold = stratified(labels)
    rows = {
        head: spread([one_fold(head, videos, features, vocabulary, fold == k) for k in range(FOLDS)]) for head in HEADS
    }
    chance = [
        100 * float(np.mean([(labels[fold == k] == c).mean() for c in set(labels[fold == k])])) for k in range(FOLDS)
    ]
    return {
        "what": f"{len(videos)} gym clips, {len(vocabulary)} classes, I3D features, {FOLDS} folds, video-level mAP",
        "steps": OPTIONS.steps,
        "rows": rows,
        "chance": spread(chance),
    }


def clips() -> tuple[list[AnnotatedVideo], dict[str, Features], Vocabulary]:
    """The clips; a clip's class is its name without the number."""
    videos, features = [], {}
    time = Timeline(0.0, 0.64, 0.64)
    with np.load(SHARED / "features" / "gym_i3d_21classes.npz") as archive:
        for name in archive.files:
            x = archive[name]
            seconds = float(time.right(len(x)))
            videos.append(AnnotatedVideo(name, "all", seconds, (Segment(0.0, seconds, name.rpartition("_")[0], 1.0),)))
            features[name] = Features({"rgb": x[:, :1024], "flow": x[:, 1024:]}, time, seconds)
    return videos, features, Vocabulary(sorted({v.labels[0] for v in videos}))


def stratified(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fold for each clip; every class is dealt out evenly, in a seeded order."""
    fold = np.empty(len(labels), np.int64)
    rng = np.random.default_rng(0)
    for c in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == c))
        fold[members] = (np.arange(len(members)) + rng.integers(FOLDS)) % FOLDS
    return fold


def one_fold(
    head: str,
    videos: list[AnnotatedVideo],
    features: dict[str, Features],
    vocabulary: Vocabulary,
    held: NDArray[np.bool_],
) -> float:
    """Train on the other clips; mean average precision of class probabilities on the held-out ones, in percent."""
    method = load_method(head)
    config = method.Config()
    train = [v for v, h in zip(videos, held, strict=True) if not h]
    test = [v for v, h in zip(videos, held, strict=True) if h]
    streams = method.training_streams(config)
    batches = BatchSampler(
        train, features, vocabulary, streams, length=OPTIONS.length, size=OPTIONS.batch, pairs=OPTIONS.pairs
    )
    with tempfile.TemporaryDirectory() as folder:
        net = fit(method, config, vocabulary, None, batches, OPTIONS, Path(folder), provenance={}).net
    frozen = method.freeze(net)
    scores = np.stack([video_scores(frozen, features[v.name], method.proposal_options(config)) for v in test])
    truth = np.array([[c in v.labels for c in vocabulary] for v in test])
    return 100 * float(np.mean([average_precision(scores[:, c], truth[:, c]) for c in np.flatnonzero(truth.any(0))]))


def video_scores(frozen: torch.nn.Module, features: Features, options: Any) -> NDArray[np.float64]:
    """Class probabilities of a clip, as localization takes them."""
    with torch.no_grad():
        out = frozen(**{s: torch.from_numpy(x[None]) for s, x in features.streams.items()})
    return out["video"][0].numpy() if "video" in out else ops.video_scores(out["cas"][0].numpy(), options)[0]


def average_precision(score: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Precision at each true clip, best first, averaged."""
    hit = true[np.argsort(-score, kind="stable")]
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float(precision[hit].mean())
