"""Every name of open_clip as an encoder: its tower, its graph and its pixels held to open_clip's own."""

from __future__ import annotations

import json
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from tal_engine.errors import UsageError
from tal_engine.export.encoder_graphs import NATIVE_SIZE
from tal_engine.export.parity import check_encoder
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.nn.clip_image import ClipImage
from tal_engine.lab.nn.open_clip_models import OpenClipModel, find

#: Towers of more parameters are built with two blocks, by the same code and in the same layout.
WHOLE = 45e6
#: The pictures on which pixels are compared, smaller and larger than inputs are. Both are wide: Pillow 13 may weigh the
#: rows of a tall one first, which rounds otherwise than all versions before, by which published weights were trained.
PICTURES = ((300, 470), (201, 389))


def names() -> list[str]:
    import open_clip

    return list(open_clip.list_models())


def towers() -> dict[str, list[str]]:
    """Names by the tower that they have: many differ in their texts only."""
    found: dict[str, list[str]] = {}
    for name in names():
        config = find(name).config
        key = json.dumps([config["vision_cfg"], config["embed_dim"], config.get("quick_gelu", False)], sort_keys=True)
        found.setdefault(key, []).append(name)
    return {same[0]: same for same in found.values()}


def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in find(name).image_tower().parameters())


@contextmanager
def reduced(name: str) -> Any:
    """Let towers be built with two blocks, or one of each stage, instead of all."""
    import timm

    config, create = find(name).config, timm.create_model
    vision = config["vision_cfg"]
    trunk = vision.get("timm_model_name", "")

    def shallow(trunk_name: str, **options: Any) -> Any:
        if trunk.startswith("convnext"):
            return create(trunk_name, **options, depths=(1, 1, 1, 1))
        return create(trunk_name, **options, depth=2)

    if isinstance(vision.get("layers"), list):
        vision["layers"] = [1, 1, 1, 1]
    else:
        vision["layers"] = 2
    change = mock.patch.object(OpenClipModel, "config", property(lambda _: json.loads(json.dumps(config))))
    with change, mock.patch("timm.create_model", shallow):
        yield


def stirred(tower: nn.Module) -> nn.Module:
    """Random weights in which nothing is 0 or 1: what a fresh network leaves so would hide faults."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in tower.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.02)
        for n, b in tower.named_buffers():
            if n.endswith(("running_mean", "running_var")):
                b.add_(torch.rand(b.shape, generator=generator) * 0.2)
    return tower.eval()


def pixels_differ(name: str, net: ClipImage) -> float:
    """Share of values of two pictures that are off by more than rounding, against open_clip's transform; worst of both.

    Pillow adds in fixed point, so a value next to a half may round to the other side: that is one level of 255.
    """
    import open_clip
    from PIL import Image

    found = find(name).pixels()
    size = net.visual.image_size
    own = {k: found[k] for k in ("mean", "std", "interpolation", "resize_mode")}
    transform = open_clip.image_transform(size, is_train=False, **own)
    level = 1.001 / 255 / min(own["std"])
    worst = 0.0
    for seed, (h, w) in enumerate(PICTURES):
        picture = np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)
        wanted = transform(Image.fromarray(picture))
        gap = (net.prepare(torch.from_numpy(picture)[None])[0] - wanted).abs()
        if gap.shape != wanted.shape or float(gap.max()) > level:
            return 1.0
        worst = max(worst, float((gap > 1e-3).float().mean()))
    return worst


def ways(name: str) -> list[str]:
    """The name; with a tag for each way to prepare pixels where published weights differ in that."""
    import open_clip

    try:
        find(name).pixels()
    except UsageError:
        tags = [f"{name}@{tag}" for tag in open_clip.list_pretrained_tags_by_model(name)]
        return list({json.dumps(find(tag).pixels(), sort_keys=True): tag for tag in reversed(tags)}.values())
    return [name]


def check(name: str) -> dict[str, Any]:
    """Build, prepare, export and run one name; parity is the gate's, on other sizes and batches than the example's."""
    count = parameters(name)
    began = time.process_time()
    if count > WHOLE:
        try:
            with reduced(name):
                tower, whole = find(name).image_tower(), False
        except TypeError:  # a network without such an option
            tower, whole = find(name).image_tower(), True
    else:
        tower, whole = find(name).image_tower(), True
    nets = {way: ClipImage(stirred(tower), find(way).pixels()) for way in ways(name)}
    net = next(iter(nets.values()))
    shape = (2, 16, NATIVE_SIZE["H"], NATIVE_SIZE["W"], 3)
    example = {"frames": torch.zeros(*shape, dtype=torch.uint8)}
    content, graph = to_onnx(net, example, {0: "B", 2: "H", 3: "W"}, "encoder_clip.onnx")
    parity = check_encoder(net, content, graph)["tensor"]
    with torch.no_grad():
        frames = np.random.default_rng(0).integers(0, 256, (1, 16, 90, 120, 3), np.uint8)
        largest = float(net(torch.from_numpy(frames)).abs().max())
    return {
        "parameters": count,
        "whole": whole,
        "fits": 4 * count < 2**31,
        "shape": graph.outputs[0].shape,
        "dim": find(name).config["embed_dim"],
        "parity": parity * (1 + largest) / largest,  # of the largest value itself, which may be small
        "pixels_off": max(pixels_differ(way, n) for way, n in nets.items()),
        **net.prepare.describe(),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def ok(row: dict[str, Any]) -> bool:
    """Whether a name exports, runs within the gate and prepares pixels as open_clip does."""
    return (
        "error" not in row and row["shape"] == ["B", row["dim"]] and row["parity"] <= 1e-4 and row["pixels_off"] < 0.01
    )


def table(done: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Add towers that are not in `done`, smallest first, in two processes, until the time is up."""
    until = time.monotonic() + seconds
    same = towers()
    left = [n for n in sorted(same, key=parameters) if n not in done or "error" in done[n]]
    with ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for start in range(0, len(left), 2):
            if time.monotonic() > until:
                break
            pair = left[start : start + 2]
            for first, row in zip(pair, pool.map(tried, pair), strict=True):
                done[first] = row | {"names": same[first]}
                print(f"{first}: {row.get('error') or row['parity']} ({row.get('cpu_seconds')} s)", flush=True)
    return done


def tried(name: str) -> dict[str, Any]:
    """`check`, with the error where there is one."""
    try:
        return check(name)
    except Exception as e:
        traceback.print_exc()
        return {"error": f"{type(e).__name__}: {e}"[:400]}
