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
from .sampling import random_perturb


class BatchSampler:
    """Draws batches from a training set held in memory."""

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
    ) -> None:
        self._streams = tuple(streams)
        self._names = [v.name for v in videos]
        self._features = [features[v.name] for v in videos]
        self._labels = np.zeros((len(videos), len(vocabulary)), np.float32)
        for i, v in enumerate(videos):
            if not v.labels:
                raise FeatureError(f"training video {v.name!r} has no label")
            for label in v.labels:
                self._labels[i, vocabulary.id(label)] = 1
        missing = [s for s in self._streams if s not in self._features[0].streams]
        if missing:
            raise FeatureError(f"features lack stream {missing[0]!r}, which training reads")
        self._of_class = [np.flatnonzero(column) for column in self._labels.T]
        self._shared = np.flatnonzero([len(m) >= 2 for m in self._of_class])
        if 2 * pairs > size:
            raise FeatureError(f"{pairs} pairs do not fit into a batch of {size}")
        self._length, self._size = length, size
        self._pairs = pairs if len(self._shared) else 0

    def draw(self, rng: np.random.Generator) -> Batch:
        """One batch, random-perturb sampled."""
        rows: list[int] = []
        for c in rng.choice(self._shared, self._pairs) if self._pairs else ():
            rows += rng.choice(self._of_class[c], 2, replace=False).tolist()
        rows += rng.integers(len(self._features), size=self._size - len(rows)).tolist()
        picked: dict[str, list[NDArray[np.float32]]] = {s: [] for s in self._streams}
        for r in rows:
            index = random_perturb(len(self._features[r]), self._length, rng)
            for s in self._streams:
                picked[s].append(self._features[r].streams[s][index])
        streams = {s: torch.from_numpy(np.stack(parts)) for s, parts in picked.items()}
        names = tuple(self._names[r] for r in rows)
        return Batch(streams, torch.from_numpy(self._labels[rows]), self._pairs, names=names)
