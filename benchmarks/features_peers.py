"""Features beside published code: what peers took for the same work, and the table of both.

Peers' figures were taken once, by running their own code on two cores of an AMD EPYC (2026-11-21, OpenCV 5.0.0,
torch 2.13), medians of at least six runs; ours are stored by bench_features. The machines differ, so a ratio near one
says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pages import table

Figures = Mapping[str, Any]


class Work(NamedTuple):
    """One row. parts: of bench_features, all needed. ours: text from the figures of these parts."""

    what: str
    parts: tuple[str, ...]
    ours: Callable[[Figures], str]
    peers: str


def _decoded(f: Figures) -> str:
    d = f["decode"]
    fps = d["clips"]["v_GGSY1Qvo990.mp4"]["rgb"]["ours"] if "clips" in d else d["frames_a_second"]["ours"]
    return f"{fps:,} (320x240)"


def _flow(name: str) -> Callable[[Figures], str]:
    return lambda f: f"{f['flow']['ms_a_frame'][name]:,.3g}" if name in f["flow"]["ms_a_frame"] else "–"


def _i3d(stream: str) -> Callable[[Figures], str]:
    def say(f: Figures) -> str:
        ms = f["encoders"]["ms_a_snippet"]
        return f"ONNX Runtime {ms[f'i3d-{stream}: onnxruntime']:.0f}, torch {ms[f'i3d-{stream}: torch']:.0f}"

    return say


ROWS = (
    Work(
        "decode to RGB, frames a second",
        ("decode",),
        _decoded,
        "torchcodec 4,860, OpenCV 4,834, decord 4,681, PyAV 2,881 (340x256)",
    ),
    Work("TV-L1 of OpenCV, 340x256, ms a pair, two threads", ("flow",), _flow("tvl1"), "OpenCV 441"),
    Work("TV-L1 in torch, 340x256, ms a pair, one thread", ("flow",), _flow("torch-cpu"), "OpenCV on one thread 720"),
    Work("DIS at its fast preset, 340x256, ms a pair, two threads", ("flow",), _flow("dis"), "OpenCV 1.26"),
    Work(
        "I3D RGB, 16 frames of 224x224, ms, one thread",
        ("encoders",),
        _i3d("rgb"),
        "pytorch-i3d 641 (two threads 349)",
    ),
    Work("I3D flow, 16 fields of 224x224, ms, one thread", ("encoders",), _i3d("flow"), "pytorch-i3d, two threads 311"),
)


def beside(figures: Figures) -> list[str]:
    """Lines of the table; rows of parts that were not run are left out."""
    rows = [(w.what, w.ours(figures), w.peers) for w in ROWS if all(p in figures for p in w.parts)]
    if not rows:
        return []
    return [
        "Beside published code, whose figures are stored ones, of two cores of an AMD EPYC and of another clip:",
        "",
        *table(("work", "tal_engine", "peers"), rows),
        "",
    ]
