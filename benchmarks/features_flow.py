"""Optical flow: milliseconds a frame of each method at 340 x 256, and how far TV-L1 in torch is from OpenCV's.

    python benchmarks/features_flow.py [--pairs 4] [--rounds 3]

Pairs of frames are taken from all over the real clips of shared/data, a drawn texture where those are absent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from common import SHARED, interleaved, machine
from numpy.typing import NDArray

from tal_engine.errors import MissingExtraError
from tal_engine.lab.nn.tvl1 import TorchTvl1
from tal_engine.video import open_video
from tal_engine.video.flow import PairFlow, dis_pairs, tvl1_pairs

Grey = NDArray[np.uint8]
WIDTH, HEIGHT = 340, 256
#: A GPU gets so many pairs at once.
GPU_PAIRS = 64


def clips() -> dict[str, Callable[[int], tuple[Grey, Grey]]]:
    """Sources of pairs: the real clips, or a texture that moves."""
    found = sorted((SHARED / "videos").glob("*.mp4"))
    return {p.stem: lambda n, p=p: real_pairs(p, n) for p in found} or {"texture": drawn_pairs}


def real_pairs(path: Any, count: int) -> tuple[Grey, Grey]:
    """Pairs of frames next to each other, evenly spread over a clip."""
    with open_video(path) as video:
        frames = [cv2.cvtColor(cv2.resize(f.image(), (WIDTH, HEIGHT)), cv2.COLOR_RGB2GRAY) for f in video.frames]
    at = np.linspace(0, len(frames) - 2, count).astype(int)
    return np.stack([frames[i] for i in at]), np.stack([frames[i + 1] for i in at])


def drawn_pairs(count: int) -> tuple[Grey, Grey]:
    noise = np.random.default_rng(0).uniform(0, 255, (HEIGHT + 8, WIDTH + 8)).astype(np.float32)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    before = image[4 : 4 + HEIGHT, 4 : 4 + WIDTH]
    after = image[2 : 2 + HEIGHT, 1 : 1 + WIDTH]
    return np.stack([before] * count), np.stack([after] * count)


def methods() -> dict[str, PairFlow]:
    """Every method that this machine has."""
    found: dict[str, PairFlow] = {"dis": dis_pairs(), "torch-cpu": TorchTvl1("cpu", batch=1).pairs}
    with contextlib.suppress(MissingExtraError):
        found["tvl1"] = tvl1_pairs()
    if torch.cuda.is_available():
        found["torch-cuda"] = TorchTvl1("cuda", batch=GPU_PAIRS).pairs
    return found


def speed(pairs: int = 4, rounds: int = 3) -> dict[str, float]:
    """Median milliseconds of wall clock a pair, by method; GPU batches are full."""
    sources = list(clips().values())
    chosen = methods()
    work = {}
    for name, flow in chosen.items():
        count = GPU_PAIRS if name == "torch-cuda" else pairs
        made = [source(-(-count // len(sources))) for source in sources]
        before, after = (np.concatenate(side)[:count] for side in zip(*made, strict=True))
        work[name] = (lambda flow=flow, a=before, b=after: flow(a, b), count)
    taken = interleaved({name: run for name, (run, _) in work.items()}, rounds)
    return {name: round(1e3 * taken[name] / count, 2) for name, (_, count) in work.items()}


def parity(pairs: int = 4) -> dict[str, Any]:
    """Torch against OpenCV by clip: mean endpoint error in pixels, share of pixels that are off by more than 0.5."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mine, theirs = TorchTvl1(device, batch=1 if device == "cpu" else GPU_PAIRS).pairs, tvl1_pairs()
    out = {}
    for name, source in clips().items():
        before, after = source(pairs)
        wanted = theirs(before, after)
        off = np.linalg.norm(mine(before, after) - wanted, axis=-1)
        out[name] = {
            "mean_flow": round(float(np.linalg.norm(wanted, axis=-1).mean()), 3),
            "mean_endpoint_error": round(float(off.mean()), 5),
            "percent_over_half_pixel": round(100 * float((off > 0.5).mean()), 4),
        }
    return {"device": device, "clips": out}


def flow(pairs: int = 4, rounds: int = 3) -> dict[str, Any]:
    """All figures; parity only where OpenCV has its contrib modules."""
    figures: dict[str, Any] = {
        "size": [WIDTH, HEIGHT],
        "threads": {"torch": torch.get_num_threads(), "opencv": cv2.getNumThreads()},
        "opencv": cv2.__version__,
        "ms_a_frame": speed(pairs, rounds),
    }
    if "tvl1" in figures["ms_a_frame"]:
        figures["torch_against_opencv"] = parity(pairs)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(json.dumps({"machine": machine(), **flow(args.pairs, args.rounds)}))


if __name__ == "__main__":
    main()
