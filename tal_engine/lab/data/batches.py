"""Training batches: first pairs of videos that share a class, then random ones (CO2-Net's loader)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...annotations import AnnotatedVideo
from ...annotations.points import Point, Points
from ...errors import DataError
from ...records import Features, Segment
from ...vocabulary import Vocabulary
from ..heads.interface import Batch
from .sampling import Sampling, sample
from .timed import TRIALS, in_snippets, on_window


class BatchSampler:
    """Draws batches from a training set held in memory.

    length: snippets a video is sampled to ("full": not read). size: videos a batch. pairs: how many
    pairs that share a class come first. widths: what the head reads, checked where given. points: of every video,
    where the method reads them; several of one class in one snippet are one there. A video's labels are then the
    classes of its points. Background videos have neither labels nor points: nothing happens in them. segments:
    likewise; a video may have none, and of a window that shows a part of a video another is drawn while it shows no
    segment. mixed: videos may have classes without points or segments; those are labels too, and `Batch.untimed` says
    where they are.
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
        segments: Mapping[str, Sequence[Segment]] | None = None,
        mixed: bool = False,
    ) -> None:
        self._streams = tuple(streams)
        self._names = [v.name for v in videos]
        self._features = [features[v.name] for v in videos]
        self._points = None
        if points is not None:
            both = zip(self._names, self._features, strict=True)
            empty = {v.name for v in videos if v.background or (mixed and not points.get(v.name))}
            self._points = [[] if n in empty else snippets_of(points.get(n, ()), f, vocabulary, n) for n, f in both]
        self._segments = None
        if segments is not None:
            both = zip(self._names, self._features, strict=True)
            self._segments = [in_snippets(segments.get(n, ()), f, vocabulary, n) for n, f in both]
        of = points if segments is None else segments
        bare = segments is not None
        labels = [v.labels if of is None else tuple({p.label for p in of.get(v.name, ())}) for v in videos]
        self._untimed = None if of is None or not mixed else _untimed(videos, labels, vocabulary)
        if self._untimed is not None:
            labels = [tuple({*v.labels, *timed}) for v, timed in zip(videos, labels, strict=True)]
        self._labels = _multi_hot(videos, labels, vocabulary, bare)
        _check_streams(videos, self._features, self._streams, widths or {})
        self._of_class = [np.flatnonzero(column) for column in self._labels.T]
        self._shared = np.flatnonzero([len(m) >= 2 for m in self._of_class])
        if 2 * pairs > size:
            raise DataError(f"{pairs} pairs do not fit into a batch of {size}")
        self._length, self._size, self._sampling = length, size, sampling
        self._pairs = pairs if len(self._shared) else 0

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch; its mask is None where no video is padded."""
        rows: list[int] = []
        for c in rng.choice(self._shared, self._pairs) if self._pairs else ():
            rows += rng.choice(self._of_class[c], 2, replace=False).tolist()
        rows += rng.integers(len(self._features), size=self._size - len(rows)).tolist()
        index = [self._sampled(r, rng) for r in rows]
        length = max(map(len, index)) if self._sampling in ("full", "crop") else self._length
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
        segments = None
        if self._segments is not None:
            seen = (on_window(self._segments[r], i, self._features[r]) for r, i in zip(rows, index, strict=True))
            segments = tuple(torch.from_numpy(s.astype(np.float32)) for s in seen)
        untimed = None if self._untimed is None else torch.from_numpy(self._untimed[rows])
        return Batch(streams, torch.from_numpy(self._labels[rows]), self._pairs, mask, names, points, segments, untimed)

    def _sampled(self, row: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the snippets of a video that a step reads; they show a segment if they can."""
        features = self._features[row]
        index = sample(self._sampling, len(features), self._length, rng)
        if self._segments is None or not len(self._segments[row]) or self._sampling not in ("contiguous", "crop"):
            return index
        for _ in range(TRIALS):
            if len(on_window(self._segments[row], index, features)):
                break
            index = sample(self._sampling, len(features), self._length, rng)
        return index

    def _clicked(
        self, points: Sequence[Sequence[tuple[int, int]]], index: Sequence[NDArray[np.int64]], length: int
    ) -> torch.Tensor:
        """Place points [B, T, C] on the sampled snippets that are nearest to their own."""
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
    """Convert points to (snippet, label id): the snippet whose centre is nearest.

    Raises:
        DataError: no points, or one after the end of the features.
    """
    if not points:
        raise DataError(f"training video {name!r} has no point label")
    time, out = features.timeline, []
    for p in points:
        # The last, incomplete window has no features, so a point may lie a window after them.
        if p.seconds > max(features.duration, float(time.right(len(features)))) + time.width:
            raise DataError(
                f"training video {name!r} ends at {features.duration:.2f} s, it has a point of {p.label!r} at "
                f"{p.seconds:.2f} s"
            )
        snippet = int(np.abs(time.centers(len(features)) - p.seconds).argmin())
        out.append((snippet, vocabulary.id(p.label)))
    return out


def _multi_hot(
    videos: Sequence[AnnotatedVideo], labels: Sequence[Sequence[str]], vocabulary: Vocabulary, bare: bool = False
) -> NDArray[np.float32]:
    """Encode the labels of the videos, [N, C]; with `bare` any video may be without.

    Raises:
        DataError: there are no videos, or one has no label and is not background.
    """
    if not any(labels):
        raise DataError("there are no training videos" if not videos else "no training video has a label")
    hot = np.zeros((len(videos), len(vocabulary)), np.float32)
    for i, (video, of) in enumerate(zip(videos, labels, strict=True)):
        if not of and not (bare or video.background):
            raise DataError(f"training video {video.name!r} has no label")
        hot[i, [vocabulary.id(label) for label in of]] = 1
    return hot


def _untimed(
    videos: Sequence[AnnotatedVideo], timed: Sequence[Sequence[str]], vocabulary: Vocabulary
) -> NDArray[np.float32] | None:
    """Mark classes that videos have without points or segments of them, [N, C]; None where there are none."""
    labels = [tuple(set(v.labels) - set(known)) for v, known in zip(videos, timed, strict=True)]
    return _multi_hot(videos, labels, vocabulary, bare=True) if any(labels) else None


def _check_streams(
    videos: Sequence[AnnotatedVideo], features: Sequence[Features], streams: Sequence[str], widths: Mapping[str, int]
) -> None:
    """Check that every video has every stream, at one width.

    Raises:
        DataError: naming the first video that does not.
    """
    for s in streams:
        if s not in features[0].streams:
            raise DataError(f"features lack stream {s!r}, which training reads")
        wanted = widths.get(s, features[0].streams[s].shape[1])
        for v, f in zip(videos, features, strict=True):
            width = f.streams[s].shape[1] if s in f.streams else 0
            if width != wanted:
                raise DataError(f"stream {s!r} of {v.name!r} is {width} wide, must be {wanted}")


def _padded(rows: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Append zeros to the rows."""
    if len(rows) == length:
        return rows
    return np.concatenate([rows, np.zeros((length - len(rows), *rows.shape[1:]), np.float32)])
