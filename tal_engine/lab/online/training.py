"""Trains an `OnlineHead` on the targets of whole videos; what follows each video stands for the end of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...errors import DataError, require
from ...records import Features
from .network import OnlineConfig, OnlineHead
from .targets import OnlineTargets


@dataclass(frozen=True, kw_only=True)
class OnlineTraining:
    """How an online head is trained.

    epochs: times that each video is seen. batch: videos a step. noise: of the normalized features, a standard
    deviation; shift: the same for a whole piece. length: snippets of a piece, as long videos are cut. seed: of
    everything that is drawn.
    """

    epochs: int = 60
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    noise: float = 0.2
    shift: float = 0.1
    length: int = 160
    seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 100_000, "epochs", self.epochs, "in 1..100000")
        require(1 <= self.batch <= 4096, "batch", self.batch, "in 1..4096")
        require(8 <= self.length <= 100_000, "length", self.length, "in 8..100000")
        require(0 < self.learning_rate < 1, "learning_rate", self.learning_rate, "in (0, 1)")
        for name in ("weight_decay", "noise", "shift"):
            require(0 <= getattr(self, name) < 100, name, getattr(self, name), "in [0, 100)")


@dataclass(frozen=True)
class _Video:
    """Features [T + look_ahead, D] with zeros behind them, and targets of the outputs [T, ...]."""

    x: Tensor
    classes: Tensor
    others: Tensor
    hazard: Tensor
    going: Tensor


def train_online(
    features: Mapping[str, Features],
    targets: Mapping[str, OnlineTargets],
    classes: int,
    config: OnlineConfig,
    how: OnlineTraining,
    progress: Callable[[int, int], None] | None = None,
) -> OnlineHead:
    """Train a head from nothing.

    Args:
        features: of each video, all of the same streams.
        targets: of the same videos.
        classes: how many.
        config: sizes.
        how: steps and rates.
        progress: called with (epochs done, epochs).

    Returns:
        The head, ready to be used.

    Raises:
        DataError: there are no videos, or features and targets are not of the same ones.
    """
    if not features or set(features) != set(targets):
        raise DataError(
            f"{len(features)} videos have features, {len(targets)} targets: they must be the same, one or more"
        )
    torch.manual_seed(how.seed)
    rng = np.random.default_rng(how.seed)
    streams = {name: x.shape[1] for name, x in next(iter(features.values())).streams.items()}
    net = OnlineHead(streams, classes, config)
    videos = [_video(features[name], targets[name], list(streams), config.look_ahead) for name in features]
    _normalize(net, videos)
    _begin_rare(net, videos)
    optimizer = torch.optim.AdamW(net.parameters(), how.learning_rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.epochs)
    net.train()
    for epoch in range(how.epochs):
        pieces = [p for v in videos for p in _cut(v, config.look_ahead, how.length, rng)]
        order = rng.permutation(len(pieces))
        for first in range(0, len(order), how.batch):
            loss = _loss(net, [pieces[i] for i in order[first : first + how.batch]], how)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        if progress is not None:
            progress(epoch + 1, how.epochs)
    return net.eval()


def _video(features: Features, t: OnlineTargets, streams: Sequence[str], ahead: int) -> _Video:
    x = np.concatenate([features.streams[name] for name in streams], axis=1)
    x = np.concatenate([x, np.zeros((ahead, x.shape[1]), np.float32)])
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


def _normalize(net: OnlineHead, videos: Sequence[_Video]) -> None:
    every = torch.cat([v.x[: len(v.classes)] for v in videos])
    net.mean.copy_(every.mean(0))
    net.scale.copy_(1 / every.std(0, correction=0).clamp_min(1e-3))


def _begin_rare(net: OnlineHead, videos: Sequence[_Video]) -> None:
    """Begin with the outputs as likely as they are on average."""
    share = torch.cat([v.classes for v in videos]).mean().clamp(1e-3, 0.5)
    with torch.no_grad():
        net.out.bias[: 2 * net.classes].fill_(float(torch.logit(share)))


def _loss(net: OnlineHead, videos: Sequence[_Video], how: OnlineTraining) -> Tensor:
    ahead, classes = net.config.look_ahead, net.classes
    x = torch.nn.utils.rnn.pad_sequence([v.x for v in videos], batch_first=True)
    if how.noise or how.shift:  # of each feature anew, and of a whole video's
        spread = torch.randn_like(x) * how.noise + torch.randn(len(x), 1, x.shape[2]) * how.shift
        x = x + spread / net.scale
    logits, _ = net(x)
    total = torch.zeros(())
    for row, v in zip(logits, videos, strict=True):
        count = len(v.classes)
        delayed, causal = row[ahead : ahead + count], row[:count]
        total = (
            total + binary_cross_entropy_with_logits(delayed[:, :classes], v.classes, reduction="none").sum(1).mean()
        )
        now = causal[:, classes : 2 * classes]
        total = total + binary_cross_entropy_with_logits(now, v.classes, reduction="none").sum(1).mean()
        others = delayed[:, 2 * classes : 2 * classes + 3]
        total = total + binary_cross_entropy_with_logits(others, v.others, reduction="none").sum(1).mean() / 3
        if v.going.any():
            total = total + binary_cross_entropy_with_logits(causal[v.going, -1], v.hazard[v.going]) / 3
    return total / len(videos)
