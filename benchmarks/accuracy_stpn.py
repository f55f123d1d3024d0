"""STPN's published THUMOS14 head on real I3D features of one real video: file, checkpoint, plan, segments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED

sys.path.insert(0, str(Path(__file__).parents[1]))  # the textbook twin is the tests'

from tal_engine.engine import TALEngine
from tal_engine.export import bundle
from tal_engine.lab.training import checkpoint, import_weights
from tests.reference import stpn as twin

STREAMS = {"rgb": ("rgb",), "rgb + flow": ("rgb", "flow")}
TOLERANCE = 1e-5


def stpn(work: Path) -> dict[str, Any]:
    """Of rgb alone and of both streams, for every stack that features are stored for."""
    label, start, end = twin.ACTION
    return {
        "what": f"{twin.VIDEO}, {label} from {start} to {end} s of {twin.SECONDS} s; published thresholds",
        "rows": {name: rows(work / name.replace(" + ", "_"), streams) for name, streams in STREAMS.items()},
    }


def rows(folder: Path, streams: tuple[str, ...]) -> dict[str, Any]:
    """Import and export the head of these streams, then localize."""
    import_weights.save(folder / "checkpoint", import_weights.read([twin.weights(SHARED, s) for s in streams]))
    bundle.export(checkpoint.load(folder / "checkpoint"), None, folder / "stpn.plan", name="stpn")
    engine = TALEngine.load(folder / "stpn.plan", "cpu")
    return {setting: row(engine, setting, streams) for setting in twin.SETTINGS}


def row(engine: TALEngine, setting: str, streams: tuple[str, ...]) -> dict[str, Any]:
    """The likeliest class, how its segments meet the action, and how far activations are from NumPy's."""
    features = twin.stored(SHARED, setting, streams)
    result = engine.localize(features)
    found = result.activations
    pairs = zip((found.cas, found.attention, found.video), twin.by_hand(SHARED, features.streams), strict=True)
    worst = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    if worst > TOLERANCE:
        raise AssertionError(f"{setting}: activations are {worst:.1e} from the NumPy reference")
    best = int(found.video.argmax())
    top = result[0]
    return {
        "label": import_weights.THUMOS14[best],
        "probability": float(found.video[best]),
        "best_tiou": max((twin.overlap(s) for s in result if s.label == twin.ACTION[0]), default=0.0),
        "top": {"label": top.label, "start": top.start, "end": top.end, "score": top.score},
        "top_tiou": twin.overlap(top) if top.label == twin.ACTION[0] else 0.0,
        "segments": len(result),
        "worst_difference": worst,
    }
