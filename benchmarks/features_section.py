"""The section of measured.md on features, from the parts of bench_features that were run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from features_peers import beside
from pages import machine_lines

Figures = Mapping[str, Any]


def section(document: Mapping[str, Any]) -> str:
    """What peers took beside it, then a line a part; a part that was not run has none."""
    figures, last = document["figures"], document["machine"]
    lines = [f"- {say(figures[part])}" for part, say in PARTS.items() if part in figures]
    made = {part: document.get("parts", {}).get(part, {}).get("machine", last) for part in figures}
    return "\n".join([*beside(figures), *lines, *machine_lines(made, "onnxruntime")])


def parity(f: Figures) -> str:
    worst = max(value for stages in f["stages"].values() for value in stages.values())
    graphs = ", ".join(f"{stream} {value:.1e}" for stream, value in f["onnx_against_torch"].items())
    return (
        f"I3D, random weights, against a NumPy network in doubles: at most {worst:.1e} of a stage's largest value, at "
        f"all stages; its graphs in ONNX Runtime against torch: {graphs}."
    )


def preprocess(f: Figures) -> str:
    rows = "; ".join(f"{what}: largest {x['largest']:g}, {x['values_off']} of {x['of']:,}" for what, x in f.items())
    return f"CLIP's preprocessing inside the graph, differences in levels of 255: {rows}."


def flow(f: Figures) -> str:
    speed = ", ".join(f"{name} {ms:g}" for name, ms in f["ms_a_frame"].items())
    line = f"Optical flow at {f['size'][0]}x{f['size'][1]}, milliseconds a frame: {speed}"
    if "torch_against_opencv" in f:
        clips = f["torch_against_opencv"]["clips"]
        worst = max(c["mean_endpoint_error"] for c in clips.values())
        line += f"; TV-L1 in torch against OpenCV's on {len(clips)} real clips: mean endpoint error <= {worst:g} pixels"
    return f"{line}."


def decode(f: Figures) -> str:
    clips = "; ".join(_clip(name, clip) for name, clip in f["clips"].items())
    worst = max(c["largest_difference"] for c in f["clips"].values())
    return (
        "Decoding, frames a second, ours / OpenCV's own loop (how many times as fast by the clock, and by processor "
        f"time; medians of ratios within a round): {clips}. Fitted: resized and cropped to 224; batches: of snippets. "
        f"The pictures of both loops differ by at most {worst} levels."
    )


def _clip(name: str, clip: Figures) -> str:
    rows = {what: clip[what] for what in ("rgb", "fitted", "batches")}
    said = ", ".join(
        f"{what} {r['ours']:,} / {r['opencv']:,} ({r['ratio']:.2f}, {r['cpu_ratio']:.2f})" for what, r in rows.items()
    )
    return f"{name} ({clip['size'][0]}x{clip['size'][1]}) {said}"


def encoders(f: Figures) -> str:
    rows = ", ".join(f"{name} {ms:g}" for name, ms in f["ms_a_snippet"].items())
    return f"Encoders, milliseconds a snippet of 16 frames on one thread: {rows}."


PARTS: dict[str, Callable[[Figures], str]] = {
    "parity": parity, "preprocess": preprocess, "flow": flow, "decode": decode, "encoders": encoders,
}  # fmt: skip
