"""Makes ``people.plan`` from nothing: a seed and CMU's motion files in, a plan that names what a person does out.

    python -m tal_engine.export.people_plan --motion ../shared/data/motion --work out/people

Streams of the figure and trials of real people, filmed differently -> train BaS-Net from labels of whole videos ->
export behind the gate -> calibrate scores and choose thresholds on other streams of the figure, and keep what features
of the training set look like. Takes a quarter of an hour on two cores. See docs/people.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .._util.files import write_text
from ..annotations.labels import VideoLabels
from ..annotations.tables import Table
from ..engine import TALEngine
from ..lab.fitting.held_out import HeldOut
from ..lab.fitting.scores import Scores, fitted_scores
from ..lab.methods import load_method
from ..lab.people.dataset import data_set
from ..lab.people.material import Counts, Example, figures, people
from ..lab.training import checkpoint
from ..lab.training.runs import train_head
from ..lab.training.training_options import TrainOptions
from ..metrics import WTAL_TIOUS, evaluate
from ..plan.archive import Plan, with_calibration, write_plan
from ..pose.features import DIM
from ..pose.windows import STREAM
from . import bundle
from .encoder_graphs import EncoderSet, open_encoders
from .fit_domain import fit_domain

log = logging.getLogger("tal_engine")

#: How much is trained and validated on.
TRAINING, VALIDATION = Counts(), Counts(streams=120, clips=132, sessions=40)
#: Chosen on streams of the figure and on persons that no figure is reported of (benchmarks/people_sets.py).
METHOD = "basnet"
CONFIG: dict[str, Any] = {
    "rgb": 0, "flow": 0, "widths": {STREAM: DIM}, "dropout": 0.5, "loss_scale": 10.0,
    "video_score": "soft", "class_threshold": 0.02,
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "steps": 1500, "batch": 16, "pairs": 4, "length": 64, "sampling": "contiguous", "learning_rate": 1e-3,
    "weight_decay": 1e-4, "save_every": 1500,
}  # fmt: skip
#: False alarms an hour that thresholds allow on validation streams; None takes the best F1 of each class.
PER_HOUR: float | None = None
#: Videos of the training set that the domain is fitted on.
_USUAL = 600

DESCRIPTION = (
    "What a person does, from the skeleton: 18 everyday actions and exercises. Trained from labels of whole videos on "
    "procedural motions and on CMU motion capture (subjects 02 and 03)."
)


def make(work: Path, motion: Path, output: Path, seed: int, workers: int, encoders: EncoderSet | None = None) -> Plan:
    """Make the plan and its log, ``OUTPUT.json``.

    Args:
        work: folder of the checkpoint.
        motion: folder that holds ``cmu_subjects_01_03/joints_mm_30fps.npz``.
        output: path of the plan.
        seed: the same seed gives the same plan on the same machine.
        workers: processes that make the training set.
        encoders: what turns videos into pose features; without them the plan reads skeletons and features.
    """
    trials = motion / "cmu_subjects_01_03" / "joints_mm_30fps.npz"
    examples = [*people(trials, "train", seed), *figures("train", seed, TRAINING, workers)]
    held_out = figures("validation", seed, VALIDATION, workers)
    method = load_method(METHOD)
    config, options = method.Config(**CONFIG), TrainOptions(**OPTIONS, seed=seed)
    log.warning("%d training and %d validation examples", len(examples), len(held_out))
    train_head(method, config, options, data_set(examples), work / "checkpoint")
    found = checkpoint.load(work / "checkpoint")
    bare = bundle.make_plan(found, encoders, name="people", description=DESCRIPTION)
    held, scores = _scored(bare, held_out)
    calibration, thresholds = scores.for_plan(held, PER_HOUR)
    on = f"{len(held_out)} procedural streams that the head was not trained on"
    usual = [e.features for e in _thinned(examples)]
    plan = with_calibration(
        bare,
        calibration=calibration.model_copy(update={"fitted_on": on}),
        thresholds=thresholds.model_copy(update={"fitted_on": on}),
        domain=fit_domain(usual, [STREAM], fitted_on=f"{len(usual)} training streams").stored(),
    )
    write_plan(output, plan)
    record = {"seed": seed, "method": METHOD, "config": CONFIG, "options": asdict(options), "training": len(examples),
              "hours": sum(e.video.duration for e in examples) / 3600, "validation": _measured(plan, held_out),
              "ece": scores.error, "plan_sha256": plan.sha256, "bytes": output.stat().st_size}  # fmt: skip
    write_text(output.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    return plan


def _thinned(examples: Sequence[Example]) -> list[Example]:
    """Take so many examples, evenly."""
    step = max(len(examples) // _USUAL, 1)
    return list(examples[::step])


def _scored(plan: Plan, held_out: Sequence[Example]) -> tuple[HeldOut, Scores]:
    """Localize the held-out examples, with raw scores, and fit curves and thresholds."""
    engine = TALEngine(plan, "cpu")
    every: dict[str, Any] = {"min_score": -np.inf, "top_k": 0, "calibrated": False}
    found = {e.video.name: list(engine.localize(e.features, **every)) for e in held_out}
    items = tuple(
        VideoLabels(e.video.name, segments=e.video.instances, background=e.video.background) for e in held_out
    )
    table = Table.of_segments(found, "detections", list(plan.vocabulary))
    seconds = {e.video.name: e.video.duration for e in held_out}
    held = HeldOut(table, items, np.arange(len(items)) % 5, tuple(plan.vocabulary), "segment", seconds)
    return held, fitted_scores(held, held.outcomes(), PER_HOUR)


def _measured(plan: Plan, held_out: Sequence[Example]) -> dict[str, Any]:
    engine = TALEngine(plan, "cpu")
    truth = {e.video.name: list(e.video.instances) for e in held_out}
    found = {e.video.name: list(engine.localize(e.features, min_score=-np.inf, top_k=0)) for e in held_out}
    score = evaluate(truth, found, plan.vocabulary, tious=WTAL_TIOUS)
    return {"videos": len(truth), "map_50": score.at(0.5), "map_10_70": score.average, "ap_50": score.class_ap(0.5)}


def main() -> None:
    """Make the plan from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/people"))
    parser.add_argument("--motion", type=Path, required=True)
    parser.add_argument("--output", "-o", type=Path, default=Path("out/people/people.plan"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--encoders", default="pose", help="pose, pose:full, or none: then it reads no videos")
    given = parser.parse_args()
    encoders = None if given.encoders == "none" else open_encoders(given.encoders)
    make(given.work, given.motion, given.output, given.seed, given.workers, encoders)


if __name__ == "__main__":
    main()
