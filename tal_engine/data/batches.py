"""Training batches: first pairs of videos that share a class, then random ones (CO2-Net's loader)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..annotations import AnnotatedVideo
from ..annotations.points import Point, Points
from ..errors import FeatureError
from ..heads.interface import Batch
from ..records import Features
from ..vocabulary import Vocabulary
from .sampling import Sampling, sample


class BatchSampler:
    """Draws batches from a training set held in memory.

    length: snippets a video is sampled to ("full": not read). size: videos a batch. pairs: how many
    pairs that share a class come first. widths: what the head reads, checked where given. points: of every video,
    where the method reads them; several of one class in one snippet are one there. A video's labels are then the
    classes of its points.
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
        points: Points | None = None,
    ) -> None:
        self._streams = tuple(streams)
        self._names = [v.name for v in videos]
        self._features = [features[v.name] for v in videos]
        self._points = None
        if points is not None:
            both = zip(self._names, self._features, strict=True)
            self._points = [snippets_of(points.get(n, ()), f, vocabulary, n) for n, f in both]
        labels = [v.labels if points is None else tuple({p.label for p in points[v.name]}) for v in videos]
        self._labels = _multi_hot(self._names, labels, vocabulary)
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
        points = None
        if self._points is not None:
            points = self._clicked([self._points[r] for r in rows], index, length)
        return Batch(streams, torch.from_numpy(self._labels[rows]), self._pairs, mask, names, points)

    def _clicked(
        self, points: Sequence[Sequence[tuple[int, int]]], index: Sequence[NDArray[np.int64]], length: int
    ) -> torch.Tensor:
        """Points [B, T, C] on the sampled snippets: each is at the sampled snippet that is nearest to its own."""
        out = torch.zeros(len(points), length, self._labels.shape[1])
        for b, (of, i) in enumerate(zip(points, index, strict=True)):
            for snippet, label in of:
                # A contiguous window shows a part of the video only.
                if i[0] <= snippet <= i[-1] or self._sampling != "contiguous":
                    out[b, int(np.abs(i - snippet).argmin()), label] = 1
        return out


def snippets_of(
    points: Sequence[Point], features: Features, vocabulary: Vocabulary, name: str
) -> list[tuple[int, int]]:
    """(snippet, label id) of points: the snippet whose middle is nearest.

    Raises:
        FeatureError: no points, or one after the end of the features.
    """
    if not points:
        raise FeatureError(f"training video {name!r} has no point label")
    time, out = features.timeline, []
    for p in points:
        # The last, incomplete window has no features, so a point may lie a window after them.
        if p.seconds > max(features.duration, float(time.right(len(features)))) + time.width:
            raise FeatureError(
                f"training video {name!r} ends at {features.duration:.2f} s, it has a point of {p.label!r} at "
                f"{p.seconds:.2f} s"
            )
        snippet = int(np.abs(time.centers(len(features)) - p.seconds).argmin())
        out.append((snippet, vocabulary.id(p.label)))
    return out


def _multi_hot(names: Sequence[str], labels: Sequence[Sequence[str]], vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Labels [N, C] of the videos.

    Raises:
        FeatureError: there are no videos, or one has no label.
    """
    if not names:
        raise FeatureError("there are no training videos")
    hot = np.zeros((len(names), len(vocabulary)), np.float32)
    for i, (name, of) in enumerate(zip(names, labels, strict=True)):
        if not of:
            raise FeatureError(f"training video {name!r} has no label")
        hot[i, [vocabulary.id(label) for label in of]] = 1
    return hot


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
