"""Trains an `OnlineHead` on the targets of whole videos; what follows each video stands for the end of a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...errors import DataError, require
from ...records import Features
from .network import READ, OnlineConfig, OnlineHead
from .stem import TeacherStem
from .targets import OnlineTargets

#: Log-odds between a class that the stem is sure of and one that it rules out, at the beginning.
_SURE = 8.0


@dataclass(frozen=True, kw_only=True)
class OnlineTraining:
    """How an online head is trained.

    epochs: times that each video is seen at most. patience: passes without a better one on the held-out videos, where
    there are some, after which it ends; the best pass is kept. batch: pieces a step. noise: added to what the stem
    says, a standard deviation: on the videos that it was trained on it is surer than it will be; shift: the same for a
    whole piece. length: snippets of a piece, as long videos are cut. seed: of everything that is drawn.
    """

    epochs: int = 30
    patience: int = 10
    batch: int = 8
    learning_rate: float = 1e-2
    weight_decay: float = 1e-3
    noise: float = 0.15
    shift: float = 0.05
    length: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 100_000, "epochs", self.epochs, "in 1..100000")
        require(1 <= self.patience <= 100_000, "patience", self.patience, "in 1..100000")
        require(1 <= self.batch <= 4096, "batch", self.batch, "in 1..4096")
        require(8 <= self.length <= 100_000, "length", self.length, "in 8..100000")
        require(0 < self.learning_rate < 1, "learning_rate", self.learning_rate, "in (0, 1)")
        for name in ("weight_decay", "noise", "shift"):
            require(0 <= getattr(self, name) < 100, name, getattr(self, name), "in [0, 100)")


@dataclass(frozen=True)
class TrainedHead:
    """A head in eval mode, and by pass the mean loss of training and that of the held-out videos, NaN without any."""

    net: OnlineHead
    curve: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Video:
    """What the stem says [T + look_ahead, 2, C + 1], and targets of the outputs [T, ...]."""

    x: Tensor
    classes: Tensor
    others: Tensor
    hazard: Tensor
    going: Tensor


def train_online(
    features: Mapping[str, Features],
    targets: Mapping[str, OnlineTargets],
    stem: TeacherStem,
    config: OnlineConfig,
    how: OnlineTraining,
    progress: Callable[[int, int], None] | None = None,
    held_out: Mapping[str, tuple[Features, OnlineTargets]] | None = None,
) -> TrainedHead:
    """Train a head from nothing.

    Args:
        features: of each video, all of the same streams.
        targets: of the same videos.
        stem: makes what the head reads.
        config: sizes.
        how: steps and rates.
        progress: called with (epochs done, epochs).
        held_out: other videos; the pass is kept whose head agrees best with what was taught of them.

    Returns:
        The head, ready to be used, and how it got better.

    Raises:
        DataError: there are no videos, or features and targets are not of the same ones.
    """
    if not features or set(features) != set(targets):
        raise DataError(
            f"{len(features)} videos have features, {len(targets)} targets: they must be the same, one or more"
        )
    torch.manual_seed(how.seed)
    rng = np.random.default_rng(how.seed)
    net = OnlineHead(stem.classes, config)
    videos = [_video(stem(features[name], config.look_ahead), targets[name]) for name in features]
    _begin_as_told(net)
    optimizer = torch.optim.AdamW(net.parameters(), how.learning_rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.epochs)
    others = [_video(stem(x, config.look_ahead), t) for x, t in (held_out or {}).values()]
    curve: list[tuple[float, float]] = []
    best, kept = math.inf, net.state_dict()
    for epoch in range(how.epochs):
        net.train()
        pieces = [p for v in videos for p in _cut(v, config.look_ahead, how.length, rng)]
        order, total = rng.permutation(len(pieces)), 0.0
        for first in range(0, len(order), how.batch):
            loss = _loss(net, [pieces[i] for i in order[first : first + how.batch]], how)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(order[first : first + how.batch]) / len(order)
        schedule.step()
        curve.append((total, _agreement(net, others, how)))
        if curve[-1][1] < best or not others:
            best, kept = curve[-1][1], {n: p.clone() for n, p in net.state_dict().items()}
        if progress is not None:
            progress(epoch + 1, how.epochs)
        if others and all(loss > best for _, loss in curve[-how.patience :]):
            break
    net.load_state_dict(kept)
    return TrainedHead(net.eval(), curve)


def _agreement(net: OnlineHead, videos: Sequence[_Video], how: OnlineTraining) -> float:
    """Return the loss of whole videos without noise, a video's mean; NaN of none."""
    if not videos:
        return math.nan
    net.eval()
    plain, batches = replace(how, noise=0.0, shift=0.0), range(0, len(videos), how.batch)
    with torch.no_grad():
        of = [(len(some), float(_loss(net, some, plain))) for b in batches if (some := videos[b : b + how.batch])]
    return sum(n * loss for n, loss in of) / len(videos)


def _video(x: NDArray[np.float32], t: OnlineTargets) -> _Video:
    others = np.stack([t.actionness, t.start, t.end], axis=1)
    parts = (x, t.classes, others, t.hazard, t.going)
    return _Video(*(torch.from_numpy(np.ascontiguousarray(p)) for p in parts))


def _cut(video: _Video, ahead: int, length: int, rng: np.random.Generator) -> list[_Video]:
    """Cut a long video into pieces that begin elsewhere each time; what follows a piece is what it looks ahead to."""
    count = len(video.classes)
    first = int(rng.integers(length // 2)) if count > length else 0
    borders = [0, *range(first + length // 2, count - length // 2, length), count] if count > length else [0, count]
    return [
        _Video(video.x[a : b + ahead], *(p[a:b] for p in (video.classes, video.others, video.hazard, video.going)))
        for a, b in pairwise(borders)
    ]


def _begin_as_told(net: OnlineHead) -> None:
    """Begin with what the stem says: the class is likely where it says so, each output at its own place."""
    with torch.no_grad():
        net.each.weight[:, -READ:].zero_()
        net.each.weight[0, -READ + 1] = net.each.weight[1, -READ] = _SURE
        net.each.bias.fill_(-_SURE / 2)


def _loss(net: OnlineHead, videos: Sequence[_Video], how: OnlineTraining) -> Tensor:
    ahead = net.config.look_ahead
    x = torch.nn.utils.rnn.pad_sequence([v.x for v in videos], batch_first=True)
    if how.noise or how.shift:  # of each number anew, and of a whole piece's
        x = x + torch.randn_like(x) * how.noise + torch.randn(len(x), 1, *x.shape[2:]) * how.shift
    each, scalars, _ = net(x)
    total = torch.zeros(())
    for row, some, v in zip(each, scalars, videos, strict=True):
        count = len(v.classes)
        total = total + _cross(row[ahead : ahead + count, :, 0], v.classes) + _cross(row[:count, :, 1], v.classes)
        total = total + _cross(some[ahead : ahead + count, :3], v.others) / 3
        if v.going.any():
            total = total + _cross(some[:count][v.going, 3:], v.hazard[v.going][:, None]) / 3
    return total / len(videos)


def _cross(logits: Tensor, likely: Tensor) -> Tensor:
    """Cross-entropy summed over columns, mean over snippets."""
    return binary_cross_entropy_with_logits(logits, likely, reduction="none").sum(1).mean()
