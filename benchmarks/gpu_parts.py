"""The parts of gpu_day in order of worth: what each measures, its share of the time, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part: `function` of `module` gets a `gpu_common.Day`.

    seconds: of a day of ten minutes. needs: packages without which no row of it can run; a row may need more.
    """

    title: str
    module: str
    function: str
    seconds: float
    needs: tuple[str, ...] = ("torch",)


_ENGINE = ("numpy", "pydantic", "onnxruntime", "tal_engine._core")
_VIDEO = (*_ENGINE, "av", "cv2")

PARTS: dict[str, Part] = {
    "card": Part("card, driver, libraries, smoke", "gpu_card", "card", 25, ()),
    "head": Part("latency of PVLR's head at its published width", "gpu_heads", "published", 90),
    "pass": Part("the THUMOS14-sized pass", "gpu_pass", "whole_pass", 50),
    "parity": Part("segments of the card against the CPU's", "gpu_checks", "parity", 35, _VIDEO),
    "encoders": Part("snippets a second of the encoders", "gpu_encoders", "encoders", 100),
    "flow": Part("TV-L1 on the card", "gpu_flow", "flow", 25),
    "end_to_end": Part("localize: videos to segments", "gpu_streams", "end_to_end", 40, _VIDEO),
    "training": Part("training steps a second", "gpu_training", "training", 55),
    "checks": Part("GPU tests, out of memory, device loss", "gpu_checks", "checks", 60),
    "heads": Part("latency of the other methods' heads", "gpu_heads", "others", 60),
    "streams": Part("live streams that one card holds", "gpu_streams", "live", 60, (*_VIDEO, "psutil")),
}
