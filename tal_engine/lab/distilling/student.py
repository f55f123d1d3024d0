"""The student: few small pictures of a snippet to the features that the teacher makes of all of them.

Plain convolutions, batch normalisation that folds into them, ReLU and two linear layers: what every runtime has, also
in 8 bits. Frames of a group are channels of one picture, so the first layer sees what moves between them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .options import DistillOptions

#: Shares of red, green and blue in brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)
#: Widths of the layers, in multiples of the first.
_WIDTHS = (1, 2, 4, 4)
#: Pictures of `side` are halved so often; the regions that remain are 3 x 3.
_HALVED = 4
_REGIONS = 3
#: What differs from the mean picture counts so much more: most of a picture is background that does not move.
_MOTION = 4.0


def luma_of(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the brightness [..., H, W, 1] of colours [..., H, W, 3], rounded."""
    shares = np.asarray(LUMA, np.float32)
    return np.asarray(np.rint(frames @ shares)[..., None], np.uint8)


class Student(nn.Module):
    """Frames [B, n, side, side, 3] uint8 to features [B, dim] float32: the teacher's streams one after another.

    Args:
        options: the architecture.
        dim: width of all streams of the teacher together.
    """

    reads: Literal["frames", "flow"] = "frames"
    mean: Tensor
    deviation: Tensor

    def __init__(self, options: DistillOptions, dim: int) -> None:
        super().__init__()
        self.moments, self.colours = options.moments, options.colours
        #: Processor seconds of the training.
        self.spent = 0.0
        channels = (options.frames // options.moments + 1) * (1 if options.colours == "luma" else 3)
        widths = [options.width * m for m in _WIDTHS]
        layers = [_block(channels, widths[0], 5)]
        layers += [_block(a, b, 3) for a, b in pairwise(widths)]
        cells = options.side // 2**_HALVED
        step = cells // _REGIONS
        self.trunk = nn.Sequential(*layers, nn.AvgPool2d(cells - (_REGIONS - 1) * step, step), nn.Flatten())
        hidden = 4 * options.width
        self.squeeze = nn.Linear(_REGIONS**2 * widths[-1], 2 * hidden)
        self.mix = nn.Linear(2 * hidden * options.moments, 2 * hidden)
        self.out = nn.Linear(2 * hidden, dim)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def forward(self, frames: Tensor) -> Tensor:
        """Give the features of snippets as they are decoded."""
        x = frames.float()
        if self.colours == "luma":
            red, green, blue = (x[..., i] * share for i, share in enumerate(LUMA))
            return self.embed((red + green + blue)[..., None]) * self.deviation + self.mean
        return self.embed(x) * self.deviation + self.mean

    def embed(self, pictures: Tensor) -> Tensor:
        """Give features [B, dim], of mean 0 and deviation 1, of pictures [B, n, side, side, colours] in 0..255."""
        b, n, h, w, c = pictures.shape
        x = (pictures / 127.5 - 1.0).permute(0, 1, 4, 2, 3).reshape(b * self.moments, n // self.moments, c, h, w)
        mean = x.mean(1, keepdim=True)
        x = torch.cat([mean, (x - mean) * _MOTION], 1).flatten(1, 2)
        x = functional.relu(self.squeeze(self.trunk(x))).reshape(b, -1)
        return self.out(functional.relu(self.mix(x)))

    def scale_to(self, features: Tensor) -> None:
        """Take mean and deviation of the teacher's features [N, dim]; columns that never change stay as they are."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(1e-4))

    def scaled(self, features: Tensor) -> Tensor:
        """Scale the teacher's features [..., dim] as `embed` gives them."""
        return (features - self.mean) / self.deviation


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def parameters_of(net: nn.Module) -> int:
    """Count a network's parameters."""
    return sum(p.numel() for p in net.parameters())
