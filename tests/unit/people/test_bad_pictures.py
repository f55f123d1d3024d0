"""Videos that show nobody, or somebody badly: the default plan says so in its warnings, and its work is bounded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.demo.demo_set import script_of
from tal_engine.demo.render import render

FPS = 12.5
NOBODY = "no person was found in"


@pytest.fixture(scope="module")
def engine() -> TALEngine:
    return TALEngine.load(device="cpu")


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    """A little more than two seconds of a rendered person, [30, 240, 320, 3]."""
    frames = [f for i, f in zip(range(60), render(script_of("test", 0, 1)), strict=False) if i % 2 == 0]
    return np.stack(frames)


def framed(person: np.ndarray, height: int) -> np.ndarray:
    """The same video as a small part of a grey picture."""
    out = np.full_like(person, 128)
    for to, frame in zip(out, person, strict=True):
        small = cv2.resize(frame, (height * 4 // 3, height), interpolation=cv2.INTER_AREA)
        to[100 : 100 + height, 100 : 100 + small.shape[1]] = small
    return out


def shown(kind: str, person: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "nobody":
        return np.full_like(person, 90)
    if kind == "half":
        return person[:, :125]
    if kind == "crowd":
        return np.concatenate([person, person[:, :, ::-1], person], axis=2)
    if kind == "picture on a wall":
        noise = rng.integers(-3, 4, (60, *person.shape[1:]))
        return (np.repeat(person[:1], 60, axis=0) + noise).clip(0, 255).astype(np.uint8)
    if kind == "upside down":
        return person[:, ::-1]
    return framed(person, {"ten pixels high": 14, "small": 60}[kind])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nobody", [f"{NOBODY} any of"]),
        ("half", ["the legs are not visible (half a person?)", NOBODY]),
        ("crowd", ["people are in the picture, the largest is followed"]),
        ("picture on a wall", ["does not move in any of 60 pictures (a picture of one?)"]),
        ("upside down", ["upside down", NOBODY]),
        ("ten pixels high", [f"{NOBODY} any of"]),
        ("small", [NOBODY, "less than 48 pixels tall"]),
    ],
)
def test_what_is_wrong_with_the_pictures_is_said(engine, person, kind, said):
    frames = shown(kind, person)
    result = engine.localize(frames, fps=FPS)
    warned = " ".join(result.info.warnings)
    assert any(words in warned for words in said), warned
    assert all(0 <= s.start < s.end <= result.info.duration for s in result)
    if kind in ("nobody", "ten pixels high", "picture on a wall"):
        assert len(result) == 0
