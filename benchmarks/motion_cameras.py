"""Real motion capture of one person, rendered from several sets of cameras: how much of a figure is the cameras.

A part of first_light. Each seed draws six cameras in the front half around the person for every session; a row is the
mean and spread over seeds of the figure of all sessions from those six. People are not varied: one labelled person is
at hand, and another one gives another figure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED, spread
from mocap import Recording, read_recordings, views

from tal_engine import Segment, TALEngine
from tal_engine.demo.demo_set import write_video
from tal_engine.demo.render import render_joints
from tal_engine.metrics import WTAL_TIOUS, Evaluation, evaluate

VIEWS = 6
#: Seeds of the cameras.
CAMERAS = (0, 1, 2, 3)
#: Evaluation takes all segments, not those above the operating point.
EVERYTHING: dict[str, Any] = {"min_score": -np.inf, "top_k": 0}


def scores(e: Evaluation) -> dict[str, Any]:
    """mAP in percent: at 0.5, the mean over 0.1:0.7, and at every threshold."""
    by_tiou = {f"{t:.1f}": round(100 * float(m), 2) for t, m in zip(e.protocol.tious, e.mean_ap, strict=True)}
    return {"map_50": round(100 * e.at(0.5), 2), "map_10_70": round(100 * e.average, 2), "by_tiou": by_tiou}


def recordings() -> list[Recording]:
    """The labelled sessions."""
    return read_recordings(SHARED / "motion" / "cmu_subject13.npz")


def rendered_views(folder: Path, cameras: int) -> dict[str, list[Segment]]:
    """Renders the recordings to `folder`, what is not there yet; the instances by video."""
    truth: dict[str, list[Segment]] = {}
    for r in recordings():
        for i, view in enumerate(views(r, VIEWS, seed=cameras)):
            name = f"{r.name}_{i}"
            path = folder / f"{name}.mp4"
            if not path.exists():
                frames = render_joints(
                    r.joints, view=view, person_m=r.person_m, girth=1.0, props=(), seed=view.seed, fps=r.fps
                )
                write_video(path, frames, r.fps)
            truth[name] = [Segment(s, e, label, 1.0) for s, e, label in r.instances]
    return truth


def scored(plan: Path | None, folder: Path, truth: dict[str, list[Segment]]) -> dict[str, Any]:
    """Figures of one plan on the videos of one set of cameras."""
    engine = TALEngine.load(plan, "cpu")
    found = {v: list(engine.localize(folder / f"{v}.mp4", **EVERYTHING)) for v in truth}
    e = evaluate(truth, found, engine.plan.vocabulary, tious=WTAL_TIOUS)
    return scores(e) | {"ap_50_by_class": {c: round(100 * a, 1) for c, a in e.class_ap(0.5).items()}}


def motion(work: Path, plans: dict[str, Path | None]) -> dict[str, Any]:
    """Every plan that is there, on all sets of cameras."""
    runs: dict[str, list[dict[str, Any]]] = {}
    instances = 0
    for cameras in CAMERAS:
        folder = work / f"motion_{cameras}"
        truth = rendered_views(folder, cameras)
        instances = sum(map(len, truth.values()))
        for name, plan in plans.items():
            if plan is None or plan.exists():
                runs.setdefault(name, []).append({"cameras": cameras, **scored(plan, folder, truth)})
    return {
        "what": f"CMU subject 13, {len(recordings())} sessions x {VIEWS} views, classes mapped by name",
        "instances": instances,
        "rows": {name: summed(found) for name, found in runs.items()},
    }


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over the sets of cameras."""
    classes = {c: spread([r["ap_50_by_class"][c] for r in runs]) for c in runs[0]["ap_50_by_class"]}
    overall = {k: spread([r[k] for r in runs]) for k in ("map_50", "map_10_70")}
    return {**overall, "ap_50_by_class": classes, "runs": runs}
