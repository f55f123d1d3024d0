"""Turns a script, or real joint positions, into frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .figure import Clothes, Painter, Projector
from .scene import Image, Scene
from .script import Script, View
from .skeleton import Array

HEIGHT, WIDTH = 240, 320


def render(script: Script, height: int = HEIGHT, width: int = WIDTH) -> Iterator[Image]:
    """Render the frames [height, width, 3] uint8 RGB of a script."""
    return render_joints(
        script.joints(),
        view=script.view,
        person_m=script.body.height,
        girth=script.body.girth,
        props=script.props,
        seed=script.scene_seed,
        fps=script.fps,
        height=height,
        width=width,
    )


def render_joints(
    joints: Array,
    *,
    view: View,
    person_m: float,
    girth: float,
    props: tuple[str, ...],
    seed: int,
    fps: float,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> Iterator[Image]:
    """Render any motion given as joints [frames, joints, 3] in metres, feet near y = 0."""
    rng = np.random.default_rng([seed, 1])
    painter = Painter(Clothes.sample(rng), person_m, girth, light=float(rng.uniform(-1, 1)))
    scene = Scene(seed, props, height, width)
    camera = Projector(view, person_m, height, width)
    pixels, depth = camera(joints)
    scale = camera.pixels_per_metre(depth)
    shake = _shake(len(joints), fps, view)
    for i in range(len(joints)):
        shift = (float(shake[i, 0]), float(shake[i, 1]))
        picture = scene.background(i / fps, shift)
        painter.draw(picture, pixels[i], depth[i], scale[i], shift)
        yield scene.expose(picture, i)


def image_points(script: Script, height: int = HEIGHT, width: int = WIDTH) -> Array:
    """Project the joints into the rendered frames: [frames, joints, 2] pixels (x, y)."""
    joints = script.joints()
    pixels, _ = Projector(script.view, script.body.height, height, width)(joints)
    return np.asarray(pixels + _shake(len(joints), script.fps, script.view)[:, None, :])


def _shake(frames: int, fps: float, view: View) -> Array:
    """Simulate a hand-held camera: slow drift and a little tremble, [frames, 2] pixels."""
    rng = np.random.default_rng(view.seed)
    t = np.arange(frames)[:, None] / fps
    out = np.zeros((frames, 2))
    for top, share in ((0.4, 1.0), (3.0, 0.35)):
        for _ in range(2):
            out += share * view.shake_px * np.sin(2 * np.pi * (rng.uniform(0.1, top, 2) * t + rng.random(2)))
    return out
