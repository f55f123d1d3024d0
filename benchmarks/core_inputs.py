"""Seeded inputs of bench_core.py, with the sizes that the peers were measured on.

Peers' figures are of other seeds: their times depend on the sizes, hardly on the values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tal_engine.options import ProposalOptions, SourceOptions, linspace

#: Videos and snippets (16 frames at 25 a second) of THUMOS14's test set.
VIDEOS, SNIPPETS = 213, 62_769


@dataclass(frozen=True)
class Intervals:
    """Scored intervals of videos, one after the other."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    score: NDArray[np.float64]
    label: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @property
    def columns(self) -> tuple[NDArray, ...]:
        return self.start, self.end, self.score, self.label, self.offsets


def intervals(n: int, *, span: float = 100.0, classes: int = 1, videos: int = 1, wide: bool = False) -> Intervals:
    """Starts uniform over `span` seconds, lengths uniform in 0.5..8, scores uniform, `n` a video.

    100 of them keep 56 at tIoU .5, and 46 with the pixel convention, as those of the peers did; 8% of
    all pairs overlap. wide: lengths log-normal around 5 s (sigma .8), 13% of pairs.
    """
    rng = np.random.default_rng(n)
    start = rng.uniform(0, span, n * videos)
    length = rng.lognormal(np.log(5), 0.8, n * videos) if wide else rng.uniform(0.5, 8, n * videos)
    label = rng.integers(0, classes, n * videos).astype(np.int32)
    return Intervals(start, start + length, rng.random(n * videos), label, np.arange(videos + 1, dtype=np.int64) * n)


@dataclass(frozen=True)
class Activations:
    """CAS (last column background), attention and where each video begins."""

    cas: NDArray[np.float32]
    attention: NDArray[np.float32]
    offsets: NDArray[np.int64]


def activations(snippets: int = SNIPPETS, videos: int = VIDEOS, classes: int = 20) -> Activations:
    """Noise smoothed over 20 snippets; one class of each video, in two of five another one too, is raised.

    Lengths are log-normal (sigma .7).
    """
    rng = np.random.default_rng(videos)
    share = rng.lognormal(0, 0.7, videos)
    offsets = np.round(np.cumsum([0, *share]) / share.sum() * snippets).astype(np.int64)
    kernel = np.ones(20) / 20
    cas = np.empty((snippets, classes + 1), np.float32)
    for c in range(classes + 1):
        cas[:, c] = np.convolve(rng.normal(0, 4, snippets), kernel, "same")
    attention = np.convolve(rng.random(snippets), kernel, "same").astype(np.float32)
    active = attention > 0.5
    for v in range(videos):
        rows = slice(offsets[v], offsets[v + 1])
        first, second = rng.choice(classes, 2, replace=False)
        cas[rows, first] += 3 + active[rows]
        if rng.random() < 0.43:
            cas[rows, second] += 3 + active[rows]
    return Activations(cas, attention, offsets)


def fine_options() -> ProposalOptions:
    """CoLA's: up-sampled 24 times, 10 thresholds on the CAS and 33 on the attention."""
    cas = SourceOptions(
        of="cas", thresholds=linspace(0.0, 0.225, 10), scale="relu_minmax", score_scale="relu_minmax",
        outer_ratio=0.25, class_weight=0.2,
    )  # fmt: skip
    attention = SourceOptions(
        of="attention", thresholds=linspace(0.1, 0.9, 33), scale="relu_minmax", score_scale="relu_minmax",
        outer_ratio=0.25, class_weight=0.2,
    )  # fmt: skip
    return ProposalOptions(sources=(cas, attention), upsample=24, class_threshold=0.2)


@dataclass(frozen=True)
class Detections:
    """True instances and detections of a data set as columns: video, label, start, end (, score)."""

    truth: dict[str, NDArray]
    found: dict[str, NDArray]
    videos: int
    classes: int


def detections(videos: int, each: int, classes: int, instances: float) -> Detections:
    """`instances` true ones a video on average, at least one, all of the video's class, over 200 s.

    Half of the `each` detections a video are a true one with both ends moved (normal, 15% of its
    length), half lie anywhere; nine of ten have the video's class. Scores are uniform, those of
    moved ones a quarter higher.
    """
    rng = np.random.default_rng(videos + each)
    count = 1 + rng.poisson(instances - 1, videos)
    video = np.repeat(np.arange(videos, dtype=np.int32), count)
    of_video = rng.integers(0, classes, videos).astype(np.int32)
    start = rng.uniform(0, 180, len(video))
    truth = {"video": video, "label": of_video[video], "start": start, "end": start + rng.uniform(1, 20, len(video))}

    n = videos * each
    where = np.repeat(np.arange(videos, dtype=np.int32), each)
    near = rng.random(n) < 0.5
    base = (np.cumsum(count) - count)[where] + (rng.random(n) * count[where]).astype(np.int64)
    low, high = truth["start"][base], truth["end"][base]
    moved = 0.15 * (high - low)
    low, high = (x + rng.normal(0, 1, n) * moved for x in (low, high))
    free = rng.uniform(0, 190, n)
    low, high = np.where(near, low, free), np.where(near, high, free + rng.uniform(1, 20, n))
    label = np.where(rng.random(n) < 0.9, of_video[where], rng.integers(0, classes, n)).astype(np.int32)
    found = {
        "video": where, "label": label, "start": np.minimum(low, high), "end": np.maximum(low, high),
        "score": rng.random(n) * 0.8 + 0.2 * near,
    }  # fmt: skip
    return Detections(truth, found, videos, classes)


def thumos(each: int) -> Detections:
    """213 videos, 20 classes, about 3,358 instances."""
    return detections(VIDEOS, each, 20, 15.8)


def anet(each: int) -> Detections:
    """4,926 videos, 200 classes, about 7,650 instances."""
    return detections(4926, each, 200, 1.55)
