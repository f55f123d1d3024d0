"""Makes the embedded demonstration model from nothing: one seed in, two asset files and a log out.

Render clips -> pre-train the tiny encoders, one a core -> render videos -> train PVLR from video-level labels
-> choose the operating point on validation videos -> export behind the gate -> calibrate scores on validation videos,
and keep what the features of the training videos look like.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .._util.files import write_text
from ..demo.demo_set import render_split
from ..engine import EMBEDDED_PLAN, TALEngine
from ..errors import UsageError
from ..export import bundle
from ..export.encoder_graphs import EncoderSet, tiny_encoders
from ..export.fit_domain import fit_domain
from ..export.fit_scores import fit_calibration
from ..inference.operating_point import best_f1
from ..lab.data.catalog import Catalog, read_catalog
from ..lab.data.dataset import open_dataset
from ..lab.data.feature_reader import FeatureStore
from ..lab.methods import load_method
from ..lab.nn.tiny import TINY_WEIGHTS
from ..lab.training import checkpoint
from ..lab.training.pretrain_tiny import pretrain
from ..lab.training.recipe import demo_config, demo_options
from ..lab.training.runs import train_head
from ..lab.training.snippets import cut_clips
from ..metrics import WTAL_TIOUS, evaluate
from ..options import SegmentOptions
from ..plan.archive import Plan, read_plan, with_calibration, write_plan
from ..records import Features, Segment

log = logging.getLogger("tal_engine")

CLIPS, TRAIN, VALIDATION = 4096, 140, 24
EPOCHS = {"flow": 14, "rgb": 12, "pair": 15}
PICTURES = 12_000

DESCRIPTION = (
    "A demonstration model: twelve exercises of a drawn figure, trained from video-level labels on procedural "
    "videos. It shows the path; it is not a product."
)


class _Log:
    """What was done, kept in the work folder: a step that is in it is not done again."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self.record: dict[str, Any] = {"seed": seed, "steps": []}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["seed"] != seed:
                raise UsageError(f"{path}: was made with seed {found['seed']}; choose another work folder")
            self.record = found

    def step(self, what: str, run: Callable[[], dict[str, Any]]) -> None:
        """Do one step, unless it was done; `run` gives the figures to keep."""
        if any(s["what"] == what for s in self.record["steps"]):
            return
        began = time.time()
        figures = run()
        self.record["steps"].append({"what": what, "seconds": round(time.time() - began), **figures})
        write_text(self._path, json.dumps(self.record, indent=1) + "\n")
        log.warning("%5.0f s  %s %s", time.time() - began, what, figures)


def make(work: Path, seed: int, workers: int) -> None:
    """Write ``tiny_encoders.safetensors``, ``demo.plan`` and ``demo.json`` (the log) into the package's assets.

    Interrupted, it goes on with the step that was not done.
    """
    history = _Log(work / "log.json", seed)

    def rendered(split: str, count: int, folder: Path) -> dict[str, Any]:
        render_split(folder, split, count, seed, workers)
        return {"videos": count}

    history.step("rendered clips", partial(rendered, "clips", CLIPS, work / "clips"))
    history.step("cut clips into snippets", lambda: {"snippets": cut_clips(work / "clips", work / "snippets", workers)})
    history.step("pre-trained encoders", lambda: _pretrained(work, seed, workers))
    for split, count in (("train", TRAIN), ("validation", VALIDATION)):
        history.step(f"rendered {split}", partial(rendered, split, count, work / "videos"))
    history.step("trained pvlr", lambda: _trained(work))
    history.step("exported", lambda: _exported(work))
    history.step("calibrated scores and fitted the domain", lambda: _explained(work))
    made = {"plan_sha256": read_plan(EMBEDDED_PLAN).sha256}
    made |= {"tal_engine": __version__, "python": platform.python_version()}
    write_text(EMBEDDED_PLAN.with_suffix(".json"), json.dumps(history.record | made, indent=1) + "\n")


def _pretrained(work: Path, seed: int, workers: int) -> dict[str, Any]:
    figures = pretrain(work / "snippets", TINY_WEIGHTS, epochs=EPOCHS, pictures=PICTURES, seed=seed, workers=workers)
    return {"epochs": EPOCHS, "pictures": PICTURES, **figures}


