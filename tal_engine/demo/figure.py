"""Draws the figure: joints in space to a shaded person in a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .scene import Colour, Image, colour
from .script import View
from .skeleton import JOINT, Array

_SHIFT = 4  # sub-pixel bits of OpenCV's drawing calls
_ONE = 1 << _SHIFT

_SKIN = ((255, 219, 172), (241, 194, 125), (224, 172, 105), (198, 134, 66), (141, 85, 36), (92, 58, 33))


@dataclass(frozen=True)
class Clothes:
    """Colours of a person."""

    shirt: Colour
    sleeves: Colour
    trousers: Colour
    legs: Colour
    shoes: Colour
    skin: Colour
    hair: Colour

    @staticmethod
    def sample(rng: np.random.Generator) -> Clothes:
        """Draw random clothes: long or short sleeves and trousers."""
        skin = _SKIN[int(rng.integers(len(_SKIN)))]
        shirt, trousers = colour(rng, 20, 240), colour(rng, 20, 200)
        return Clothes(
            shirt=shirt,
            sleeves=shirt if rng.random() < 0.5 else skin,
            trousers=trousers,
            legs=trousers if rng.random() < 0.6 else skin,
            shoes=colour(rng, 20, 250),
            skin=skin,
            hair=colour(rng, 10, 110),
        )


# (joint, joint, radius in body heights, radius at the far end, part of the clothes)
_LIMBS = (
    ("hip_l", "knee_l", 0.047, 0.036, "trousers"), ("hip_r", "knee_r", 0.047, 0.036, "trousers"),
    ("knee_l", "ankle_l", 0.035, 0.024, "legs"), ("knee_r", "ankle_r", 0.035, 0.024, "legs"),
    ("ankle_l", "toe_l", 0.026, 0.02, "shoes"), ("ankle_r", "toe_r", 0.026, 0.02, "shoes"),
    ("shoulder_l", "elbow_l", 0.031, 0.025, "shirt"), ("shoulder_r", "elbow_r", 0.031, 0.025, "shirt"),
    ("elbow_l", "wrist_l", 0.025, 0.018, "sleeves"), ("elbow_r", "wrist_r", 0.025, 0.018, "sleeves"),
    ("wrist_l", "wrist_l", 0.024, 0.024, "skin"), ("wrist_r", "wrist_r", 0.024, 0.024, "skin"),
    ("pelvis", "spine", 0.078, 0.075, "shirt"), ("spine", "neck", 0.078, 0.06, "shirt"),
    ("neck", "head", 0.028, 0.028, "skin"),
)  # fmt: skip
_A = np.array([JOINT[a] for a, *_ in _LIMBS])
_B = np.array([JOINT[b] for _, b, *_ in _LIMBS])


class Projector:
    """Perspective camera that looks at the figure's place and keeps still but for its shake."""

    def __init__(self, view: View, person_m: float, height: int, width: int) -> None:
        c, s = np.cos(view.azimuth), np.sin(view.azimuth)
        target = np.array([0.0, 0.5 * person_m, 0.0])
        eye = np.array([s * view.distance_m, view.height_m, c * view.distance_m])
        forward = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        self._axes = np.stack([right, np.cross(right, forward), forward])
        self._eye = eye
        self._focal = view.scale * height * view.distance_m / person_m
        self._centre = np.array([width * (0.5 + view.offset[0]), height * (0.53 + view.offset[1])])

    def __call__(self, points: Array) -> tuple[Array, Array]:
        """Project points [..., 3] in metres to pixels [..., 2] and depths [...]."""
        seen = (points - self._eye) @ self._axes.T
        depth = np.maximum(seen[..., 2], 0.3)
        pixels = seen[..., :2] / depth[..., None] * self._focal * (1, -1) + self._centre
        return pixels, depth

    def pixels_per_metre(self, depth: Array) -> Array:
        """Return the size of a metre at a depth, in pixels."""
        return np.asarray(self._focal / depth)


