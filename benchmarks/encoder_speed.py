"""Milliseconds a snippet of image towers: eager torch and the exported graph, float32 and int8, same threads."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from encoder_names import stirred

from tal_engine._util.instructions import instructions
from tal_engine.backends import open_backend
from tal_engine.export.encoder_graphs import NATIVE_SIZE
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.nn.clip_image import ClipImage
from tal_engine.lab.nn.open_clip_models import find

THREADS, BATCH, ROUNDS = 2, 4, 7
NAMES = ("ViT-B-32", "RN50", "MobileCLIP2-S0", "PE-Core-T-16-384", "ViT-B-32-SigLIP2-256", "convnext_tiny")


def table() -> dict[str, Any]:
    torch.set_num_threads(THREADS)
    rows = {}
    for name in NAMES:
        rows[name] = row(name)
        print(name, rows[name], flush=True)
    ratios = [r["eager_ms"] / r["graph_ms"] for r in rows.values()]
    return {"threads": THREADS, "batch": BATCH, "vnni": "vnni" in str(instructions()), "towers": rows,
            "least_ratio": min(ratios), "onnxruntime": ort.__version__}  # fmt: skip


def row(name: str) -> dict[str, float]:
    """Medians of interleaved runs on frames of 120 x 160, preparation included on both sides."""
    net = ClipImage(stirred(find(name).image_tower()), find(name).pixels())
    shape = (2, 16, NATIVE_SIZE["H"], NATIVE_SIZE["W"], 3)
    content, _ = to_onnx(net, {"frames": torch.zeros(*shape, dtype=torch.uint8)}, {0: "B", 2: "H", 3: "W"}, "e.onnx")
    frames = np.random.default_rng(0).integers(0, 256, (BATCH, *shape[1:]), np.uint8)
    graph = open_backend(content, "e.onnx", "cpu", threads=THREADS)
    tensor = torch.from_numpy(frames)

    def eager() -> None:
        with torch.inference_mode():
            net(tensor)

    work = {"eager_ms": eager, "graph_ms": lambda: graph.run({"frames": frames})}
    for run in work.values():
        run()
    taken: dict[str, list[float]] = {k: [] for k in work}
    for _ in range(ROUNDS):
        for kind, run in work.items():
            began = time.perf_counter()
            run()
            taken[kind].append((time.perf_counter() - began) / BATCH * 1000)
    return {k: round(statistics.median(v), 2) for k, v in taken.items()}
