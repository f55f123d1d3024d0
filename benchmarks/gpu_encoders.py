"""Part "encoders" of gpu_day: snippets a second on the card, by encoder, runtime, precision and batch.

Snippets of 16 frames of 224 x 224 lie on the card (the demonstration's are smaller); rows "with transfers" upload them.
Weights are random, but for the demonstration's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpu_common import Day, missing, rate
from gpu_heads import GRAPHS, bound, exact, graphs_of, opened
from torch import nn

BATCHES, SMALL_BATCHES = (8, 32, 1, 64), (1,)
WINDOW, SIDE = 16, 224
#: The demonstration encoders' crop.
DEMO_SIDE = 112


def encoders(day: Day) -> None:
    exact()
    measure(day, "I3D rgb", lambda: _i3d(day, "rgb"))
    measure(day, "I3D flow", lambda: _i3d(day, "flow"))
    measure(day, "CLIP ViT-B/16", lambda: _clip(day), ("open_clip",))
    for stream in ("rgb", "flow", "clip"):
        measure(day, f"demonstration {stream}", lambda s=stream: _demo(s), ("safetensors",), stored=stream)
    day.skip("pose", "this version has no pose encoder")


def _i3d(day: Day, stream: str) -> nn.Module:
    from tal_engine.lab.nn.i3d import I3DRGB, I3DFlow

    narrow = day.pick(1, 16)
    return I3DRGB(narrow) if stream == "rgb" else I3DFlow(narrow)


def _clip(day: Day) -> nn.Module:
    import open_clip

    from tal_engine.lab.nn.clip_image import ClipImage

    changes = day.pick({}, {"vision_cfg": {"image_size": 224, "layers": 1, "width": 64, "patch_size": 32}})
    return ClipImage(open_clip.create_model("ViT-B-16", pretrained=None, load_weights=False, **changes))


def _demo(stream: str) -> nn.Module:
    from tal_engine.lab.nn.tiny import TINY_WEIGHTS, load_tiny

    towers = load_tiny(TINY_WEIGHTS)
    return {"rgb": towers.rgb, "flow": towers.flow, "clip": towers.image}[stream]


def measure(day: Day, name: str, build: Callable[[], nn.Module], needs: tuple[str, ...] = (), stored: str = "") -> None:
    """Torch eager first, then the graphs; `stored`: the stream whose graph the plan 'demo' has."""
    if lacking := missing(needs):
        return day.skip(name, f"not installed: {', '.join(lacking)}")
    torch.manual_seed(0)
    try:
        net = build().eval().requires_grad_(False)
    except Exception as e:  # an encoder that cannot be built costs its own rows
        return day.skip(name, f"{type(e).__name__}: {e}")
    side = DEMO_SIDE if stored else SIDE
    for precision in day.pick(("fp16", "fp32"), ("fp16",)):
        day.row(f"{name}, torch eager {precision}", lambda p=precision: _eager(day, net, p, side), least=3.0)
    if day.rehearse and not stored:  # an export takes ten seconds, and the head's is rehearsed
        return day.skip(f"{name}, onnxruntime", "not exported in a rehearsal")
    day.row(f"{name}, onnxruntime", lambda: _graphs(day, name, net.cpu(), stored), GRAPHS, least=10.0)
    return None


def feeds_of(net: Any, count: int, side: int) -> dict[str, np.ndarray]:
    """Random snippets as the encoder reads them."""
    rng = np.random.default_rng(0)
    if net.reads == "frames":
        return {"frames": rng.integers(0, 255, (count, WINDOW, side, side, 3), np.uint8)}
    return {"flow": rng.uniform(-20, 20, (count, WINDOW, side, side, 2)).astype(np.float32)}


def _eager(day: Day, net: Any, precision: str, side: int) -> dict[str, Any]:
    net, found = net.to(day.device), {}
    for batch in day.pick(BATCHES, SMALL_BATCHES):
        there = {n: torch.from_numpy(a).to(day.device) for n, a in feeds_of(net, batch, side).items()}
        # The CPU of a rehearsal has no fast half precision, and computes in float32.
        narrow = precision == "fp16" and not day.rehearse

        def run(there: dict[str, Any] = there, narrow: bool = narrow) -> None:
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=narrow):
                net(**there)

        found[f"batch {batch}"] = _rate(day, run, batch)
    return found


def _rate(day: Day, run: Callable[[], Any], batch: int) -> Any:
    try:
        return rate(run, batch, day, 0.8)
    except Exception as e:  # such as memory that is short at the largest batch
        return f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"


def _graphs(day: Day, name: str, net: Any, stored: str) -> dict[str, Any]:
    content, side = _stored(stored) if stored else _exported(day, name, net)
    found: dict[str, Any] = {}
    for precision, graph in graphs_of(content, "encoder.onnx").items():
        if precision == "bf16":
            continue
        backend = opened(graph, f"{name}.onnx", day.device)
        if isinstance(backend, str):
            found[precision] = backend[:300]
            continue
        found[f"{precision} runs on"] = backend.description
        for batch in day.pick(BATCHES, SMALL_BATCHES):
            feeds = feeds_of(net, batch, side)
            found[f"{precision}, batch {batch}"] = _rate(day, bound(backend, feeds), batch)
            if batch == BATCHES[0]:
                found[f"{precision}, batch {batch}, with transfers"] = _rate(
                    day, lambda b=backend, x=feeds: b.run(x), batch
                )
    return found


def _stored(stream: str) -> tuple[bytes, int]:
    from tal_engine.engine import EMBEDDED_PLAN
    from tal_engine.plan.archive import read_plan

    plan = read_plan(EMBEDDED_PLAN)
    spec = next((e for e in plan.manifest.encoders if e.stream == stream), None)
    if spec is None:
        raise LookupError(f"the plan 'demo' has no encoder of the stream {stream!r}")
    return plan.files[spec.graph.member], int(spec.graph.inputs[0].shape[2])


def _exported(day: Day, name: str, net: Any) -> tuple[bytes, int]:
    """The graph without the export gate, which runs it on the CPU for a while; kept in the folder of the day."""
    from tal_engine.export.to_onnx import to_onnx

    path = day.path.parents[1] / f"{name.replace('/', '').replace(' ', '_')}.onnx"
    if not path.exists():
        example = {n: torch.from_numpy(a) for n, a in feeds_of(net, 2, SIDE).items()}
        path.write_bytes(to_onnx(net, example, {0: "B"}, path.name)[0])
    return path.read_bytes(), SIDE