class Painter:
    """Draws one person, frame after frame, into pictures."""

    def __init__(self, clothes: Clothes, height_m: float, girth: float, light: float) -> None:
        self._colours = np.array([getattr(clothes, part) for *_, part in _LIMBS], np.float64)
        self._clothes = clothes
        self._radii = np.array([[a, b] for _, _, a, b, _ in _LIMBS]) * height_m * girth
        self._height = height_m
        self._light = light

    def draw(self, picture: Image, pixels: Array, depth: Array, scale: Array, shift: tuple[float, float]) -> None:
        """Draw the figure.

        Args:
            picture: [H, W, 3] uint8, changed in place.
            pixels: positions [joints, 2] (x, y).
            depth: depths [joints] in metres.
            scale: pixels per metre [joints].
            shift: the camera's shake in pixels.
        """
        at = pixels + shift
        self._shadow(picture, at, scale)
        order = np.argsort(-(depth[_A] + depth[_B]))
        nearest, furthest = depth.min(), depth.max()
        for i in order:
            a, b = _A[i], _B[i]
            near = 1.0 - 0.3 * ((depth[a] + depth[b]) / 2 - nearest) / max(furthest - nearest, 0.2)
            tone = self._colours[i] * near
            radii = self._radii[i] * scale[[a, b]]
            if a == JOINT["pelvis"]:
                self._torso(picture, at, tone)
            _capsule(picture, at[a], at[b], radii[0], radii[1], tone * 0.72)
            lit = np.array([self._light, -0.6]) * radii.max() * 0.28
            _capsule(picture, at[a] + lit, at[b] + lit, radii[0] * 0.68, radii[1] * 0.68, tone)
        self._head(picture, at, scale)

    def _torso(self, picture: Image, at: Array, tone: Array) -> None:
        names = ("shoulder_l", "shoulder_r", "hip_r", "hip_l")
        hull = cv2.convexHull(np.round(at[[JOINT[n] for n in names]] * _ONE).astype(np.int32))
        cv2.fillConvexPoly(picture, hull, _rgb(tone * 0.85), cv2.LINE_AA, _SHIFT)

    def _head(self, picture: Image, at: Array, scale: Array) -> None:
        j = JOINT["head"]
        up = at[j] - at[JOINT["neck"]]
        up = up / max(float(np.linalg.norm(up)), 1e-6)
        r = 0.066 * self._height * float(scale[j])
        centre = at[j] - up * r * 0.2
        for offset, size, tone in ((0.25, 1.04, self._clothes.hair), (-0.12, 0.9, self._clothes.skin)):
            x, y = (centre + up * r * offset).tolist()
            _disc(picture, x, y, r * size, tone)

    def _shadow(self, picture: Image, at: Array, scale: Array) -> None:
        feet = at[[JOINT["toe_l"], JOINT["toe_r"], JOINT["ankle_l"], JOINT["ankle_r"]]]
        x, y = feet[:, 0].mean(), feet[:, 1].max()
        half = np.array([0.28, 0.07]) * float(scale[JOINT["pelvis"]])
        x0, x1 = int(max(x - half[0], 0)), int(min(x + half[0], picture.shape[1]))
        y0, y1 = int(max(y - half[1], 0)), int(min(y + half[1], picture.shape[0]))
        if x1 - x0 < 3 or y1 - y0 < 3:
            return
        patch = picture[y0:y1, x0:x1]
        gx, gy = np.meshgrid(np.linspace(-1, 1, x1 - x0), np.linspace(-1, 1, y1 - y0))
        dark = 1.0 - 0.4 * np.clip(1.2 - (gx**2 + gy**2), 0, 1)
        patch[:] = (patch * dark[..., None]).astype(np.uint8)


def _rgb(tone: Array) -> tuple[float, float, float]:
    r, g, b = tone.tolist()
    return min(r, 255.0), min(g, 255.0), min(b, 255.0)


def _disc(picture: Image, x: float, y: float, radius: float, tone: tuple[float, float, float]) -> None:
    at = (round(x * _ONE), round(y * _ONE))
    cv2.circle(picture, at, max(round(radius * _ONE), 1), tone, -1, cv2.LINE_AA, _SHIFT)


def _capsule(picture: Image, a: Array, b: Array, ra: float, rb: float, tone: Array) -> None:
    """Draw a limb: two discs and the quadrilateral between them. Plain floats: called 30 times a frame."""
    rgb = _rgb(tone)
    (ax, ay), (bx, by) = a.tolist(), b.tolist()
    _disc(picture, ax, ay, ra, rgb)
    length = math.hypot(bx - ax, by - ay)
    if length < 1e-6:
        return
    _disc(picture, bx, by, rb, rgb)
    nx, ny = (ay - by) / length, (bx - ax) / length
    corners = (
        (ax + nx * ra, ay + ny * ra),
        (bx + nx * rb, by + ny * rb),
        (bx - nx * rb, by - ny * rb),
        (ax - nx * ra, ay - ny * ra),
    )
    polygon = np.array([(round(x * _ONE), round(y * _ONE)) for x, y in corners], np.int32)
    cv2.fillConvexPoly(picture, polygon, rgb, cv2.LINE_AA, _SHIFT)
