"""Small data sets, batches and configurations for the tests of training."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import torch

from tal_engine.annotations import AnnotatedVideo
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method, uses_points, uses_segments
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.loop import fit
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary

NAMES = Vocabulary(["run", "jump", "sit down"])
WIDTH = 8
OPTIONS = TrainOptions(steps=6, batch=6, pairs=2, length=16, learning_rate=1e-3, save_every=3)
SMALL_CBP = {"width": 16, "heads": 2}


def small_config(method, **changes):
    """A config at the widths of these tests; fields that the method does not have are left out of the widths only."""
    widths = {"rgb": WIDTH, "flow": WIDTH, "joint": 128, "samples": 4, "video_hidden": 32}
    # Prompts that fit into the small text tower, a small transformer as one branch of two.
    widths |= {"prefix": 4, "suffix": 4, "width": 16, "heads": 2, "positions": 24, "cbp_options": dict(SMALL_CBP)}
    # A pyramid whose levels all learn the segment of `a_batch`.
    widths |= {"hidden": 32, "levels": 2, "ranking_width": 32}
    if method.name == "pser":  # whose segments are as long as an untrained network makes them
        widths["ranges"] = ((0.0, 100.0), (0.0, 100.0))
    known = {f.name for f in fields(method.Config)}
    if "stem" in known:  # a transformer, of which export takes its time by the block
        widths |= {"embedding": 1, "stem": 1, "head_layers": 2}
    return method.Config(**{k: v for k, v in widths.items() if k in known} | changes)


def small_net(method, text, **changes):
    torch.manual_seed(0)
    return method.build(small_config(method, **changes), NAMES, text).eval()


def quiet_config(method):
    """The same without dropout, so that a loss falls within a few steps."""
    config = small_config(method)
    off = {f.name: 0.0 for f in fields(config) if f.name.endswith("dropout")}
    if hasattr(config, "base"):
        off["base_options"] = dict.fromkeys(("dropout", "fusion_dropout", "logit_dropout"), 0.0)
    if hasattr(config, "kd_weight") and hasattr(config, "base"):
        off["kd_weight"] = 1.0
    if hasattr(config, "margin"):
        off["margin"] = 5.0  # the published 100 is for features that are 2048 wide
    return replace(config, **off)


def steps_of_all_phases(method):
    """Steps in which, together, every part of a network learns."""
    config = small_config(method)
    if hasattr(config, "refine_steps"):
        return (0, config.seed_steps, config.seed_steps + config.refine_steps)
    return (0, config.warm_up, config.warm_up + config.b_steps) if hasattr(config, "b_steps") else (0,)


def a_batch(method, seed=0, size=6, length=24):
    g = torch.Generator().manual_seed(seed)
    widths = {"rgb": WIDTH, "flow": WIDTH, "clip": 128}
    labels = torch.zeros(size, len(NAMES))
    labels[torch.arange(size), torch.arange(size) // 2 % len(NAMES)] = 1
    streams = {}
    for s in method.training_streams(small_config(method)):
        x = torch.randn(size, length, widths[s], generator=g)
        x[:, 5:12, :] += labels.repeat(1, math.ceil(widths[s] / 3))[:, None, : widths[s]] * 2
        streams[s] = x
    points = a_click(labels, length) if uses_points(method) else None
    segments = a_span(labels) if uses_segments(method) else None
    return Batch(streams, labels, pairs=3, points=points, segments=segments)


def a_click(labels, length, at=8):
    """Points [B, T, C]: one in each video, inside its action."""
    points = torch.zeros(len(labels), length, labels.shape[1])
    points[:, at] = labels
    return points


def a_span(labels, start=4.5, end=11.5):
    """Segments [N, 3] of each video: its classes, where the features of `a_batch` show them."""
    return tuple(torch.tensor([[start, end, c] for c in of.nonzero()[:, 0]]).reshape(-1, 3) for of in labels)


def multi_label(batch):
    """The batch with two classes in some of its videos."""
    labels = batch.labels.clone()
    labels[0, 1] = labels[3, 2] = 1
    return replace(batch, labels=labels)


def numbers(x):
    """A tensor as a NumPy array of doubles."""
    return x.detach().double().numpy()


def slope(value, at, step=1e-5):
    """The gradient of a function of an array, by differences: what a loss's own gradient is held against."""
    out = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[i], down[i] = at[i] + step, at[i] - step
        out[i] = (value(up) - value(down)) / (2 * step)
    return out


def a_set(count=8, labels=("run", "jump", "sit down")):
    rng = np.random.default_rng(0)
    videos, features = [], {}
    for i in range(count):
        name = f"v{i}"
        label = labels[i % len(labels)]
        videos.append(AnnotatedVideo(name, "train", 20.0, (Segment(1.0, 3.0, label, 1.0),)))
        streams = {
            s: rng.normal(size=(30 + i, w)).astype(np.float32) for s, w in (("rgb", 8), ("flow", 8), ("clip", 128))
        }
        features[name] = Features(streams, Timeline(0, 1, 1), 30.0 + i)
    return videos, features


def sampler(count=8, **changes):
    videos, features = a_set(count)
    options = {"length": 16, "size": 6, "pairs": 2} | changes
    return BatchSampler(videos, features, NAMES, ("rgb", "flow", "clip"), **options)


def run_fit(folder, text, options=OPTIONS, *, method="pvlr", config=None, names=NAMES, batches=None, **more):
    chosen = load_method(method)
    return fit(
        chosen, config or small_config(chosen), names, text if chosen.uses_text else None, batches or sampler(),
        options, folder, **{"provenance": {"data": "test", "contract": {"encoders": {}}}, **more},
    )  # fmt: skip


def weights(folder, name="weights"):
    return checkpoint.load(folder).tensors(name)
