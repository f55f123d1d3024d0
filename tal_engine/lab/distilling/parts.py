"""The networks of a student: each reads frames or flow of a snippet and gives features.

Plain convolutions, batch normalisation that folds into them, ReLU and linear layers: what every runtime has, also in 8
bits. Without flow, frames of a group are channels of one picture, so the first layer sees what moves between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .options import DistillOptions, Reads

#: Shares of red, green and blue in brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)
#: Widths of the layers, in multiples of the first: of a part that is alone, and of those that read moment by moment.
_WIDTHS, _MOMENT_WIDTHS = (1, 2, 4, 4), (1, 2, 3, 3)
#: Pictures of `side` are halved so often; the regions that remain are 3 x 3.
_HALVED = 4
_REGIONS = 3
#: What differs from the mean picture counts so much more: most of a picture is background that does not move.
_MOTION = 4.0
#: Share of what the linear layers read that is left out in training: few videos are soon known by heart.
_DROPPED = 0.2
#: Beside flow, every other frame is read.
EVERY = 2
#: Pixels of flow in both directions that become one cell, as DIS at its ultrafast preset finds flow at that size and
#: enlarges it; and how many pixels of motion count as 1.
_CELL, _PIXELS = 4, 4.0


def luma_of(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the brightness [..., H, W, 1] of colours [..., H, W, 3], rounded."""
    shares = np.asarray(LUMA, np.float32)
    return np.asarray(np.rint(frames @ shares)[..., None], np.uint8)


class Part(nn.Module):
    """A network of a student, and the mean and deviation of the features that it gives.

    Args:
        dim: width of the features.
    """

    reads: Reads = "frames"
    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def embed(self, kept: Tensor) -> Tensor:
        """Give features [B, dim], of mean 0 and deviation 1, of what `pictures.kept_of` keeps of snippets."""
        raise NotImplementedError

    def features(self, kept: Tensor) -> Tensor:
        """Give features [B, dim] on the scale of the teacher's."""
        return self.embed(kept) * self.deviation + self.mean


