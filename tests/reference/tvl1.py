"""A slow TV-L1: OpenCV's own resize, remap and median filter around the equations, written out case by case."""

from __future__ import annotations

import cv2
import numpy as np


def tvl1(before, after, *, scales=5, step=0.8, warps=5, inner=30, outer=10, epsilon=0.01):
    """Flow [H, W, 2] of two grey pictures [H, W], 0..255."""
    levels = [(before.astype(np.float32), after.astype(np.float32))]
    while len(levels) < scales:
        smaller = tuple(cv2.resize(x, None, fx=step, fy=step) for x in levels[-1])
        if min(smaller[0].shape) < 16:
            break
        levels.append(smaller)
    u = np.zeros((2, *levels[-1][0].shape), np.float32)
    for a, b in reversed(levels):
        if u.shape[1:] != a.shape:
            u = np.stack([cv2.resize(c, a.shape[::-1]) for c in u]) / np.float32(step)
        u = one_scale(a, b, u, warps, inner, outer, epsilon)
    return np.moveaxis(u, 0, -1)


def one_scale(a, b, u, warps, inner, outer, epsilon, tau=0.25, attachment=0.15, theta=0.3):
    h, w = a.shape
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    edge = np.pad(b, 1, mode="edge")
    slopes = (edge[1:-1, 2:] - edge[1:-1, :-2]) / 2, (edge[2:, 1:-1] - edge[:-2, 1:-1]) / 2
    p = np.zeros((2, 2, h, w), np.float32)  # component of the flow, direction
    for _ in range(warps):
        bw, bx, by = (cv2.remap(x, columns + u[0], rows + u[1], cv2.INTER_CUBIC) for x in (b, *slopes))
        grad = np.stack([bx, by])
        square = bx**2 + by**2
        constant = bw - (grad * u).sum(0) - a
        error = np.inf
        for _ in range(outer):
            if error <= epsilon**2 * h * w:
                break
            u = np.stack([cv2.medianBlur(c, 5) for c in u])
            for _ in range(inner):
                v = u + threshold(constant + (grad * u).sum(0), grad, square, attachment * theta)
                new = np.stack([v[c] + theta * divergence(*p[c]) for c in range(2)])
                error = float(((new - u) ** 2).sum())
                u = new
                for c in range(2):
                    g = forward(u[c])
                    p[c] = (p[c] + tau / theta * g) / (1 + tau / theta * np.hypot(*g))
                if error <= epsilon**2 * h * w:
                    break
    return u


def threshold(rho, grad, square, limit):
    out = np.zeros_like(grad)
    below, above = rho < -limit * square, rho > limit * square
    between = ~below & ~above & (square > np.finfo(np.float32).eps)
    out[:, below] = limit * grad[:, below]
    out[:, above] = -limit * grad[:, above]
    out[:, between] = -rho[between] / square[between] * grad[:, between]
    return out


def forward(x):
    out = np.zeros((2, *x.shape), np.float32)
    out[0, :, :-1] = x[:, 1:] - x[:, :-1]
    out[1, :-1] = x[1:] - x[:-1]
    return out


def divergence(px, py):
    return np.diff(px, axis=1, prepend=np.float32(0)) + np.diff(py, axis=0, prepend=np.float32(0))
