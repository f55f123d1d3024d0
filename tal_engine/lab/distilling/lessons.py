"""What a student learns from: what is kept of videos beside the teacher's features, in runs of snippets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .options import Reads
from .pictures import Kept
from .student import Shares, order_of


@dataclass(frozen=True)
class Lesson:
    """A video: what is kept of it, [T, ...] by what is read, and the teacher's features [T, D] of the same snippets.

    Columns of features are in the order of `student.order_of`.
    """

    kept: Kept
    features: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def tensors(self, first: int, last: int) -> dict[Reads, Tensor]:
        """Return what is kept of some snippets, as float32."""
        return {reads: torch.from_numpy(x[first:last].astype(np.float32)) for reads, x in self.kept.items()}


def lesson_of(kept: Kept, streams: Mapping[str, NDArray[np.float32]], shares: Shares) -> Lesson:
    """Pair what is kept with features; the one of both that is longer by a snippet at the end loses it.

    Args:
        kept: of a video.
        streams: the teacher's features [T, D].
        shares: which part of the student stands for which of them; parts that stand for none read nothing.
    """
    features = np.concatenate(list(order_of(streams, shares).values()), axis=1)
    count = min(len(features), *(len(kept[reads]) for reads in shares))
    return Lesson({reads: kept[reads][:count] for reads in shares}, features[:count])


def steps_of(snippets: int, run: int, runs: int) -> int:
    """Return the steps of an epoch."""
    return max(1, snippets // (run * runs))


def batches(
    lessons: Sequence[Lesson], rng: np.random.Generator, run: int, runs: int
) -> Iterator[tuple[dict[Reads, Tensor], Tensor]]:
    """Yield the steps of an epoch: runs from anywhere, of each video as many as its length calls for."""
    lengths = np.array([len(x) for x in lessons])
    steps = steps_of(int(lengths.sum()), run, runs)
    run = min(run, int(lengths.min()))
    chosen = rng.choice(len(lessons), steps * runs, p=lengths / lengths.sum())
    for i in range(0, len(chosen), runs):
        kept, features = list[dict[Reads, Tensor]](), []
        for lesson in (lessons[k] for k in chosen[i : i + runs]):
            first = int(rng.integers(0, len(lesson) - run + 1))
            kept.append(lesson.tensors(first, first + run))
            features.append(lesson.features[first : first + run])
        yield {reads: torch.stack([k[reads] for k in kept]) for reads in kept[0]}, torch.from_numpy(np.stack(features))


def _jittered(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift the place and change the light of each run: what the teacher's features should not depend on."""
    apart = pictures.shape[-1] <= 3  # colours lie behind the places, or before them
    places = (-3, -2) if apart else (-2, -1)
    most = max(1, pictures.shape[places[1]] // 20)
    out = torch.empty_like(pictures)
    for i, run in enumerate(pictures):
        down, across = (int(v) for v in rng.integers(-most, most + 1, 2))
        gain, shift = rng.uniform(0.8, 1.25), rng.uniform(-20, 20)
        out[i] = torch.roll(run, (down, across), places) * gain + shift
    return out.clamp_(0, 255)


def _moved(flow: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift the place of each run of flow [B, T, n, 2, H, W] by a cell at most."""
    out = torch.empty_like(flow)
    for i, run in enumerate(flow):
        out[i] = torch.roll(run, tuple(int(v) for v in rng.integers(-1, 2, 2)), (-2, -1))
    return out


#: How what is read is varied.
_VARIED: Mapping[Reads, Callable[[Tensor, np.random.Generator], Tensor]] = {"frames": _jittered, "flow": _moved}


def varied(kept: Mapping[Reads, Tensor], rng: np.random.Generator) -> dict[Reads, Tensor]:
    """Vary each run of what is kept [B, T, ...]; its parts are read by networks of their own, so each for itself."""
    return {reads: _VARIED[reads](x, rng) for reads, x in kept.items()}