class Alone(Part):
    """All of a student that reads no flow: frames [B, n, side, side, 3] uint8 to features [B, dim] float32.

    Args:
        options: the architecture.
        dim: width of all streams of the teacher together.
    """

    def __init__(self, options: DistillOptions, dim: int) -> None:
        super().__init__(dim)
        self.moments, self.colours = options.moments, options.colours
        channels = (options.frames // options.moments + 1) * (1 if options.colours == "luma" else 3)
        widths = [options.width * m for m in _WIDTHS]
        layers = [_block(channels, widths[0], 5, 2), *(_block(a, b, 3, 2) for a, b in pairwise(widths))]
        self.trunk = nn.Sequential(*layers, *_regions(options.side))
        hidden = 4 * options.width
        self.squeeze = nn.Linear(_REGIONS**2 * widths[-1], 2 * hidden)
        self.mix = nn.Linear(2 * hidden * options.moments, 2 * hidden)
        self.out = nn.Linear(2 * hidden, dim)

    def forward(self, frames: Tensor) -> Tensor:
        """Give the features of snippets as they are decoded."""
        return self.features(_coloured(frames.float(), self.colours))

    def embed(self, kept: Tensor) -> Tensor:
        """See `Part.embed`; pictures [B, n, side, side, colours] in 0..255."""
        b, n, h, w, c = kept.shape
        x = (kept / 127.5 - 1.0).permute(0, 1, 4, 2, 3).reshape(b * self.moments, n // self.moments, c, h, w)
        mean = x.mean(1, keepdim=True)
        x = torch.cat([mean, (x - mean) * _MOTION], 1).flatten(1, 2)
        x = functional.relu(self.squeeze(self.trunk(x))).reshape(b, -1)
        return self.out(functional.relu(self.mix(x)))


class _Moments(Part):
    """Pictures of `moments` through one trunk, and what they give together, to features."""

    def __init__(self, options: DistillOptions, dim: int, first: nn.Sequential) -> None:
        super().__init__(dim)
        self.moments = options.moments
        widths = [options.width * m for m in _MOMENT_WIDTHS]
        inner = [_block(a, b, 3, 2) for a, b in pairwise(widths[:-1])]
        self.trunk = nn.Sequential(first, *inner, _block(widths[-2], widths[-1], 3, 1), *_regions(options.side))
        hidden = 4 * options.width
        self.dropout = nn.Dropout(_DROPPED)
        self.squeeze = nn.Linear(_REGIONS**2 * widths[-1], hidden)
        self.mix = nn.Linear(hidden * options.moments, 2 * hidden)
        self.out = nn.Linear(2 * hidden, dim)

    def over_time(self, x: Tensor) -> Tensor:
        """Give features [B, dim] of pictures [B * moments, C, H, W]."""
        x = functional.relu(self.squeeze(self.dropout(self.trunk(x))))
        x = self.dropout(x.reshape(-1, self.moments * self.squeeze.out_features))
        return self.out(functional.relu(self.mix(x)))


class Frames(_Moments):
    """What a student sees beside flow: every other frame of frames [B, n, side, side, 3] uint8, at half its size.

    Args:
        options: the architecture.
        dim: width of the features.
    """

    def __init__(self, options: DistillOptions, dim: int) -> None:
        channels = options.frames // EVERY // options.moments * (1 if options.colours == "luma" else 3)
        super().__init__(options, dim, _block(channels, options.width, 5, 2))
        self.colours = options.colours

    def forward(self, frames: Tensor) -> Tensor:
        """Give the features of snippets as they are decoded."""
        return self.features(halved(_coloured(frames[:, ::EVERY].float(), self.colours)))

    def embed(self, kept: Tensor) -> Tensor:
        """See `Part.embed`; pictures [B, n / 2, colours, side / 2, side / 2] in 0..255."""
        b, n, c, h, w = kept.shape
        return self.over_time((kept / 127.5 - 1.0).reshape(b * self.moments, n * c // self.moments, h, w))


class Flow(_Moments):
    """What a student sees of flow [B, n, side, side, 2] float32, in pixels.

    Args:
        options: the architecture.
        dim: width of the features.
    """

    reads: Reads = "flow"

    def __init__(self, options: DistillOptions, dim: int) -> None:
        super().__init__(options, dim, _block(2 * options.frames // options.moments, options.width, 5, 1))

    def forward(self, flow: Tensor) -> Tensor:
        """Give the features of snippets' flow."""
        return self.features(coarse(flow))

    def embed(self, kept: Tensor) -> Tensor:
        """See `Part.embed`; flow [B, n, 2, side / 4, side / 4] in pixels."""
        b, n, _, h, w = kept.shape
        return self.over_time((kept / _PIXELS).reshape(b * self.moments, 2 * n // self.moments, h, w))


def halved(pictures: Tensor) -> Tensor:
    """Take the means of 2 x 2 pixels: pictures [B, n, side, side, C] to [B, n, C, side / 2, side / 2]."""
    b, n, h, w, c = pictures.shape
    return functional.avg_pool2d(pictures.permute(0, 1, 4, 2, 3).flatten(0, 1), 2).reshape(b, n, c, h // 2, w // 2)


def coarse(flow: Tensor) -> Tensor:
    """Take the means of cells: flow [B, n, side, side, 2] to [B, n, 2, side / 4, side / 4]."""
    b, n, h, w, _ = flow.shape
    # x and y lie side by side, so a row of flow is a row of one picture twice as wide: nothing has to be moved.
    mean = torch.zeros(2, 1, _CELL, 2 * _CELL)
    mean[0, :, :, 0::2], mean[1, :, :, 1::2] = 1 / _CELL**2, 1 / _CELL**2
    x = functional.conv2d(flow.reshape(b * n, 1, h, 2 * w), mean, stride=(_CELL, 2 * _CELL))
    return x.reshape(b, n, 2, h // _CELL, w // _CELL)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _regions(side: int) -> Sequence[nn.Module]:
    """Make the mean of each of 3 x 3 regions of a picture that was halved."""
    cells = side // 2**_HALVED
    step = cells // _REGIONS
    return nn.AvgPool2d(cells - (_REGIONS - 1) * step, step), nn.Flatten()


def _coloured(frames: Tensor, colours: str) -> Tensor:
    """Return the brightness of colours [..., 3] where a part reads that alone."""
    if colours != "luma":
        return frames
    red, green, blue = (frames[..., i] * share for i, share in enumerate(LUMA))
    return (red + green + blue)[..., None]


def parameters_of(net: nn.Module) -> int:
    """Count a network's parameters."""
    return sum(p.numel() for p in net.parameters())
