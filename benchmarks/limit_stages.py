"""Part of bench_limit: processor seconds of each stage, the least that it could take, and a picture of both."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from limit_section import STAGES

from tal_engine.engine import TALEngine
from tal_engine.plan.archive import Plan
from tal_engine.records import Snippets
from tal_engine.video import cut, open_video
from tal_engine.video.flow import with_flow

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "speed.png"


def cpu(run: Callable[[], Any]) -> float:
    """Processor seconds of one run."""
    began = time.process_time()
    run()
    return time.process_time() - began


def medians(work: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median processor seconds of each piece of work; all run once a round."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            taken[name].append(cpu(run))
    return {name: statistics.median(values) for name, values in taken.items()}


def peak() -> float:
    """GFLOP/s of one core in float32, at a product of matrices that the cache holds; one thread has to be set."""
    a, b = np.ones((2, 768, 768), np.float32)
    return max(2 * 768**3 / max(cpu(lambda: a @ b), 1e-9) for _ in range(20)) / 1e9


def flops(graph: bytes) -> float:
    """Products and sums of one snippet through a graph's convolutions and matrix products."""
    model = onnx.load_model_from_string(graph)
    for tensor in (*model.graph.input, *model.graph.output):
        if tensor.type.tensor_type.shape.dim:
            tensor.type.tensor_type.shape.dim[0].ClearField("dim_param")
            tensor.type.tensor_type.shape.dim[0].dim_value = 1
    weights = {i.name: list(i.dims) for i in model.graph.initializer}
    known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*known.value_info, *known.output)}
    total = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm") and node.input[1] in weights:
            dims, out = weights[node.input[1]], shapes[node.output[0]]
            depth = math.prod(dims[1:]) if node.op_type == "Conv" else max(dims[:-1], default=1)
            total += 2 * depth * math.prod(max(d, 1) for d in out)
    return total


def null_decode(clip: Path) -> None:
    """Decode in one thread and look at nothing."""
    with av.open(str(clip)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def _read(clip: Path) -> None:
    with open_video(clip) as video:
        for _ in video.frames:
            pass


def _cut(clip: Path, plan: Plan) -> list[Snippets]:
    with open_video(clip) as video:
        return list(cut(video, plan.manifest.snippet))


def measured(clip: Path, plans: Mapping[str, Plan], rounds: int, gflops: float) -> dict[str, Any]:
    """All plans on a clip: ours and the least by stage, and the whole against decoding."""
    engines = {name: TALEngine(plan, "cpu", threads=1) for name, plan in plans.items()}
    cuts = {name: _cut(clip, plan) for name, plan in plans.items()}
    flows = {name: list(with_flow(s, plans[name].manifest.snippet)) for name, s in cuts.items()}
    work: dict[str, Callable[[], Any]] = {"null": lambda: null_decode(clip), "decode": lambda: _read(clip)}
    for name, engine in engines.items():
        engine.load_encoders()
        options, encoders = engine.plan.manifest.snippet, engine._stages.encoders
        work[f"{name}/cut"] = lambda p=engine.plan: _cut(clip, p)
        work[f"{name}/flow"] = lambda n=name, o=options: list(with_flow(cuts[n], o))
        work[f"{name}/encode"] = lambda n=name, e=encoders: [x(b) for b in flows[n] for x in e]
        work[f"{name}/all"] = lambda e=engine: e.localize(clip)
    taken = medians(work, rounds)
    least = _least(clip, next(iter(plans.values())), next(iter(flows.values())), gflops, taken["null"])
    rows = {}
    for name in plans:
        stages = {
            "decode": taken["decode"], "convert": taken[f"{name}/cut"] - taken["decode"],
            "flow": taken[f"{name}/flow"], "encode": taken[f"{name}/encode"],
        }  # fmt: skip
        stages["rest"] = taken[f"{name}/all"] - sum(stages.values())
        rows[name] = {
            "cpu_s": stages,
            "all_s": taken[f"{name}/all"],
            "times_decode": taken[f"{name}/all"] / taken["null"],
        }
    snippets = sum(len(b.frames) for b in next(iter(cuts.values())))
    return {"frames": _frames(clip), "snippets": snippets, "least_s": least, "plans": rows}


def _frames(clip: Path) -> int:
    with open_video(clip) as video:
        return sum(1 for _ in video.frames)


def _first(clip: Path) -> VideoFrame:
    with av.open(str(clip)) as container:
        return next(container.decode(video=0))


def _least(clip: Path, plan: Plan, flows: list[Snippets], gflops: float, null: float) -> dict[str, float]:
    """The least each stage could take, in processor seconds."""
    frame, scale = _first(clip), VideoReformatter()
    options = plan.manifest.snippet
    high, wide = options.fitted_size(frame.height, frame.width)
    one = statistics.median(
        cpu(lambda: scale.reformat(frame, wide, high, "rgb24", interpolation="FAST_BILINEAR", threads=1))
        for _ in range(30)
    )
    pictures = np.concatenate([b.frames for b in flows])
    grey = [[cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in s] for s in pictures]
    pairs = [(a, b) for s in grey for a, b in itertools.pairwise(s) if (a != b).any()]
    calc = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST).calc  # type: ignore[attr-defined]
    products = sum(flops(bytes(plan.files[e.graph.member])) for e in plan.manifest.graph_encoders)
    return {
        "decode": null, "convert": one * _frames(clip),
        "flow": cpu(lambda: [calc(a, b, None) for a, b in pairs]), "encode": products * len(pictures) / gflops / 1e9,
        "rest": 0.0,
    }  # fmt: skip


def draw(figures: Mapping[str, Any]) -> None:
    """Draw each plan's seconds by stage over decoding alone, clip by clip."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = dict(zip(STAGES, ("#00897b", "#f9a825", "#5e35b1", "#1e88e5", "#9e9e9e"), strict=True))
    figure, axes = plt.subplots(1, len(figures["clips"]), figsize=(11, 3.4))
    for axis, (size, clip) in zip(axes, figures["clips"].items(), strict=True):
        null = clip["least_s"]["decode"]
        bars = {"least of each stage": clip["least_s"]} | {n: r["cpu_s"] for n, r in clip["plans"].items()}
        for place, (name, values) in enumerate(bars.items()):
            left = 0.0
            for stage in STAGES:
                width = max(values[stage], 0.0) / null
                axis.barh(-place, width, left=left, color=colours[stage], label=stage if place == 0 else None)
                left += width
            whole = clip["plans"][name]["all_s"] / null if name in clip["plans"] else left
            axis.text(left, -place, f" {whole:.1f}x", va="center", fontsize=8)
        axis.set_yticks([-i for i in range(len(bars))], list(bars) if axis is axes[0] else [""] * len(bars), fontsize=8)
        axis.set_title(size, fontsize=10)
        axis.set_xlabel("times decoding alone", fontsize=8)
        axis.margins(x=0.18)
    axes[-1].legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)
