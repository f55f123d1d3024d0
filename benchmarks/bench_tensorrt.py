"""TensorRT-RTX engines built ahead of time, on a machine without a card: seconds and megabytes.

    python benchmarks/bench_tensorrt.py [--rounds 3]

demo   head and encoders of the plan `demo`.
pvlr   a PVLR head of random weights at its published size (two streams of 1024, 20 classes), T = 1:320:4096.

Of each graph and precision one engine for each target that the library knows, and one for all of them together. What a
target cannot do stands there with the library's words. Nothing is run: that needs a card. Seconds are medians; size and
layers are those of the last round, because TensorRT-RTX 1.7.1 builds a worse engine (26 layers, not 21) right after a
build that it refused in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accuracy_speed import VOCABULARY
from common import store

from tal_engine.backends.profile import describe, profile_of
from tal_engine.backends.tensorrt.builder import build
from tal_engine.backends.tensorrt.edition import Flavour, load_flavour
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import BackendError
from tal_engine.export.bfloat import to_bfloat
from tal_engine.export.precision import to_half
from tal_engine.export.quantize import to_int8
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.methods import load_method
from tal_engine.lab.nn.hashed_text import HashedText
from tal_engine.plan.archive import read_plan
from tal_engine.plan.fields import Graph

#: How many random examples set the ranges of int8: sizes and seconds do not depend on the values.
EXAMPLES = 2


def published() -> tuple[bytes, Graph]:
    """PVLR's head as its THUMOS14 recipe makes it."""
    torch.manual_seed(0)
    method = load_method("pvlr")
    config = method.Config(**method.RECIPES["thumos14"].config)
    net = method.build(config, VOCABULARY, HashedText(1024)).eval()
    example = {s: torch.randn(1, 23, int(getattr(config, s))) for s in method.inference_streams(config)}
    return to_onnx(method.freeze(net), example, {0: "B", 1: "T"}, "head.onnx")


def graphs() -> Iterator[tuple[str, bytes, Graph]]:
    """Name, file and description of each graph that is measured."""
    plan = read_plan(EMBEDDED_PLAN)
    for graph in plan.manifest.graphs:
        yield f"demo {graph.member.removesuffix('.onnx')}", plan.files[graph.member], graph
    yield "pvlr head", *published()


def variants(content: bytes, graph: Graph) -> dict[str, bytes]:
    """The graph in every precision."""
    rng = np.random.default_rng(0)
    sizes = {"B": 1, "T": 64}
    examples = []
    for _ in range(EXAMPLES):
        shapes = {t.name: ([sizes[d] if isinstance(d, str) else d for d in t.shape], t.dtype) for t in graph.inputs}
        examples.append({n: np.abs(rng.normal(0, 50, shape)).astype(dtype) for n, (shape, dtype) in shapes.items()})
    return {
        "fp32": content,
        "fp16": to_half(content, graph.member)[0],
        "bf16": to_bfloat(content, graph.member)[0],
        "int8": to_int8(content, graph.member, examples)[0],
    }


def measured(flavour: Flavour, content: bytes, graph: Graph, targets: list[str], rounds: int) -> dict[str, Any]:
    """Median seconds, megabytes and layers of an engine; or why there is none."""
    profile, taken = profile_of(graph, {}), []
    for _ in range(rounds):
        try:
            record = build(flavour, content, graph, profile, targets).record
        except BackendError as e:
            reason = re.search(r"Cannot compile[^.]*", str(e))
            return {"refused": reason.group() if reason else str(e)}
        taken.append(record.build_seconds)
    return {
        "seconds": round(statistics.median(taken), 3),
        "first_seconds": taken[0],
        "mb": round(record.bytes / 1e6, 3),
        "layers": record.layers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    flavour = load_flavour("tensorrt-rtx")
    figures: dict[str, Any] = {"library": flavour.title, "rounds": rounds, "targets": flavour.targets, "graphs": {}}
    for name, content, graph in graphs():
        row: dict[str, Any] = {"profile": describe(profile_of(graph, {})), "precisions": {}}
        for precision, variant in variants(content, graph).items():
            one = {t: measured(flavour, variant, graph, [t], rounds) for t in flavour.targets}
            able = [t for t, found in one.items() if "mb" in found]
            together = {"targets": able, **measured(flavour, variant, graph, able, rounds)}
            row["precisions"][precision] = {"onnx_mb": round(len(variant) / 1e6, 3), "each": one, "together": together}
            print(name, precision, json.dumps(row["precisions"][precision]), flush=True)
        figures["graphs"][name] = row
    figures["load_average"] = [round(x, 1) for x in os.getloadavg()]
    print(json.dumps(store("bench_tensorrt", figures)))


if __name__ == "__main__":
    main()
