"""PVLR at its published width with random weights: what is timed when weights do not matter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tal_engine.export.quantize import to_int8
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.methods import load_method
from tal_engine.options import I3D_SNIPPETS, SegmentOptions
from tal_engine.plan.archive import Plan, with_members
from tal_engine.plan.fields import Method
from tal_engine.plan.manifest import Manifest
from tal_engine.vocabulary import Vocabulary

WIDTH, CLASSES = 1024, 20
STREAMS = ("rgb", "flow")
#: THUMOS14's classes, in the order of its annotation.
NAMES = (
    "BaseballPitch", "BasketballDunk", "Billiards", "CleanAndJerk", "CliffDiving", "CricketBowling", "CricketShot",
    "Diving", "FrisbeeCatch", "GolfSwing", "HammerThrow", "HighJump", "JavelinThrow", "LongJump", "PoleVault",
    "Shotput", "SoccerPenalty", "TennisSwing", "ThrowDiscus", "VolleyballSpiking",
)  # fmt: skip


def published_head() -> tuple[torch.nn.Module, Plan]:
    """The frozen network, and its plan, of the public code's settings on THUMOS14."""
    method = load_method("pvlr")
    config = method.Config(**method.RECIPES["thumos14-code"].config)
    torch.manual_seed(0)
    net: Any = method.build(config, Vocabulary(NAMES), None).eval()
    torch.nn.init.normal_(net.folded_text)  # no text tower is at hand, and zeros have no direction
    frozen = method.freeze(net)
    example = {s: torch.randn(1, 23, WIDTH) for s in STREAMS}
    content, graph = to_onnx(frozen, example, {0: "B", 1: "T"}, "head.onnx")
    manifest = Manifest(
        name="pvlr", method=Method(name="pvlr", config=asdict(config)), vocabulary=list(NAMES), snippet=I3D_SNIPPETS,
        encoders=[], streams=dict.fromkeys(STREAMS, WIDTH), head=graph, proposal=method.proposal_options(config),
        nms=method.nms_options(config), segment=SegmentOptions(),
    )  # fmt: skip
    return frozen, with_members(manifest, {"head.onnx": content})


def random_streams(batch: int, length: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Features as I3D's are spread: not negative."""
    rng = np.random.default_rng(seed)
    return {s: np.abs(rng.normal(size=(batch, length, WIDTH))).astype(np.float32) for s in STREAMS}


def calibrated(plan: Plan) -> bytes:
    """The head in int8. Not behind the gate: random weights find no actions that could stay where they are."""
    return to_int8(plan.files["head.onnx"], "head.onnx", [random_streams(1, 100, seed=s) for s in range(1, 5)])[0]
