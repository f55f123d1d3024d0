"""Classes given as text on procedural videos: features of the image tower, and what texts find in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tal_engine.demo.demo_set import script_of
from tal_engine.demo.exercises import ACTIONS
from tal_engine.demo.render import render_joints
from tal_engine.options import SnippetOptions, timeline_of
from tal_engine.records import Features, Segment

#: Every third class is held out: no setting was chosen on it.
HELD_OUT = tuple(sorted(ACTIONS)[2::3])
KNOWN = tuple(sorted(set(ACTIONS) - set(HELD_OUT)))
SNIPPET = SnippetOptions()
STREAM = "clip"


def drawn(split: str, seed: int, index: int) -> tuple[Features, list[Segment]]:
    """Features of the tiny image tower of one procedural video, and its instances.

    The tower reads one frame a snippet, so that only these are drawn, and not compressed.
    """
    from tal_engine.lab.nn.tiny import TINY_WEIGHTS, load_tiny

    script = script_of(split, seed, index)
    joints = script.joints()
    count = int(script.duration * SNIPPET.fps) // SNIPPET.stride
    moments = (np.arange(count) * SNIPPET.stride + SNIPPET.window // 2 + 0.5) / SNIPPET.fps
    frames = np.minimum((moments * script.fps).astype(int), len(joints) - 1)
    side = 112 * 4 // 3
    pictures = render_joints(
        joints[frames], view=script.view, person_m=script.body.height, girth=script.body.girth, props=script.props,
        seed=script.scene_seed, fps=script.fps, height=112, width=side,
    )  # fmt: skip
    left = (side - 112) // 2
    images = np.stack([p[:, left : left + 112] for p in pictures])
    with torch.no_grad():
        tower = load_tiny(TINY_WEIGHTS).image
        found = tower.embed(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0).numpy()
    truth = [Segment(label=label, start=a, end=b, score=1.0) for a, b, label in script.instances()]
    time = timeline_of(SNIPPET)
    return Features({STREAM: found}, time, float(time.right(count))), truth


def videos(split: str, seed: int, count: int, cache: Path) -> dict[str, tuple[Features, list[Segment]]]:
    """Videos of a split by name, drawn once."""
    found = {}
    for i in range(count):
        name, path = f"{split}_{seed}_{i:03d}", cache / f"{split}_{seed}_{i:03d}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as f:
                time = timeline_of(SNIPPET)
                x = Features({STREAM: f["x"]}, time, float(time.right(len(f["x"]))))
                marks = zip(f["label"].tolist(), f["span"].tolist(), strict=True)
                found[name] = x, [Segment(label=c, start=a, end=b, score=1.0) for c, (a, b) in marks]
            continue
        x, truth = drawn(split, seed, i)
        cache.mkdir(parents=True, exist_ok=True)
        spans = np.array([(s.start, s.end) for s in truth], np.float64).reshape(-1, 2)
        np.savez(path, x=x.streams[STREAM], label=np.array([s.label for s in truth]), span=spans)
        found[name] = x, truth
    return found


def scored(plan: Any, found: dict[str, tuple[Features, list[Segment]]], classes: Sequence[str]) -> dict[str, float]:
    """Mean AP of the classes on videos, in percent."""
    from tal_engine import TALEngine
    from tal_engine.metrics import WTAL_TIOUS, evaluate
    from tal_engine.vocabulary import Vocabulary

    engine = TALEngine(plan, "cpu", threads=1)
    every: dict[str, Any] = {"min_score": -np.inf, "top_k": 0, "calibrated": False}
    segments = {
        n: [s for s in engine.localize(x.streams, **every) if s.label in classes] for n, (x, _) in found.items()
    }
    truth = {n: [s for s in t if s.label in classes] for n, (_, t) in found.items()}
    e = evaluate(truth, segments, Vocabulary(classes), tious=WTAL_TIOUS)
    return {"map_50": 100 * e.at(0.5), "map_10_70": 100 * e.average}
