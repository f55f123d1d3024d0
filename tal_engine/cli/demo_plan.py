"""Makes the embedded demonstration model from nothing: one seed in, two asset files and a log out.

Render clips -> pre-train the tiny encoders -> render videos -> train PVLR from video-level labels
-> choose the operating point on validation videos -> export behind the gate.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data.catalog import Catalog, read_catalog
from ..data.features import FeatureStore
from ..demo.dataset import render_split
from ..engine import EMBEDDED_PLAN, TALEngine
from ..export import bundle
from ..export.encoders import TINY_WEIGHTS, EncoderSet, tiny_encoders
from ..files import write_text
from ..methods import load_method
from ..metrics import WTAL_TIOUS, evaluate
from ..operating_point import best_f1
from ..options import SegmentOptions
from ..train import checkpoint
from ..train.recipe import demo_config, demo_options, train_head
from ..train.tiny import TinyEncoders, pretrain_pair, pretrain_snippets, save_tiny, snippet_set

log = logging.getLogger("tal_engine")

CLIPS, TRAIN, VALIDATION = 4096, 200, 32
EPOCHS = {"rgb": 10, "flow": 10, "pair": 12}
PICTURES = 16_000

DESCRIPTION = (
    "A demonstration model: twelve exercises of a drawn figure, trained from video-level labels on procedural "
    "videos. It shows the path; it is not a product."
)


def make(work: Path, seed: int, workers: int) -> None:
    """Write ``tiny_encoders.safetensors``, ``demo.plan`` and ``demo.json`` (the log) into the package's assets."""
    began = time.time()
    record: dict[str, Any] = {"seed": seed, "steps": []}

    def done(what: str, **figures: Any) -> None:
        record["steps"].append({"what": what, "seconds_since_start": round(time.time() - began), **figures})
        log.warning("%6.0f s  %s %s", time.time() - began, what, figures or "")

    _encoders(work, seed, workers, done)
    for split, count in (("train", TRAIN), ("validation", VALIDATION)):
        render_split(work / "videos", split, count, seed, workers)
        done(f"rendered {split}", videos=count)
    method = load_method("pvlr")
    encoders = tiny_encoders(method.training_streams)
    folder = work / "checkpoint"
    train_head(method, demo_config(method), demo_options(), work / "videos", folder, encoders=encoders)
    done("trained pvlr", config=asdict(demo_config(method)), options=asdict(demo_options()))

    found = checkpoint.load(folder)
    bundle.export(found, encoders, EMBEDDED_PLAN, name="demo", description=DESCRIPTION)
    figures = _operating_point(read_catalog(work / "videos"), encoders)
    segment = SegmentOptions(min_score=round(figures["min_score"], 4))
    plan = bundle.export(found, encoders, EMBEDDED_PLAN, name="demo", description=DESCRIPTION, segment=segment)
    done("exported", **figures, parity=plan.manifest.parity, bytes=EMBEDDED_PLAN.stat().st_size)
    record |= {"plan_sha256": plan.sha256, "tal_engine": __version__, "python": platform.python_version()}
    write_text(EMBEDDED_PLAN.with_suffix(".json"), json.dumps(record, indent=1) + "\n")


def _encoders(work: Path, seed: int, workers: int, done: Any) -> None:
    render_split(work / "clips", "clips", CLIPS, seed, workers)
    done("rendered clips", clips=CLIPS)
    data = snippet_set(work / "clips", work / "snippets", workers)
    done("cut clips into snippets", snippets=len(data.labels))
    towers = TinyEncoders([])
    for which in ("rgb", "flow"):
        setattr(towers, which, pretrain_snippets(which, data, epochs=EPOCHS[which], seed=seed))
        done(f"pre-trained {which}", epochs=EPOCHS[which])
    towers.image, towers.text = pretrain_pair(PICTURES, epochs=EPOCHS["pair"], seed=seed)
    done("pre-trained image and text", pictures=PICTURES, epochs=EPOCHS["pair"])
    save_tiny(TINY_WEIGHTS, towers, {"seed": seed, "clips": CLIPS, "pictures": PICTURES, "epochs": EPOCHS})


def _operating_point(catalog: Catalog, encoders: EncoderSet) -> dict[str, float]:
    """The score with the best F1 at tIoU 0.5 on the validation videos, and their mAP."""
    engine = TALEngine.load(EMBEDDED_PLAN, "cpu")
    streams = list(engine.plan.manifest.streams)
    store = FeatureStore(catalog, encoders.snippet, encoders.open(["rgb", "flow", "clip"]))
    found, truth = {}, {}
    for video in catalog.subset("validation"):
        features = store.get(video)
        result = engine.localize({s: features.streams[s] for s in streams}, min_score=-np.inf, top_k=0)
        found[video.name], truth[video.name] = list(result), list(video.instances)
    point = best_f1(truth, found, tiou=0.5)
    score = evaluate(truth, found, catalog.vocabulary, tious=WTAL_TIOUS)
    return {**asdict(point), "validation_map_50": score.at(0.5), "validation_map_10_70": score.average}
