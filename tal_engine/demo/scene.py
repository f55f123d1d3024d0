"""Where it happens: walls, floors, clutter, props and things that move on their own.

A scene is painted once on a canvas larger than the picture, so that a shaking camera only
shifts it; movers are drawn over it in every frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Generator = np.random.Generator

MARGIN = 16


def colour(rng: Generator, low: int = 30, high: int = 225, vivid: float = 1.0) -> Colour:
    """Draw a random RGB colour; `vivid` below 1 pulls it towards grey, as most walls are."""
    rgb = rng.integers(low, high, 3)
    r, g, b = (rgb * vivid + rgb.mean() * (1 - vivid)).astype(int)
    return int(r), int(g), int(b)


def _box(canvas: Image, x: float, y: float, w: float, h: float, c: Colour) -> None:
    cv2.rectangle(canvas, (round(x), round(y)), (round(x + w), round(y + h)), c, -1, cv2.LINE_AA)
    dark = tuple(int(v * 0.6) for v in c)
    cv2.rectangle(canvas, (round(x), round(y)), (round(x + w), round(y + h)), dark, 1, cv2.LINE_AA)


def _wall_bars(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    for k in range(7):
        _box(canvas, x - 0.25 * s, y - (0.3 + 0.2 * k) * s, 0.5 * s, 0.04 * s, c)
    for dx in (-0.27, 0.23):
        _box(canvas, x + dx * s, y - 1.6 * s, 0.05 * s, 1.6 * s, c)


def _punching_bag(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    cv2.line(canvas, (round(x), 0), (round(x), round(y - 1.2 * s)), (70, 70, 70), 1, cv2.LINE_AA)
    _box(canvas, x - 0.12 * s, y - 1.2 * s, 0.24 * s, 0.7 * s, c)


def _treadmill(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    _box(canvas, x - 0.4 * s, y - 0.12 * s, 0.8 * s, 0.12 * s, (50, 50, 55))
    cv2.line(canvas, (round(x + 0.35 * s), round(y)), (round(x + 0.45 * s), round(y - 0.8 * s)), c, 3, cv2.LINE_AA)
    _box(canvas, x + 0.3 * s, y - 0.88 * s, 0.25 * s, 0.1 * s, c)


def _skipping_rope(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    cv2.ellipse(
        canvas, (round(x), round(y - 0.05 * s)), (round(0.3 * s), round(0.1 * s)), 10, 0, 300, c, 2, cv2.LINE_AA
    )
    _box(canvas, x + 0.2 * s, y - 0.2 * s, 0.12 * s, 0.05 * s, (40, 40, 40))


def _football(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    r = round(0.12 * s)
    cv2.circle(canvas, (round(x), round(y) - r), r, (235, 235, 235), -1, cv2.LINE_AA)
    cv2.circle(canvas, (round(x), round(y) - r), max(r // 2, 1), (30, 30, 30), -1, cv2.LINE_AA)


def _step(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    _box(canvas, x - 0.35 * s, y - 0.15 * s, 0.7 * s, 0.15 * s, c)
    _box(canvas, x - 0.3 * s, y - 0.05 * s, 0.6 * s, 0.05 * s, (60, 60, 60))


def _kettlebell(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    cv2.circle(canvas, (round(x), round(y - 0.12 * s)), round(0.12 * s), c, -1, cv2.LINE_AA)
    cv2.ellipse(canvas, (round(x), round(y - 0.25 * s)), (round(0.07 * s), round(0.07 * s)), 0, 180, 360, c, 3)


def _chair(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    for dx in (-0.18, 0.15):
        _box(canvas, x + dx * s, y - 0.42 * s, 0.04 * s, 0.42 * s, c)
    _box(canvas, x - 0.2 * s, y - 0.46 * s, 0.42 * s, 0.06 * s, c)
    _box(canvas, x + 0.15 * s, y - 0.95 * s, 0.06 * s, 0.5 * s, c)


def _barbell(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    cv2.line(canvas, (round(x - 0.5 * s), round(y - 0.2 * s)), (round(x + 0.5 * s), round(y - 0.2 * s)), (150,) * 3, 2)
    for dx in (-0.45, 0.4):
        _box(canvas, x + dx * s, y - 0.4 * s, 0.06 * s, 0.4 * s, c)


def _yoga_mat(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    corners = np.array([[-0.5, 0], [0.5, 0], [0.35, -0.16], [-0.35, -0.16]]) * s + (x, y)
    cv2.fillConvexPoly(canvas, np.round(corners).astype(np.int32), c, cv2.LINE_AA)


def _hoop(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    cv2.ellipse(canvas, (round(x), round(y - 0.4 * s)), (round(0.3 * s), round(0.38 * s)), 8, 0, 360, c, 3, cv2.LINE_AA)


def _window(canvas: Image, x: float, y: float, s: float, c: Colour) -> None:
    _box(canvas, x - 0.35 * s, y - 1.6 * s, 0.7 * s, 0.8 * s, (190, 215, 235))
    for dx, dy, w, h in ((-0.02, -1.6, 0.04, 0.8), (-0.35, -1.22, 0.7, 0.04)):
        _box(canvas, x + dx * s, y + dy * s, w * s, h * s, c)


PROP_PAINTERS: dict[str, Callable[[Image, float, float, float, Colour], None]] = {
    "wall bars": _wall_bars,
    "punching bag": _punching_bag,
    "treadmill": _treadmill,
    "skipping rope": _skipping_rope,
    "football": _football,
    "step": _step,
    "kettlebell": _kettlebell,
    "chair": _chair,
    "barbell": _barbell,
    "yoga mat": _yoga_mat,
    "hoop": _hoop,
    "window": _window,
}


@dataclass(frozen=True)
class Mover:
    """Something that moves without being the action: a ball, a lamp, a screen, a passer-by."""

    kind: str
    x: float
    y: float
    size: float
    rate: float
    phase: float
    tint: Colour

    def draw(self, picture: Image, t: float) -> None:
        """Draw the mover at time t (seconds) into a picture."""
        h, w = picture.shape[:2]
        swing = np.sin(2 * np.pi * (self.rate * t + self.phase))
        x, y, r = self.x * w, self.y * h, max(self.size * h, 2)
        if self.kind == "ball":
            y = 0.85 * h - abs(swing) * 0.4 * h
            cv2.circle(picture, (round(x), round(y)), round(r), self.tint, -1, cv2.LINE_AA)
        elif self.kind == "lamp":
            x += swing * 0.12 * w
            cv2.line(picture, (round(self.x * w), 0), (round(x), round(0.2 * h)), (60, 60, 60), 1, cv2.LINE_AA)
            cv2.circle(picture, (round(x), round(0.2 * h)), round(r), self.tint, -1, cv2.LINE_AA)
        elif self.kind == "screen":
            shade = tuple(int(np.clip(v * (0.7 + 0.3 * swing), 0, 255)) for v in self.tint)
            cv2.rectangle(picture, (round(x), round(y)), (round(x + 3 * r), round(y + 2 * r)), shade, -1)
        else:  # a passer-by far away, walking through
            x = ((self.rate * t * 0.3 + self.phase) % 1.4 - 0.2) * w
            step = 0.4 * r * np.sin(2 * np.pi * (1.8 * t + self.phase))
            foot, hip = round(0.62 * h), round(0.62 * h - 2.2 * r)
            for dx in (step, -step):
                cv2.line(picture, (round(x), hip), (round(x + dx), foot), self.tint, 2, cv2.LINE_AA)
            cv2.line(picture, (round(x), hip), (round(x), round(hip - 2 * r)), self.tint, 4, cv2.LINE_AA)
            cv2.circle(picture, (round(x), round(hip - 2.8 * r)), round(0.7 * r), (190, 150, 120), -1, cv2.LINE_AA)


class Scene:
    """A painted background with its movers and its light."""

    def __init__(self, seed: int, props: tuple[str, ...], height: int, width: int) -> None:
        rng = np.random.default_rng(seed)
        self._canvas = _paint(rng, props, height + 2 * MARGIN, width + 2 * MARGIN)
        kinds = ["ball", "lamp", "screen", "passer-by"]
        self._movers = [
            Mover(
                kind=str(rng.choice(kinds)),
                x=float(rng.choice([rng.uniform(0.02, 0.22), rng.uniform(0.78, 0.95)])),
                y=float(rng.uniform(0.1, 0.4)),
                size=float(rng.uniform(0.02, 0.05)),
                rate=float(rng.uniform(0.2, 1.5)),
                phase=float(rng.random()),
                tint=colour(rng),
            )
            for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.35, 0.35, 0.2, 0.1])))
        ]
        self._flicker = float(rng.choice([0.0, 0.01, 0.04]))
        noise = np.repeat(rng.normal(0, rng.uniform(0.5, 5.0), (4, height, width, 1)), 3, axis=3)
        self._grain = [(np.clip(n, 0, 99).astype(np.uint8), np.clip(-n, 0, 99).astype(np.uint8)) for n in noise]
        self._size = (width, height)

    def background(self, t: float, shift: tuple[float, float]) -> Image:
        """Draw the scene without the figure at time t, moved by `shift` pixels."""
        dx, dy = (float(np.clip(v, -MARGIN + 1, MARGIN - 1)) for v in shift)
        move = np.array([[1, 0, dx - MARGIN], [0, 1, dy - MARGIN]], np.float32)
        picture: Image = cv2.warpAffine(self._canvas, move, self._size).astype(np.uint8, copy=False)
        for mover in self._movers:
            mover.draw(picture, t)
        return picture

    def expose(self, picture: Image, index: int) -> Image:
        """Add the light's flicker and the sensor's noise to a finished frame."""
        if self._flicker:
            gain = 1.0 + self._flicker * np.sin(0.9 * index)
            picture = cv2.convertScaleAbs(picture, alpha=gain).astype(np.uint8, copy=False)
        brighter, darker = self._grain[index % len(self._grain)]
        return np.asarray(cv2.subtract(cv2.add(picture, brighter), darker), np.uint8)


def _paint(rng: Generator, props: tuple[str, ...], height: int, width: int) -> Image:
    horizon = int(height * rng.uniform(0.55, 0.72))
    canvas = np.zeros((height, width, 3), np.float32)
    vivid = float(rng.uniform(0.1, 0.8))
    wall, floor = colour(rng, 90, 240, vivid), colour(rng, 50, 200, vivid)
    for rows, c in ((slice(0, horizon), wall), (slice(horizon, height), floor)):
        ramp = np.linspace(1.0, rng.uniform(0.75, 1.1), canvas[rows].shape[0])[:, None, None]
        canvas[rows] = np.asarray(c, np.float32) * ramp
    texture = cv2.resize(rng.normal(0, 1, (height // 6, width // 6)).astype(np.float32), (width, height))
    canvas += texture[..., None] * rng.uniform(1, 9)
    across = np.linspace(-1, 1, width)[None, :, None] * rng.uniform(-0.2, 0.2)
    picture: Image = np.clip(canvas * (1 + across), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:  # boards or tiles
        for x in np.arange(0, width, rng.uniform(18, 50)):
            dark = tuple(int(v) for v in picture[horizon + 2, int(x)] * 0.85)
            end = (round(width / 2 + (x - width / 2) * 1.8), height)
            cv2.line(picture, (int(x), horizon), end, dark, 1, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 7))):  # posters, shelves, boxes
        w, h = rng.uniform(0.05, 0.2, 2) * width
        x, y = rng.uniform(0, width), rng.uniform(0.02 * height, horizon)
        _box(picture, x, y - (h if rng.random() < 0.5 else 0), w, h, colour(rng, vivid=0.6))
    for prop in props:
        side = rng.choice([-1.0, 1.0])
        x = width / 2 + side * rng.uniform(0.14, 0.4) * width
        PROP_PAINTERS[prop](picture, float(x), float(rng.uniform(0.8, 0.95) * height), 0.42 * height, colour(rng))
    return picture