def _trained(work: Path) -> dict[str, Any]:
    method = load_method("pvlr")
    config, options = demo_config(method), demo_options()
    encoders = tiny_encoders(method.training_streams(config))
    data = open_dataset(work / "videos", encoders)
    train_head(method, config, options, data, work / "checkpoint", text=encoders.text)
    return {"config": asdict(config), "options": asdict(options)}


def _exported(work: Path) -> dict[str, Any]:
    found = checkpoint.load(work / "checkpoint")
    encoders = tiny_encoders(found.method.training_streams(found.config))
    bundle.export(found, encoders, EMBEDDED_PLAN, name="demo", description=DESCRIPTION)
    figures = _operating_point(read_catalog(work / "videos"), encoders)
    segment = SegmentOptions(min_score=round(figures["min_score"], 4))
    plan = bundle.export(found, encoders, EMBEDDED_PLAN, name="demo", description=DESCRIPTION, segment=segment)
    return {**figures, "parity": plan.manifest.parity, "bytes": EMBEDDED_PLAN.stat().st_size}


def _explained(work: Path) -> dict[str, Any]:
    """Calibrate the plan's scores on validation videos, and record its training domain; its graphs stay as they are."""
    plan, catalog = read_plan(EMBEDDED_PLAN), read_catalog(work / "videos")
    store = _features(catalog, tiny_encoders(("rgb", "flow", "clip")))
    held_out = {v.name: (store.get(v), list(v.instances)) for v in catalog.subset("validation")}
    changed = explained(plan, [store.get(v) for v in catalog.subset("train")], held_out)
    write_plan(EMBEDDED_PLAN, changed)
    return explanation(changed)


def explained(
    plan: Plan, trained: Sequence[Features], held_out: Mapping[str, tuple[Features, Sequence[Segment]]]
) -> Plan:
    """Add calibrated scores and a domain to the plan.

    Args:
        plan: its graphs, hashes and operating point stay as they are.
        trained: features of training videos.
        held_out: features and true instances of videos that neither head nor operating point nor anything else was
            tested on, by name.
    """
    engine = TALEngine(plan, "cpu")
    wanted = {name: {s: f.streams[s] for s in plan.manifest.streams} for name, (f, _) in held_out.items()}
    every: dict[str, Any] = {"min_score": -np.inf, "top_k": 0, "calibrated": False}
    found = {name: engine.localize(features, **every) for name, features in wanted.items()}
    truth = {name: instances for name, (_, instances) in held_out.items()}
    calibration = fit_calibration(truth, found, plan.vocabulary, fitted_on="rendered validation videos")
    domain = fit_domain(trained, list(plan.manifest.streams), fitted_on="rendered training videos")
    return with_calibration(plan, calibration=calibration, domain=domain.stored())


def explanation(plan: Plan) -> dict[str, Any]:
    """Return the figures of what `explained` fitted, for the log."""
    c, d = plan.manifest.calibration, plan.manifest.domain
    assert c is not None and d is not None  # noqa: S101, PT018 - `explained` made both
    return {
        "calibration": {"videos": c.videos, "segments": c.segments, "ece": c.ece},
        "domain": {"videos": d.videos, "snippets": d.snippets, "bytes": len(plan.files[d.member])},
    }


def _features(catalog: Catalog, encoders: EncoderSet) -> FeatureStore:
    return FeatureStore(catalog, encoders.snippet, encoders.open(["rgb", "flow", "clip"]))


def _operating_point(catalog: Catalog, encoders: EncoderSet) -> dict[str, float]:
    """Find the score with the best F1 at tIoU 0.5 on the validation videos, and their mAP."""
    engine = TALEngine.load(EMBEDDED_PLAN, "cpu")
    streams = list(engine.plan.manifest.streams)
    store = _features(catalog, encoders)
    found, truth = {}, {}
    for video in catalog.subset("validation"):
        features = store.get(video)
        result = engine.localize({s: features.streams[s] for s in streams}, min_score=-np.inf, top_k=0)
        found[video.name], truth[video.name] = list(result), list(video.instances)
    point = best_f1(truth, found, tiou=0.5)
    score = evaluate(truth, found, catalog.vocabulary, tious=WTAL_TIOUS)
    return {**asdict(point), "validation_map_50": score.at(0.5), "validation_map_10_70": score.average}
