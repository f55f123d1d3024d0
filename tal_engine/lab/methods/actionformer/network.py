"""The network: embedding, pyramid of local attention, heads for classes and borders, loss, and what is exported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....vocabulary import Vocabulary
from ...heads.interface import Batch
from ...heads.streams import joined, own_width
from ...nn.text import TextEncoder
from .blocks import SMALLEST_BLOCK, Block, ChannelNorm, Scale, Tower
from .config import Config
from .losses import distance_iou, focal
from .targets import assigned, moments


class Output(NamedTuple):
    """What the network says of the moments of all levels, one level after the other.

    logits [B, P, C]: of classes. distances [B, P, 2]: to start and end, in time steps of the level, not negative.
    mask [B, P]: 1 where the moment is on a real snippet.
    """

    logits: Tensor
    distances: Tensor
    mask: Tensor


def padded_length(length: int, levels: int) -> int:
    """Snippets with padding behind them: whole blocks of attention at every level, and at least one moment of padding.

    The public code pads to its training length, so that a trained network has seen padding behind the last snippet of
    every level. One moment of it is all that a convolution over three reaches; more of it changes nothing. There are
    two blocks at least, as a graph that was traced with a single one would be for a single one.

    >>> padded_length(96, 6), padded_length(97, 6)
    (128, 256)
    """
    stride = int(2 ** (levels - 1))
    unit = 2 * SMALLEST_BLOCK * stride
    return (length + stride - 1 + unit) // unit * unit


class ActionFormer(nn.Module):
    """See the package."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        c = config
        self.embed = nn.ModuleList(
            [nn.Conv1d(c.total if i == 0 else c.width, c.width, 3, padding=1, bias=False) for i in range(c.embedding)]
        )
        self.embed_norms = nn.ModuleList([ChannelNorm(c.width) for _ in range(c.embedding)])
        self.stem = nn.ModuleList([Block(c, 1, c.levels - 1) for _ in range(c.stem)])
        self.branch = nn.ModuleList([Block(c, 2, c.levels - 2 - i) for i in range(c.levels - 1)])
        self.norms = nn.ModuleList([ChannelNorm(c.width) for _ in range(c.levels)])
        self.class_tower, self.border_tower = (Tower(c.width, c.head_layers - 1) for _ in range(2))
        self.classifier = nn.Conv1d(c.width, classes, 3, padding=1)
        self.borders = nn.Conv1d(c.width, 2, 3, padding=1)
        self.scales = nn.ModuleList([Scale() for _ in range(c.levels)])
        for layer, value in ((self.classifier, -math.log((1 - c.prior) / c.prior)), (self.borders, 0.0)):
            if layer.bias is not None:
                nn.init.constant_(layer.bias, value)
        #: Running mean of the moments that learn a segment; see `Config.normalizer`.
        self.normalizer = c.normalizer

    def forward(self, streams: Mapping[str, Tensor], mask: Tensor | None = None) -> Output:
        """Streams [B, T, D] by name and mask [B, T], 0 where a snippet is padding, to what all moments say.

        Raises:
            UsageError: the streams are not as wide as the config says.
        """
        x, real = self._padded(streams, mask)
        for conv, norm in zip(self.embed, self.embed_norms, strict=True):
            x = functional.relu(norm(conv(x) * real))
        for block in self.stem:
            x = block(x, real)
        logits, distances, masks = [], [], []
        for level, norm in enumerate(self.norms):
            if level:
                real = real[:, :, ::2]
                x = self.branch[level - 1](x, real)
            normed = norm(x)
            logits.append(self.classifier(self.class_tower(normed, real)) * real)
            borders = self.borders(self.border_tower(normed, real)) * real
            distances.append(functional.relu(self.scales[level](borders)))
            masks.append(real)
        return Output(
            torch.cat(logits, -1).transpose(1, 2), torch.cat(distances, -1).transpose(1, 2), torch.cat(masks, -1)[:, 0]
        )

    def _padded(self, streams: Mapping[str, Tensor], mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """All streams side by side, [B, D, T'], zero where they are padding, and the mask [B, 1, T']."""
        own_width(streams, self.config.visual)
        x = joined(streams, tuple(self.config.visual)).transpose(1, 2)
        real = torch.ones_like(x[:, :1]) if mask is None else mask[:, None, :].to(x.dtype)
        more = padded_length(x.shape[-1], self.config.levels) - x.shape[-1]
        return functional.pad(x * real, (0, more)), functional.pad(real, (0, more))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """cls (focal) and reg (distance-IoU): sums over moments by the running mean of how many learn a segment.

        Where a video has a class at times that nobody told, no moment learns about that class: such videos say which
        classes are absent. (A term that asks for one moment that is sure of the class made the head worse: VTS, a
        quarter of the videos with segments, mAP@0.1:0.7 of one seed 42 with it and 67 without.)

        Raises:
            UsageError: the batch has no segments.
        """
        c, segments = self.config, batch.timed
        out = self(batch.streams, batch.mask)
        length = padded_length(next(iter(batch.streams.values())).shape[1], c.levels)
        with torch.autocast(out.logits.device.type, enabled=False):  # sums over thousands of moments
            logits, distances, real = out.logits.float(), out.distances.float(), out.mask > 0
            of = moments(length, c.strides, c.borders, logits)
            both = [assigned(s, self.classes, of, c.radius) for s in segments]
            labels, wanted = (torch.stack(x) for x in zip(*both, strict=True))
            positive = (labels.sum(-1) > 0) & real
            norm = self._normalizer(int(positive.sum()))
            smoothed = labels * (1 - c.smoothing) + c.smoothing / (self.classes + 1)
            each = focal(logits[real], smoothed[real], c.alpha, c.gamma)
            if batch.untimed is not None:
                each = each * (1 - batch.untimed[:, None]).expand_as(logits)[real]
            terms = {
                "cls": each.sum() / norm,
                "reg": c.reg_weight * distance_iou(distances[positive], wanted[positive]).sum() / norm,
            }
        if not bool(positive.any()):
            terms["reg"] = distances.sum() * 0  # with a gradient, and NaN where the network is
        return terms

    def _normalizer(self, positive: int) -> float:
        """Update the running mean after a batch with so many moments that learn a segment."""
        kept = self.config.normalizer_momentum
        self.normalizer = kept * self.normalizer + (1 - kept) * max(positive, 1)
        return self.normalizer

    def training_state(self) -> dict[str, Tensor]:
        """See `protocol.Remembering`."""
        return {"normalizer": torch.tensor(self.normalizer, dtype=torch.float64)}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """See `protocol.Remembering`."""
        self.normalizer = float(state["normalizer"])


class _Frozen(nn.Module):
    """Streams in by name; probabilities of classes [B, P, C], 0 at padding, and distances [B, P, 2] out by name."""

    #: See `export.to_onnx`: torch cannot prove that blocks put together again are as long as what was cut.
    unproven_lengths = True

    def __init__(self, net: ActionFormer) -> None:
        super().__init__()
        self.net = net

    def forward(self, **streams: Tensor) -> dict[str, Tensor]:
        out = self.net(streams)
        return {"score": torch.sigmoid(out.logits) * out.mask[..., None], "distance": out.distances}


def build(config: Config, vocabulary: Vocabulary, text: TextEncoder | None) -> ActionFormer:
    """Build the network; see `protocol.Method.build`. It reads no texts."""
    return ActionFormer(config, len(vocabulary))


def freeze(net: nn.Module) -> nn.Module:
    """Streams [B, T, D], by name, to what `options.PyramidOptions` describes; see `protocol.Method.freeze`."""
    if not isinstance(net, ActionFormer):
        raise TypeError(f"cannot freeze a {type(net).__name__} as ActionFormer")
    return _Frozen(net).eval()
