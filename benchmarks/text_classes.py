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


#: Settings of the small pair; chosen on the known classes of 24 validation videos.
PAIR: dict[str, Any] = {"prompts": ("a person doing {}",), "scale": 10.0}
TRAIN, TEST, SEEDS = 40, 20, (1, 2, 3)


def pair_plan() -> Any:
    """The plan of the small image-text pair."""
    from tal_engine.export.encoder_graphs import tiny_encoders
    from tal_engine.export.text_tower import text_plan

    return text_plan(tiny_encoders([STREAM]), name="texts", **PAIR)


def by_chance(plan: Any, classes: Sequence[str], seed: int) -> Any:
    """The same plan with random directions in place of texts: what is found without their meaning."""
    from tal_engine.texts.classes import checked
    from tal_engine.texts.plans import TextEmbedder, plan_of

    embed = TextEmbedder(plan)
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(len(classes), embed.tower.dim)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return plan_of(plan, checked(classes), drawn, embed.background())


def trained(seed: int, work: Path) -> Any:
    """The plan of CO2-Net on the same features, from video-level labels of all classes of 40 videos."""
    import json

    from tal_engine.export import bundle
    from tal_engine.lab.data.dataset import open_dataset
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.training import checkpoint
    from tal_engine.lab.training.recipe import recipe
    from tal_engine.lab.training.runs import train_head
    from tal_engine.lab.training.training_options import TrainOptions

    root = work / f"head_{seed}"
    (root / "features").mkdir(parents=True, exist_ok=True)
    database = {}
    for name, (x, truth) in videos("train", seed, TRAIN, work).items():
        np.save(root / "features" / f"{name}.npy", x.streams[STREAM])
        marks = [{"segment": [s.start, s.end], "label": s.label} for s in truth]
        database[name] = {"subset": "train", "duration": x.duration, "annotations": marks}
    (root / "annotations.json").write_text(json.dumps({"database": database}))
    (root / "data.yaml").write_text(
        "name: drawn\nannotations: annotations.json\nsubsets: {train: train}\nfeatures:\n"
        "  - {path: 'features/{name}.npy', stream: clip, width: 128}\nprotocol: wtal-seconds\n"
        "snippet: {fps: 25, window: 16, stride: 16}\n"
    )
    method, found = load_method("co2"), recipe(load_method("co2"), "demo")
    config = method.Config(**{**found.config, "rgb": 0, "flow": 0, "widths": {STREAM: 128}})
    options = TrainOptions(**{**found.train, "steps": 600, "seed": seed})
    train_head(method, config, options, open_dataset(root / "data.yaml"), root / "checkpoint")
    return bundle.make_plan(checkpoint.load(root / "checkpoint"), None, name="co2")


def held_out(work: Path) -> dict[str, Any]:
    """Mean AP on held-out classes by seed: texts, chance, and the trained head."""
    from tal_engine.texts.plans import with_classes

    plan = pair_plan()
    rows: dict[str, list[dict[str, float]]] = {"texts": [], "chance": [], "trained": []}
    count = snippets = 0
    for seed in SEEDS:
        found = videos("test", seed, TEST, work)
        snippets += sum(len(x) for x, _ in found.values())
        count += sum(s.label in HELD_OUT for _, t in found.values() for s in t)
        rows["texts"].append(scored(with_classes(plan, HELD_OUT), found, HELD_OUT))
        rows["chance"].append(scored(by_chance(plan, HELD_OUT, seed), found, HELD_OUT))
        rows["trained"].append(scored(trained(seed, work), found, HELD_OUT))
        print(seed, {k: v[-1] for k, v in rows.items()}, flush=True)
    return {"held_out": HELD_OUT, "videos": TEST * len(SEEDS), "instances": count, "snippets": snippets, "rows": rows}
