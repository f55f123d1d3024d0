"""What a trained head costs: parameters in training and in its exported graph, milliseconds a video."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common import interleaved
from numpy.typing import NDArray
from variants import Variant, prepared

from tal_engine import TALEngine
from tal_engine.backends import open_backend
from tal_engine.export.bundle import make_plan
from tal_engine.lab.data.dataset import DataSet
from tal_engine.lab.training import checkpoint
from tal_engine.plan.archive import Plan
from tal_engine.records import Features

SNIPPETS = 300
ROUNDS = 40


@dataclass(frozen=True)
class Exported:
    """A row's plan and the parameters of the network that it was trained as."""

    plan: Plan
    training_parameters: int


def exported(data: DataSet, variant: Variant, folder: Path, settings: str) -> Exported:
    """The plan of a checkpoint, through the export gate."""
    method, config, _, text = prepared(data, variant, 0, settings)
    net = method.build(config, data.vocabulary, text)
    learned = sum(p.numel() for p in net.parameters() if p.requires_grad)
    return Exported(make_plan(checkpoint.load(folder), None, name=variant.method), learned)


def costs(rows: dict[str, Exported], data: DataSet) -> dict[str, dict[str, Any]]:
    """Of each row: parameters and median milliseconds on one thread, all rows in turn so that drift hits all alike.

    Head: its graph alone in ONNX Runtime. Video: `TALEngine.localize`, with proposals and suppression.
    """
    work: dict[str, Any] = {}
    for name, row in rows.items():
        video = a_video(data, tuple(row.plan.manifest.streams))
        graph = row.plan.manifest.head
        head = open_backend(row.plan.files[graph.member], graph.member, "cpu", threads=1)
        engine = TALEngine(row.plan, "cpu", threads=1)
        feeds = {s: x[None] for s, x in video.streams.items()}
        work[f"{name} head"] = lambda head=head, feeds=feeds: head.run(feeds)
        work[f"{name} video"] = lambda engine=engine, video=video: engine.localize(video)
    seconds = interleaved(work, ROUNDS)
    return {
        name: {
            "training_parameters": row.training_parameters,
            "inference_parameters": plan_parameters(row.plan),
            "head_ms": round(1e3 * seconds[f"{name} head"], 3),
            "video_ms": round(1e3 * seconds[f"{name} video"], 3),
        }
        for name, row in rows.items()
    }


def a_video(data: DataSet, streams: tuple[str, ...]) -> Features:
    """Test videos one after the other, cut at `SNIPPETS`."""
    parts: list[dict[str, NDArray[np.float32]]] = []
    for video in data.subset("test"):
        parts.append(data.features([video], streams)[video.name].streams)
        if sum(len(p[streams[0]]) for p in parts) >= SNIPPETS:
            break
    joined = {s: np.concatenate([p[s] for p in parts])[:SNIPPETS].astype(np.float32) for s in streams}
    return Features(joined, data.timeline, float(data.timeline.right(SNIPPETS)))


def plan_parameters(plan: Plan) -> int:
    """Floating point numbers in the arrays that a plan's graphs store: weights, and constants such as texts."""
    graphs = [onnx.load_model_from_string(x).graph for name, x in plan.files.items() if name.endswith(".onnx")]
    stored = [t for graph in graphs for t in graph.initializer]
    return sum(math.prod(t.dims) for t in stored if t.dims and t.data_type == onnx.TensorProto.FLOAT)
