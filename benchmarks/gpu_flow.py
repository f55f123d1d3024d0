"""Part "flow" of gpu_day: TV-L1 on the card in torch and as ONNX graphs, beside OpenCV's on the processor."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gpu_common import Day, finish_work

WIDTH, HEIGHT, FPS = 340, 256, 25
BATCHES, SMALL_BATCHES = (64, 256, 16), (1,)
#: Pairs that OpenCV is timed on: it takes tenths of a second for each.
FEW, FEW_SMALL = 4, 1


def flow(day: Day) -> None:
    before, after = pairs(max(day.pick(BATCHES, SMALL_BATCHES)), *day.pick((HEIGHT, WIDTH), (64, 80)))
    for batch in day.pick(BATCHES, SMALL_BATCHES):
        name = f"torch, {batch} pairs at a time"
        day.row(name, lambda b=batch: _torch(day, before[:b], after[:b]), least=2.0)
    first = day.pick(BATCHES, SMALL_BATCHES)[0]
    name = f"onnxruntime, {first} pairs at a time"
    day.row(name, lambda: _onnx(day, before[:first], after[:first]), ["onnxruntime", "tal_engine._core"], least=3.0)
    few = day.pick(FEW, FEW_SMALL)
    day.row("OpenCV on the processor", lambda: _opencv(before[:few], after[:few]), ["cv2", "av", "tal_engine._core"])
    day.row("torch against OpenCV", lambda: _parity(day, before[:few], after[:few]), ["cv2", "av", "tal_engine._core"])


def pairs(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth textures that move by (1, 2) pixels, each of its own, as grey pictures [N, H, W] uint8."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : height + 8, 0 : width + 8].astype(np.float32)
    pictures = []
    for _ in range(count):
        waves = [(rng.uniform(0.02, 0.4, 2), rng.uniform(0, 6.28)) for _ in range(12)]
        drawn = sum(np.sin(a * x + b * y + shift) for (a, b), shift in waves)
        pictures.append(np.clip(127 + 20 * drawn, 0, 255).astype(np.uint8))
    whole = np.stack(pictures)
    cut = np.ascontiguousarray
    return cut(whole[:, 4 : 4 + height, 4 : 4 + width]), cut(whole[:, 2 : 2 + height, 3 : 3 + width])


def _torch(day: Day, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    from tal_engine.lab.nn.tvl1 import TorchTvl1

    found = TorchTvl1(day.device, batch=len(before)).pairs
    return _timed(lambda: found(before, after), len(before), day)


def _onnx(day: Day, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    from tal_engine.video.flow_tvl1 import OnnxTvl1

    found = OnnxTvl1(day.device, batch=len(before)).pairs
    return _timed(lambda: found(before, after), len(before), day)


def _opencv(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    import cv2

    from tal_engine.video.flow import tvl1_pairs

    calc = tvl1_pairs()
    found = _timed(lambda: calc(before, after), len(before), None)
    return {**found, "threads": cv2.getNumThreads(), "opencv": cv2.__version__}


def _timed(run: Any, count: int, day: Day | None) -> dict[str, Any]:
    taken = []
    for _ in range(3 if day is None or not day.rehearse else 2):
        began = time.perf_counter()
        run()
        if day is not None:
            finish_work(day.device)
        taken.append(time.perf_counter() - began)
    seconds = min(taken[1:])
    return {"ms_a_frame": round(1e3 * seconds / count, 3), "times_real_time": round(count / seconds / FPS, 2)}


def _parity(day: Day, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    from tal_engine.lab.nn.tvl1 import TorchTvl1
    from tal_engine.video.flow import tvl1_pairs

    wanted = tvl1_pairs()(before, after)
    off = np.linalg.norm(TorchTvl1(day.device).pairs(before, after) - wanted, axis=-1)
    mean_flow = float(np.linalg.norm(wanted, axis=-1).mean())
    return {"mean_endpoint_error": round(float(off.mean()), 5), "mean_flow": round(mean_flow, 3)}
