"""Engines of the plan `demo` for every card that TensorRT-RTX knows, built without one, as artefacts of CI.

    python benchmarks/gpu_engines.py DIR

Of each graph and target the engine in float32, in float16 where the target has nothing wider. DIR/engines.json says of
each engine its record (targets, layers by precision, hashes), and of each graph
  parser   the inputs and outputs that TensorRT's own parser reads out of the file, held against the manifest's;
  runtime  how far the outputs of ONNX Runtime on the very bytes that the parser read are from those of the plan's
           float32 graph, relative to 1 + the largest value.
Exits 1 if a graph differs in either, or an engine could not be built. What an engine computes takes its card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tal_engine.backends import open_backend
from tal_engine.backends.profile import profile_of
from tal_engine.backends.tensorrt.builder import build
from tal_engine.backends.tensorrt.edition import Flavour, load_flavour, make_logger
from tal_engine.backends.tensorrt.widen import widen_bytes
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.errors import BackendError
from tal_engine.export.precision import to_half
from tal_engine.plan.archive import read_plan
from tal_engine.plan.fields import Graph

#: Relative to 1 + the largest value of an output, by precision.
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-2}
SIZES = {"B": 2, "T": 50}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    flavour, plan = load_flavour("tensorrt-rtx"), read_plan(EMBEDDED_PLAN)
    document: dict[str, Any] = {"library": flavour.title, "targets": flavour.targets, "graphs": {}, "engines": []}
    failed = []
    for graph in plan.manifest.graphs:
        content = plan.files[graph.member]
        made = {"fp32": content, "fp16": to_half(content, graph.member)[0]}
        parity = {p: compared(flavour, content, narrow, graph, TOLERANCE[p]) for p, narrow in made.items()}
        document["graphs"][graph.member] = parity
        failed += [f"{graph.member} {p}: {x}" for p, x in parity.items() if not x["equal"]]
        for target in flavour.targets:
            record = built(flavour, made, graph, target, folder)
            if record is None:
                failed.append(f"{graph.member} for {target}")
            else:
                document["engines"].append(record)
    (folder / "engines.json").write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({"engines": len(document["engines"]), "failed": failed}))
    sys.exit(bool(failed))


def built(flavour: Flavour, made: dict[str, bytes], graph: Graph, target: str, folder: Path) -> dict[str, Any] | None:
    """An engine in the widest precision that the target has: its record; None if it has none of these."""
    for precision, content in made.items():
        try:
            found = build(flavour, content, graph, profile_of(graph, {}), [target])
        except BackendError as e:
            print(f"{graph.member}, {target}, {precision}: {e}", file=sys.stderr)
            continue
        (folder / found.record.member).write_bytes(found.engine)
        return {"precision": precision, **found.record.model_dump()}
    return None


def compared(flavour: Flavour, content: bytes, made: bytes, graph: Graph, tolerance: float) -> dict[str, Any]:
    """What the parser reads of a graph, and what ONNX Runtime gives on the bytes that it read."""
    read = widen_bytes(made)
    io = parsed(flavour, read)
    wanted = {t.name: [d if isinstance(d, int) else -1 for d in t.shape] for t in (*graph.inputs, *graph.outputs)}
    feeds = example(graph)
    ours = open_backend(read, graph.member, "cpu").run(feeds)
    theirs = open_backend(content, graph.member, "cpu").run(feeds)
    worst = max(float(np.abs(ours[n] - a).max() / (1 + np.abs(a).max())) for n, a in theirs.items())
    return {
        "sha256_read": hashlib.sha256(read).hexdigest(), "parser": io, "same_io": fits(io, wanted),
        "runtime_worst": worst, "tolerance": tolerance, "equal": worst <= tolerance and fits(io, wanted),
    }  # fmt: skip


def parsed(flavour: Flavour, content: bytes) -> dict[str, list[int]]:
    """Names and shapes of the network that TensorRT's parser makes of a file; free sizes are -1."""
    trt = flavour.module
    builder = trt.Builder(make_logger(trt, "ERROR"))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, make_logger(trt, "ERROR"))
    if not parser.parse(content):
        raise BackendError("; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    tensors += [network.get_output(i) for i in range(network.num_outputs)]
    return {t.name: list(t.shape) for t in tensors}


def fits(io: dict[str, list[int]], wanted: dict[str, list[int]]) -> bool:
    """The same names and sizes; a size that the parser found out counts as any free one."""
    return io.keys() == wanted.keys() and all(
        len(io[n]) == len(w) and all(a in (b, -1) or b == -1 for a, b in zip(io[n], w, strict=True))
        for n, w in wanted.items()
    )


def example(graph: Graph) -> dict[str, np.ndarray]:
    """Random inputs as the graph reads them."""
    rng = np.random.default_rng(0)
    shapes = {t.name: ([SIZES[d] if isinstance(d, str) else d for d in t.shape], t.dtype) for t in graph.inputs}
    return {
        n: rng.integers(0, 255, s, np.uint8) if d == "uint8" else np.abs(rng.normal(size=s)).astype(d)
        for n, (s, d) in shapes.items()
    }


if __name__ == "__main__":
    main()
