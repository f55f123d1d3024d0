"""Parts "head" and "heads" of gpu_day: what a head takes on the card, by runtime and precision.

Inputs lie on the card and outputs stay there; rows "with transfers" go from and to arrays of the host. Weights and
features are random: no time depends on them.
"""

from __future__ import annotations

import fcntl
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_common import Day, latency, missing
from torch import nn

METHODS = ("pvlr", "distill_collab", "vlpo", "tsm_vlc", "apn")
#: (B, T), those that matter most first.
SIZES = ((1, 750), (8, 750), (32, 750), (1, 320), (1, 3000), (8, 320), (8, 3000), (32, 320), (32, 3000))
SMALL_SIZES = ((1, 20),)
CLASSES = tuple(f"action {i}" for i in range(20))
#: What a plan of a head takes.
GRAPHS = ("onnx", "onnxscript", "onnxruntime", "pydantic", "tal_engine._core")
PRECISIONS = ("fp32", "fp16", "bf16")
#: In a rehearsal one head is exported: an export takes tens of seconds there, and is one for all methods.
REHEARSED = ("pvlr",)


def published(day: Day) -> None:
    """PVLR in everything."""
    measure(day, "pvlr", compiled=True)


def others(day: Day) -> None:
    """The other methods: all without torch.compile first, which takes many seconds for each."""
    for name in METHODS[1:]:
        measure(day, name, compiled=False)
    for name in day.pick(METHODS[1:], ()):  # a rehearsal has traced PVLR
        day.row(f"{name} compiled", lambda n=name: _compiled_alone(day, n), least=day.pick(25.0, 1.0))


def network(name: str, small: bool) -> tuple[nn.Module, Any, Any, dict[str, int]]:
    """A frozen head by its THUMOS14 settings, its method and config, and the width of each stream it reads."""
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.nn.hashed_text import HashedText
    from tal_engine.vocabulary import Vocabulary

    torch.manual_seed(0)
    method = load_method(name)
    config = method.Config(**method.RECIPES["thumos14"].config)
    if small:
        config = replace(config, rgb=32, flow=32)
    text = HashedText(config.joint) if method.uses_text else None
    net = method.build(config, Vocabulary(CLASSES), text).eval()
    widths = {"rgb": config.rgb, "flow": config.flow, "clip": getattr(config, "joint", 0)}
    frozen = method.freeze(net).eval().requires_grad_(False)
    return frozen, method, config, {s: widths[s] for s in method.inference_streams(config)}


def plan_of(day: Day, name: str) -> Any:
    """The plan of a head; kept in the folder of the day, since an export takes long."""
    from tal_engine.plan.archive import read_plan, write_plan

    path = Path(day.path).parents[1] / f"{name}.plan"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another part may be at it
        if path.exists():
            return read_plan(path)
        plan = _exported(name, day.rehearse)
        write_plan(path, plan)
    return plan


def _exported(name: str, small: bool) -> Any:
    """The plan of a head: an export of many seconds."""
    from dataclasses import asdict

    from tal_engine.export.to_onnx import to_onnx
    from tal_engine.options import I3D_SNIPPETS, SegmentOptions
    from tal_engine.plan.archive import with_members
    from tal_engine.plan.fields import Method
    from tal_engine.plan.manifest import Manifest

    frozen, method, config, widths = network(name, small)
    example = {s: torch.rand(1, 23, w) for s, w in widths.items()}
    content, graph = to_onnx(frozen.cpu(), example, {0: "B", 1: "T"}, "head.onnx")
    manifest = Manifest(
        name=name, method=Method(name=name, config=asdict(config)), vocabulary=list(CLASSES), snippet=I3D_SNIPPETS,
        encoders=[], streams=widths, head=graph, proposal=method.proposal_options(config),
        nms=method.nms_options(config), segment=SegmentOptions(),
    )  # fmt: skip
    return with_members(manifest, {"head.onnx": content})


def graphs_of(content: bytes, member: str) -> dict[str, bytes | str]:
    """A graph in each precision, or why there is none."""
    from tal_engine.export.bfloat import to_bfloat
    from tal_engine.export.precision import to_half

    found: dict[str, bytes | str] = {"fp32": content}
    for name, convert in (("fp16", to_half), ("bf16", to_bfloat)):
        try:
            found[name] = convert(content, member)[0]
        except Exception as e:  # what a graph cannot be is a row that is not run
            found[name] = str(e)
    return found


def opened(content: bytes | str, member: str, device: str, rows: int = 0) -> Any:
    """A backend, or the reason why there is none."""
    from tal_engine.backends import RunOptions, Runtime
    from tal_engine.errors import TALError

    if isinstance(content, str):
        return content
    try:
        return Runtime(device, RunOptions(), strict=True).open(content, member, rows=rows)
    except TALError as e:
        return str(e)


