"""int8 on this processor: how far each way of multiplying is from the graph's own meaning, and what it costs.

The reference is the int8 graph with ONNX Runtime's optimizations off: pairs of QuantizeLinear and DequantizeLinear
stay, everything between them is computed in float32, and nothing saturates on any processor. Three ways are compared:
ONNX Runtime's default, `session.x64quantprecision`, and weights of seven bits (`reduce_range`), which cannot saturate.
Run it once for each kind of processor; parts are kept by instruction set.

    python benchmarks/int8_instructions.py [--videos 12] [--folder VIDEOS]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime as ort
from common import finish, interleaved

from tal_engine._util.instructions import instructions
from tal_engine.demo.demo_set import render_split
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.export import gate, quantize
from tal_engine.export.calibration import Calibration, read_samples
from tal_engine.options import timeline_of
from tal_engine.plan.archive import Plan, read_plan

ROUNDS = 5


class Session:
    """A session on the CPU with one thread, as a backend."""

    def __init__(self, content: bytes, *, precise: bool = False, optimized: bool = True) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.x64quantprecision", "1" if precise else "0")
        if not optimized:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self._session.get_outputs()]
        self.description = "ONNX Runtime"

    def run(self, feeds: Any) -> dict[str, Any]:
        return dict(zip(self.names, self._session.run(self.names, dict(feeds)), strict=True))


def seven_bits(content: bytes, member: str, samples: Any) -> bytes:
    """The graph quantized with weights of seven bits."""
    tools = quantize.need("onnxruntime.quantization")
    whole = tools.quantize_static

    def reduced(*args: Any, **kwargs: Any) -> Any:
        return whole(*args, **kwargs, reduce_range=True)

    with mock.patch.object(tools, "quantize_static", reduced):
        return quantize.to_int8(content, member, samples)[0]


def of_graph(plan: Plan, member: str, samples: Any) -> dict[str, Any]:
    """Errors and milliseconds of one graph, on held-out videos."""
    wide, train, check = plan.files[member], samples.train[member], samples.check[member]
    narrow = quantize.to_int8(wide, member, train)[0]
    ways = {
        "fp32": Session(wide),
        "default": Session(narrow),
        "precise": Session(narrow, precise=True),
        "seven bits": Session(seven_bits(wide, member, train)),
        "reference": Session(narrow, optimized=False),
    }
    given = {name: [s.run(x) for x in check] for name, s in ways.items()}

    def away(a: str, b: str) -> tuple[float, float]:
        worst = max(gate.difference(x, y) for x, y in zip(given[a], given[b], strict=True))
        means = [
            np.abs(x[n] - y[n]).mean() / np.abs(x[n]).mean() for x, y in zip(given[a], given[b], strict=True) for n in x
        ]
        return worst, float(np.mean(means))

    few = {n: a[:8] for n, a in check[0].items()} if member.startswith("encoder") else check[0]
    times = interleaved({name: (lambda s=s: s.run(few)) for name, s in ways.items()}, ROUNDS)
    return {
        "worst_from_reference": {n: away("reference", n)[0] for n in ("default", "precise")},
        "mean_from_reference": {n: away("reference", n)[1] for n in ("default", "precise")},
        "worst_from_fp32": {n: away("fp32", n)[0] for n in ("default", "precise", "seven bits", "reference")},
        "mean_from_fp32": {n: away("fp32", n)[1] for n in ("default", "precise", "seven bits", "reference")},
        "ms": {n: round(1e3 * t, 3) for n, t in times.items()},
    }


def segments(plan: Plan, samples: Any) -> dict[str, Any]:
    """Segments of the head alone that differ from the reference, of those of both, for the two ways."""
    member = plan.manifest.head.member
    narrow = quantize.to_int8(plan.files[member], member, samples.train[member])[0]
    stages = gate.Stages(plan.manifest.proposal, plan.manifest.nms, timeline_of(plan.manifest.snippet))
    found = {}
    for name, precise in (("default", False), ("precise", True)):
        pairs = [(Session(narrow, optimized=False), None), (Session(narrow, precise=precise), None)]
        limits = gate.Limits(tensor=np.inf, changed_share=1.0, score=0.1, move_s=None)
        figures = gate.check_segments(*pairs, member, stages, samples.check[member], limits)
        found[name] = {k: figures[k] for k in ("tensor", "segments", "segments_changed")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=12, help="how many are drawn")
    parser.add_argument("--folder", type=Path, help="take the videos of this folder instead")
    asked = parser.parse_args()
    plan = read_plan(EMBEDDED_PLAN)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made) / "videos"
        if asked.folder is None:
            render_split(Path(made), "test", asked.videos, seed=31, workers=1)
        samples = read_samples(plan, Calibration(sorted(folder.glob("*.mp4"))))
    figures = {g.member: of_graph(plan, g.member, samples) for g in plan.manifest.graphs}
    figures["segments of the head, from reference"] = segments(plan, samples)
    finish("int8_instructions", figures, str(instructions()))


if __name__ == "__main__":
    main()
