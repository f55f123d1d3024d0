"""Head latency on an NVIDIA card by runtime and precision; transfers from and to the host count."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from export_head import published_head, random_streams

from tal_engine.backends import open_backend
from tal_engine.errors import TALError
from tal_engine.export.eager import EagerBackend
from tal_engine.export.variant import make_variant

LENGTHS = (320, 1000, 4000)
#: Products of a snippet: weights of the head that meet each snippet.
_PEAKS = "achieved_tflops counts two operations a weight and snippet"


def latencies(rounds: int) -> dict[str, Any]:
    """p50 and p99 in ms at each length; a runtime that is not there is listed with its reason."""
    net, plan = published_head()
    weights = sum(p.numel() for p in net.parameters())
    graphs = {"fp32": plan.files["head.onnx"], "fp16": make_variant(plan, "fp16").files["head.onnx"]}
    rows: dict[str, Any] = {}
    for length in LENGTHS:
        feeds = random_streams(1, length)
        eager = EagerBackend(net, "cuda")
        work: dict[str, Callable[[], Any]] = {"torch eager fp32": lambda b=eager, x=feeds: b.run(x)}
        work["torch CUDA graph fp32"] = _captured(net.cuda(), feeds)
        missing = {}
        for kind, graph in graphs.items():
            try:
                backend = open_backend(graph, "head.onnx", "cuda", strict=True)
                work[f"onnxruntime CUDA {kind}"] = lambda b=backend, x=feeds: b.run(x)
            except TALError as e:
                missing[f"onnxruntime CUDA {kind}"] = str(e)
        rows[f"T={length}"] = {n: _percentiles(w, rounds, 2e-12 * weights * length) for n, w in work.items()}
        rows[f"T={length}"] |= {"missing": missing}
    return {"card": torch.cuda.get_device_name(), "transfers": True, "note": _PEAKS, "rows": rows}


def _captured(net: torch.nn.Module, feeds: dict[str, Any]) -> Callable[[], Any]:
    """The network as one CUDA graph."""
    fixed = {n: torch.from_numpy(x).cuda() for n, x in feeds.items()}
    side = torch.cuda.Stream()
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(3):
            net(**fixed)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        out = net(**fixed)

    def run() -> None:
        for n, x in feeds.items():
            fixed[n].copy_(torch.from_numpy(x))
        graph.replay()
        for value in out.values():
            value.cpu()

    return run


def _percentiles(work: Callable[[], Any], rounds: int, tera: float) -> dict[str, float]:
    for _ in range(3):
        work()
    taken = []
    for _ in range(max(rounds, 100)):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    half, last = np.percentile(taken, [50, 99])
    return {"p50_ms": round(1e3 * half, 3), "p99_ms": round(1e3 * last, 3), "achieved_tflops": round(tera / half, 2)}