def bound(backend: Any, feeds: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A call of a backend whose arrays stay on the card; on the CPU, from and to arrays."""
    if not hasattr(backend, "run_on_card"):
        return lambda: backend.run(feeds)
    there = {n: backend.send(a) for n, a in feeds.items()}
    return lambda: backend.run_on_card(there)


def measure(day: Day, name: str, compiled: bool) -> None:
    """A row for each size: p50 and p99 of every runtime, or why it did not run."""
    exact()
    frozen, _, _, widths = network(name, day.rehearse)
    backends: dict[str, Any] = dict.fromkeys(PRECISIONS, f"not installed: {', '.join(missing(GRAPHS))}")
    if day.rehearse and name not in REHEARSED:
        backends = dict.fromkeys(PRECISIONS, "not exported in a rehearsal")
    elif not missing(GRAPHS):
        try:
            plan = plan_of(day, name)
            made = graphs_of(plan.files["head.onnx"], "head.onnx")
            backends = {p: opened(g, "head.onnx", day.device) for p, g in made.items()}
        except Exception as e:  # torch runs all the same
            backends = dict.fromkeys(PRECISIONS, f"{type(e).__name__}: {e}")
    net = frozen.to(day.device)
    quick = _compiled(net, day) if compiled else None
    for batch, length in day.pick(SIZES, SMALL_SIZES):
        row = f"{name} B={batch} T={length}"
        day.row(row, lambda b=batch, t=length: _cells(day, net, quick, widths, backends, b, t), least=3.0)


def _cells(
    day: Day, net: nn.Module, quick: Any, widths: dict[str, int], backends: dict[str, Any], batch: int, length: int
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    feeds = {s: np.abs(rng.normal(size=(batch, length, w))).astype(np.float32) for s, w in widths.items()}
    there = {s: torch.from_numpy(a).to(day.device) for s, a in feeds.items()}
    work: dict[str, Any] = {"torch eager fp32": lambda: _inferred(net, there)}
    work["torch eager bf16"] = lambda: _narrow(net, there, day.device)
    if quick is not None:
        work["torch.compile fp32"] = lambda: _inferred(quick, there)
    for precision, backend in backends.items():
        work[f"onnxruntime {precision}"] = backend if isinstance(backend, str) else bound(backend, feeds)
    if batch == 1 and not isinstance(backends["fp32"], str):
        work["onnxruntime fp32 with transfers"] = lambda: backends["fp32"].run(feeds)
    found = {name: cell(run, day) for name, run in work.items()}
    # Last: a capture that fails may leave what comes after it on the card in disorder.
    graph = "no CUDA" if day.device == "cpu" else captured(net, there)
    found["torch CUDA graph fp32"] = cell(graph, day)
    del graph
    work.clear()
    there.clear()
    gc.collect()
    if day.device == "cuda":
        torch.cuda.empty_cache()
    return found


def cell(run: Callable[[], Any] | str, day: Day) -> dict[str, Any]:
    """Percentiles of a call, or why it did not run."""
    if isinstance(run, str):
        return {"not_run": run[:300]}
    try:
        return latency(run, day, 0.25)
    except Exception as e:  # such as memory that is short at the largest size
        return {"not_run": f"{type(e).__name__}: {' '.join(str(e).split())[:300]}"}


def exact() -> None:
    """float32 means float32: cuDNN multiplies convolutions with 10 bits otherwise."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _inferred(net: Any, there: dict[str, torch.Tensor]) -> Any:
    with torch.inference_mode():
        return net(**there)


def _narrow(net: nn.Module, there: dict[str, torch.Tensor], device: str) -> Any:
    with torch.autocast(device, torch.bfloat16):
        return _inferred(net, there)


def _compiled(net: nn.Module, day: Day) -> Any:
    # One program for all sizes. In a rehearsal it is traced and not compiled, which takes a C++ compiler.
    return torch.compile(net, dynamic=True, backend=day.pick("inductor", "eager"))


def _compiled_alone(day: Day, name: str) -> dict[str, Any]:
    exact()
    net, _, _, widths = network(name, day.rehearse)
    batch, length = day.pick(SIZES, SMALL_SIZES)[0]
    there = {s: torch.rand(batch, length, w, device=day.device) for s, w in widths.items()}
    quick = _compiled(net.to(day.device), day)
    return {"B": batch, "T": length, "torch.compile fp32": cell(lambda: _inferred(quick, there), day)}


def captured(net: nn.Module, there: dict[str, torch.Tensor]) -> Callable[[], Any] | str:
    """The network as one CUDA graph that reads these tensors in place; or why it cannot be one."""
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(side):
            for _ in range(3):
                net(**there)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), torch.cuda.graph(graph):
            kept = net(**there)
    except Exception as e:  # a head that asks the host something cannot be captured
        return f"{type(e).__name__}: {e}"
    return lambda: (graph.replay(), kept)
