"""Training batches: first pairs of videos that share a class, then random ones (CO2-Net's loader)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..annotations import AnnotatedVideo
from ..errors import FeatureError
from ..heads.interface import Batch
from ..records import Features
from ..vocabulary import Vocabulary
from .sampling import Sampling, sample


class BatchSampler:
    """Draws batches from a training set held in memory.

    length: snippets a video is sampled to ("full": not read). size: videos a batch. pairs: how many
    pairs that share a class come first. widths: what the head reads, checked where given.
    """

    def __init__(
        self,
        videos: Sequence[AnnotatedVideo],
        features: Mapping[str, Features],
        vocabulary: Vocabulary,
        streams: Sequence[str],
        *,
        length: int,
        size: int,
        pairs: int,
        sampling: Sampling = "random_perturb",
        widths: Mapping[str, int] | None = None,
    ) -> None:
        self._streams = tuple(streams)
        self._names = [v.name for v in videos]
        self._features = [features[v.name] for v in videos]
        self._labels = _multi_hot(videos, vocabulary)
        _check_streams(videos, self._features, self._streams, widths or {})
        self._of_class = [np.flatnonzero(column) for column in self._labels.T]
        self._shared = np.flatnonzero([len(m) >= 2 for m in self._of_class])
        if 2 * pairs > size:
            raise FeatureError(f"{pairs} pairs do not fit into a batch of {size}")
        self._length, self._size, self._sampling = length, size, sampling
        self._pairs = pairs if len(self._shared) else 0

    def draw(self, rng: np.random.Generator) -> Batch:
        """One batch; its mask is None where no video is padded."""
        rows: list[int] = []
        for c in rng.choice(self._shared, self._pairs) if self._pairs else ():
            rows += rng.choice(self._of_class[c], 2, replace=False).tolist()
        rows += rng.integers(len(self._features), size=self._size - len(rows)).tolist()
        index = [sample(self._sampling, len(self._features[r]), self._length, rng) for r in rows]
        length = max(map(len, index)) if self._sampling == "full" else self._length
        streams = {
            s: torch.from_numpy(
                np.stack([_padded(self._features[r].streams[s][i], length) for r, i in zip(rows, index, strict=True)])
            )
            for s in self._streams
        }
        mask = None
        if any(len(i) < length for i in index):
            mask = torch.from_numpy(np.stack([_padded(np.ones(len(i), np.float32), length) for i in index]))
        names = tuple(self._names[r] for r in rows)
        return Batch(streams, torch.from_numpy(self._labels[rows]), self._pairs, mask, names)


def _multi_hot(videos: Sequence[AnnotatedVideo], vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Labels [N, C] of the videos.

    Raises:
        FeatureError: there are no videos, or one has no label.
    """
    if not videos:
        raise FeatureError("there are no training videos")
    labels = np.zeros((len(videos), len(vocabulary)), np.float32)
    for i, v in enumerate(videos):
        if not v.labels:
            raise FeatureError(f"training video {v.name!r} has no label")
        for label in v.labels:
            labels[i, vocabulary.id(label)] = 1
    return labels


def _check_streams(
    videos: Sequence[AnnotatedVideo], features: Sequence[Features], streams: Sequence[str], widths: Mapping[str, int]
) -> None:
    """Every video has every stream, at one width.

    Raises:
        FeatureError: naming the first video that does not.
    """
    for s in streams:
        if s not in features[0].streams:
            raise FeatureError(f"features lack stream {s!r}, which training reads")
        wanted = widths.get(s, features[0].streams[s].shape[1])
        for v, f in zip(videos, features, strict=True):
            found = f.streams[s].shape[1] if s in f.streams else 0
            if found != wanted:
                raise FeatureError(f"stream {s!r} of {v.name!r} is {found} wide, must be {wanted}")


def _padded(rows: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Rows with zeros behind them."""
    if len(rows) == length:
        return rows
    return np.concatenate([rows, np.zeros((length - len(rows), *rows.shape[1:]), np.float32)])
