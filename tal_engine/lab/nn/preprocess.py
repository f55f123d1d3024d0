"""Resize, crop and normalise pictures of any size inside a graph.

A resize is two matrices of weights, made in the graph from the sizes that come in, and two products. No operator is
anything a runtime lacks, and every runtime sees the same pixels. Three methods, after the tools that public encoders
were trained with: Pillow's bicubic (a = -0.5) and bilinear ("triangle"), both widened where they shrink, and OpenCV's
bilinear (no widening).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import UsageError

#: CLIP's and ImageNet's mean and standard deviation of channels, for values in 0..1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

Method = Literal["bicubic", "triangle", "bilinear"]
Fit = Literal["shorter", "stretch"]

#: What records of features say.
_NAMES = {"bicubic": "bicubic, antialiased", "triangle": "bilinear, antialiased", "bilinear": "bilinear"}


class Preprocess(nn.Module):
    """uint8 pictures [N, H, W, 3] of any H and W to float32 [N, 3, crop, crop].

    Pillow's methods round to whole values after the horizontal and after the vertical pass, as it does; bilinear once.

    Args:
        resize: pixels of the shorter side ("shorter"), or of both ("stretch").
        crop: side of the square that is cut from the centre.
        method: "bicubic", "triangle" or "bilinear".
        fit: "shorter" keeps the aspect; the longer side is floor(resize * longer / shorter), as in torchvision.
        mean, std: of channels, for values in 0..1. Without them values stay 0..255.

    Raises:
        UsageError: a crop that is larger than the resize.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        resize: int,
        crop: int,
        *,
        method: Method,
        fit: Fit = "shorter",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < crop <= resize:
            raise UsageError(f"crop is {crop}, must be in 1..resize ({resize})")
        self.resize, self.crop, self.method, self.fit = resize, crop, method, fit
        self.normalises = mean is not None
        # Not in the state dict: they are no weights, and the hash of an encoder is that of its weights.
        self.register_buffer("mean", _channels(mean or (0.0, 0.0, 0.0)), persistent=False)
        self.register_buffer("std", _channels(std or (1 / 255, 1 / 255, 1 / 255)), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        height, width = (torch.scalar_tensor(n, dtype=torch.int64) for n in frames.shape[1:3])
        shorter = torch.minimum(height, width)
        sizes = [self.resize * n // (shorter if self.fit == "shorter" else n) for n in (height, width)]
        rows, columns = (
            self._weights(torch.arange(count), n, size)
            for count, n, size in zip(frames.shape[1:3], (height, width), sizes, strict=True)
        )
        x = frames.permute(0, 3, 1, 2).float() @ columns.T
        if self.method != "bilinear":
            x = _whole(x)
        x = _whole(rows @ x)
        return (x / 255.0 - self.mean) / self.std

    def _weights(self, inputs: Tensor, n: Tensor, size: Tensor) -> Tensor:
        """Compute the weight of each of the n inputs in the `crop` middle outputs of `size`: [crop, n]."""
        spare = size - self.crop
        half = spare // 2
        first = half + spare % 2 * (half % 2)  # torchvision's round() of a half: to the even side
        outputs = torch.arange(self.crop) + first
        # Distances of centres, times 2 * size: whole numbers, so nothing is lost to rounding in large pictures.
        centre = (2 * outputs + 1) * n
        if self.method == "bilinear":  # beyond the outermost centres the border repeats
            centre = torch.minimum(torch.maximum(centre, size), (2 * n - 1) * size)
            distance = (((2 * inputs + 1) * size)[None] - centre[:, None]).float() / (2 * size).float()
            return (1.0 - distance.abs()).clamp_min(0.0)
        distance = ((2 * inputs + 1) * size)[None] - centre[:, None]
        far = distance.float().abs() / (2 * torch.maximum(n, size)).float()
        weights = _cubic(far) if self.method == "bicubic" else (1.0 - far).clamp_min(0.0)
        return weights / weights.sum(1, keepdim=True)

    def describe(self) -> dict[str, str]:
        """Describe what is done, for the contract of features."""
        side = "shorter side" if self.fit == "shorter" else "both sides"
        mean, std = ([f"{v:.4g}" for v in b.flatten().tolist()] for b in (self.mean, self.std))
        return {
            "size": f"{side} to {self.resize}, {_NAMES[self.method]}",
            "crop": f"centre {self.crop}",
            "values": f"0..1, minus {' '.join(mean)}, over {' '.join(std)}" if self.normalises else "0..255",
        }


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(3, 1, 1)


def _whole(x: Tensor) -> Tensor:
    """Round to 0..255, halves up."""
    return torch.floor(x + 0.5).clamp(0.0, 255.0)


def _cubic(t: Tensor) -> Tensor:
    """Evaluate Keys' cubic convolution with a = -0.5 at distances t >= 0."""
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return torch.where(t < 1.0, near, torch.where(t < 2.0, far, torch.zeros_like(t)))
