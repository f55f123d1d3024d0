"""Stored 4:2:0 frames to scaled RGB, sample by sample from the definitions; see `features.pixel_conversion`."""

from __future__ import annotations

import math

import numpy as np

LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def planes(data, width, height, kind):
    """Y [H, W], U and V of the same size: each chroma sample covers two rows and two columns."""
    rows, columns = math.ceil(height / 2), math.ceil(width / 2)
    y = data[: width * height].reshape(height, width)
    rest = data[width * height :]
    if kind == "nv12":
        u, v = rest[0::2].reshape(rows, columns), rest[1::2].reshape(rows, columns)
    else:
        u, v = rest[: rows * columns].reshape(rows, columns), rest[rows * columns :].reshape(rows, columns)
    whole = [np.array([[c[i // 2, j // 2] for j in range(width)] for i in range(height)]) for c in (u, v)]
    return [p.astype(np.float64) for p in (y, *whole)]


def scaled_size(height, width, resize):
    scale = resize / min(height, width)
    return max(round(height * scale), resize), max(round(width * scale), resize)


def sample(row, place, step, area):
    """One sample of a side: the mean of what it covers, or what lies at its centre between two neighbours."""
    if area:
        left, right = place * step, (place + 1) * step
        shares = [max(min(k + 1, right) - max(k, left), 0) for k in range(len(row))]
        return sum(s * x for s, x in zip(shares, row, strict=True)) / sum(shares)
    at = min(max((place + 0.5) * step - 0.5, 0), len(row) - 1)
    low = min(int(at), max(len(row) - 2, 0))
    high = min(low + 1, len(row) - 1)
    return row[low] + (at - low) * (row[high] - row[low])


def scaled(plane, resize, crop, interpolation):
    height, width = plane.shape
    if not resize:
        return plane
    tall, wide = scaled_size(height, width, resize)
    area = interpolation == "area" and resize < min(height, width)
    top, left = (tall - crop) // 2, (wide - crop) // 2
    down = np.array([[sample(column, top + i, height / tall, area) for i in range(crop)] for column in plane.T]).T
    return np.array([[sample(row, left + j, width / wide, area) for j in range(crop)] for row in down])


def rgb(y, u, v, matrix, full):
    """ITU-R BT.601, BT.709, BT.2020: red is Y + 2 (1 - Kr) V, blue is Y + 2 (1 - Kb) U, green is what is left of Y.

    In whole numbers as libswscale has it: each coefficient in 1/8192, each product cut downwards.
    """
    red, blue = LUMA[matrix]
    green = 1 - red - blue
    black, luma, chroma = (0, 1, 1) if full else (16, 255 / 219, 255 / 224)

    def part(codes, share):
        return np.array([[math.floor(round(8192 * share) * int(c) / 8192) for c in row] for row in codes])

    bright, u, v = part(y - black, luma), u - 128, v - 128
    r = bright + part(v, chroma * 2 * (1 - red))
    g = bright + part(u, -chroma * 2 * (1 - blue) * blue / green) + part(v, -chroma * 2 * (1 - red) * red / green)
    b = bright + part(u, chroma * 2 * (1 - blue))
    return np.clip(np.stack([r, g, b], -1), 0, 255)


def picture(data, width, height, kind, matrix, full, resize, crop, interpolation):
    """[H, W, 3] of 0..255, not rounded after the scaling."""
    whole = rgb(*planes(data, width, height, kind), matrix, full)
    return np.stack([scaled(whole[..., c], resize, crop, interpolation) for c in range(3)], -1)


def picture_of_planes(data, width, height, kind, matrix, full, resize, crop):
    """[crop, crop, 3] of real numbers in 0..255: planes are scaled, then converted; nothing is rounded between."""
    y, u, v = (scaled(p, resize, crop, "area") for p in planes(data, width, height, kind))
    red, blue = LUMA[matrix]
    green = 1 - red - blue
    black, luma, chroma = (0, 1, 1) if full else (16, 255 / 219, 255 / 224)
    bright, u, v = luma * (y - black), chroma * (u - 128), chroma * (v - 128)
    from_u, from_v = 2 * (1 - blue), 2 * (1 - red)
    g = bright - (blue * from_u * u + red * from_v * v) / green
    return np.clip(np.stack([bright + from_v * v, g, bright + from_u * u], -1), 0, 255)
