"""Image and video towers in half precision and in eight bits, as `tal plan build` converts them, with random weights.

What is told is whether a tower can be converted, and how far rounding moves features of drawn videos that were not
calibrated on. How much of a head's accuracy it costs, the gate of a plan measures on its user's videos.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoder_names import stirred
from numpy.typing import NDArray

from tal_engine._util.instructions import instructions
from tal_engine.backends import open_backend
from tal_engine.demo.render import render
from tal_engine.demo.script import write_script
from tal_engine.errors import ExportError
from tal_engine.export.encoder_graphs import NATIVE_SIZE
from tal_engine.export.precision import Share, to_half
from tal_engine.export.quantize import to_int8
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.nn.clip_image import ClipImage
from tal_engine.lab.nn.open_clip_models import find

IMAGES = ("MobileCLIP2-S0", "RN50")
#: Small networks in the hub's layout: width, layers, picture, frames.
VIDEOS = {"vjepa2": (192, 4, 64, 16), "videomae": (192, 4, 64, 16)}
THREADS, ROUNDS, SNIPPETS, FILES = 1, 5, 2, 4


def table(rows: dict[str, Any], keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Measure the towers that `rows` lacks; `keep` is given what there is after each."""
    torch.set_num_threads(THREADS)
    for name in (n for n in (*VIDEOS, *IMAGES) if n not in rows):
        net, window = tower(name)
        if net is None:
            continue
        rows[name] = row(net, window)
        print(name, rows[name], flush=True)
        keep(_about(rows))
    return _about(rows)


def _about(rows: dict[str, Any]) -> dict[str, Any]:
    return {"towers": rows, "vnni": "vnni" in str(instructions()), "threads": THREADS}


def tower(name: str) -> tuple[torch.nn.Module | None, int]:
    """Return a tower with random weights and the frames that it is given; None where its library is missing."""
    if name not in VIDEOS:
        return ClipImage(stirred(find(name).image_tower()), find(name).pixels()), 16
    try:
        import transformers
    except ImportError:
        print(f"{name}: skipped, transformers is not installed")
        return None, 0
    from tal_engine.lab.nn.video_towers import SNIPPETS as WINDOWS
    from tal_engine.lab.nn.video_towers import load_video

    folder = Path(tempfile.mkdtemp())
    width, layers, size, frames = VIDEOS[name]
    common = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 3}
    if name == "vjepa2":
        config = transformers.VJEPA2Config(
            **common, crop_size=size, frames_per_clip=frames, pred_hidden_size=24, pred_num_attention_heads=2,
            pred_num_hidden_layers=1, num_pooler_layers=1,
        )  # fmt: skip
        net = transformers.VJEPA2Model(config)
    else:
        config = transformers.VideoMAEConfig(
            **common, image_size=size, num_frames=frames, intermediate_size=4 * width, decoder_hidden_size=24,
            decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=24,
        )  # fmt: skip
        net = transformers.VideoMAEModel(config)
    stirred(net).save_pretrained(folder)
    pixels = {"size": {"shortest_edge": size + 8}, "crop_size": {"height": size, "width": size}, "resample": 2,
              "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return load_video(name, folder), WINDOWS[name].window


def drawn(window: int, seed: int) -> NDArray[np.uint8]:
    """Snippets of a drawn video [N, window, H, W, 3]."""
    script = write_script(f"v{seed}", [7, seed], duration=(8, 8), instances=(1, 2))
    frames = np.stack([np.asarray(f) for f in render(script)])
    starts = np.linspace(0, len(frames) - window, SNIPPETS).astype(int)
    return np.stack([frames[s : s + window] for s in starts])


def row(net: torch.nn.Module, window: int) -> dict[str, Any]:
    shape = (2, window, NATIVE_SIZE["H"], NATIVE_SIZE["W"], 3)
    content, _ = to_onnx(net, {"frames": torch.zeros(*shape, dtype=torch.uint8)}, {0: "B", 2: "H", 3: "W"}, "e.onnx")
    videos = [drawn(window, seed) for seed in range(FILES)]
    train, test = [{"frames": v} for v in videos[:-1]], videos[-1]
    wide = open_backend(content, "e.onnx", "cpu", threads=THREADS)
    wanted = wide.run({"frames": test})["feature"]
    found: dict[str, Any] = {"megabytes": round(len(content) / 1e6, 1), "fp32_ms": timed(wide, test)}
    for kind in ("fp16", "int8"):
        try:
            made: tuple[bytes, Share] = (
                to_half(content, "e.onnx") if kind == "fp16" else to_int8(content, "e.onnx", train)
            )
        except ExportError as e:
            found[kind] = {"error": str(e)}
            continue
        graph = open_backend(made[0], "e.onnx", "cpu", threads=THREADS)
        got = graph.run({"frames": test})["feature"]
        lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
        found[kind] = {"cosine_least": round(float(((wanted * got).sum(1) / lengths).min()), 6),
                       "megabytes": round(len(made[0]) / 1e6, 1), "ms": timed(graph, test)}  # fmt: skip
    return found


def timed(graph: Any, frames: NDArray[np.uint8]) -> float:
    """Milliseconds of processor time a snippet, median."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        graph.run({"frames": frames})
        taken.append((time.process_time() - began) / len(frames) * 1000)
    return round(statistics.median(taken), 2)
