"""Makes ``people.plan`` from nothing: a seed and CMU's motion files in, a plan that names what a person does out.

    python -m tal_engine.export.people_plan --motion ../shared/data/motion --work out/people

Streams of the figure, whose times are known exactly, and trials of real people, of which only the class is, filmed
differently -> train ActionFormer -> round its weights -> export behind the gate -> calibrate scores and choose
thresholds on other streams of the figure, raise them until few movements without a name get one, and keep what features
of the training set look like. Takes a quarter of an hour on two cores; with ``--head`` two minutes. See docs/people.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from .._util.files import write_text
from ..annotations.labels import VideoLabels
from ..annotations.tables import Table
from ..engine import TALEngine
from ..lab.fitting.calibration import applied
from ..lab.fitting.held_out import HeldOut
from ..lab.fitting.scores import Scores, fitted_scores
from ..lab.methods import load_method
from ..lab.people.dataset import data_set
from ..lab.people.foreign import Foreign, foreign
from ..lab.people.material import Counts, Example, figures, people
from ..lab.people.quiet import quiet, told
from ..lab.training import checkpoint
from ..lab.training.runs import train_head
from ..lab.training.training_options import TrainOptions
from ..metrics import WTAL_TIOUS, evaluate
from ..plan.archive import Plan, read_plan, with_calibration, with_members, write_plan
from ..plan.score_fields import ScoreThresholds
from ..pose.features import DIM, STREAM
from . import bundle
from .encoder_graphs import EncoderSet, open_encoders
from .fit_domain import fit_domain
from .packed import packed_head, unpacked

log = logging.getLogger("tal_engine")

#: How much is trained and validated on.
TRAINING = Counts(sessions=160)
VALIDATION = Counts(streams=160, clips=132, sessions=60)
#: Chosen on streams of the figure and on trials of a real person that was then left out of training (docs/people.md).
METHOD = "actionformer"
CONFIG: dict[str, Any] = {
    "rgb": 0, "flow": 0, "widths": {STREAM: DIM}, "width": 96, "levels": 5, "window": 9, "head_layers": 2, "stem": 1,
    "dropout": 0.1, "normalizer": 50.0,
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "steps": 1000, "batch": 16, "pairs": 0, "length": 96, "sampling": "crop", "learning_rate": 1.5e-3,
    "weight_decay": 0.05, "optimizer": "adamw", "schedule": "cosine", "warmup": 50, "clip_norm": 1.0, "ema": 0.99,
    "save_every": 1000,
}  # fmt: skip
#: False alarms an hour that thresholds allow on validation streams, of all classes together: few, so that what the plan
#: does not know it does not name. These streams show nameless movements that training never did.
PER_HOUR: float | None = 30.0
#: Foreign clips of each kind (`lab.people.foreign`), the share of them that may get a name, and the share of its recall
#: on validation streams that no class falls below for it.
FOREIGN, NAMED, KEEP = 120, 0.05, 0.5
#: One in so many examples of the figure is what the domain is fitted on.
USUAL = 8
DESCRIPTION = (
    "What a person does, from the skeleton: 18 everyday actions and exercises. Trained on procedural motions, whose "
    "times are known, and on trials of CMU motion capture (subjects 02 and 03), whose classes are."
)


def make(
    work: Path, motion: Path, output: Path, seed: int, workers: int, encoders: EncoderSet | None = None,
    head: Plan | None = None,
) -> Plan:  # fmt: skip
    """Make the plan and its log, ``OUTPUT.json``.

    Args:
        work: folder of the checkpoint.
        motion: folder that holds ``cmu_subjects_01_03/joints_mm_30fps.npz``.
        output: path of the plan.
        seed: the same seed gives the same plan on the same machine.
        workers: processes that make the training set.
        encoders: what turns videos into pose features; without them the plan reads skeletons and features.
        head: a plan whose head is taken; nothing is trained then, and its encoders stay.
    """
    trials = motion / "cmu_subjects_01_03" / "joints_mm_30fps.npz"
    bare = packed_head(_trained(work, trials, seed, workers, encoders) if head is None else without_scores(head))
    held_out = figures("validation", seed, VALIDATION, workers)
    held, scores = _scored(bare, held_out)
    calibration = scores.for_plan(held, PER_HOUR)[0]
    on = f"{len(held_out)} procedural streams that the head was not trained on"
    usual = [e.features for e in _usual(trials, seed, workers)]
    loud = with_calibration(
        bare,
        calibration=calibration.model_copy(update={"fitted_on": on}),
        domain=fit_domain(usual, [STREAM], fitted_on=f"{len(usual)} training streams").stored(),
    )
    thresholds, worth = _raised(loud, held, scores, trials, seed)
    plan = with_calibration(loud, thresholds=thresholds)
    write_plan(output, plan)
    record = {
        "seed": seed, "method": METHOD, "config": CONFIG, "options": OPTIONS, "training": asdict(TRAINING),
        "data": plan.manifest.provenance["data"], "validation": _measured(plan, held_out), "ece": scores.error,
        **worth, "plan_sha256": plan.sha256, "bytes": output.stat().st_size,
    }  # fmt: skip
    write_text(output.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    return plan


def without_scores(plan: Plan) -> Plan:
    """Take the head and encoders of a plan, and nothing that was measured with them.

    Args:
        plan: a float32 plan for people.
    """
    manifest = plan.manifest
    gone = set() if manifest.domain is None else {manifest.domain.member}
    files = {n: c for n, c in plan.files.items() if n not in gone}
    head = unpacked(files[manifest.head.member])
    bare = manifest.model_copy(update={"calibration": None, "thresholds": None, "domain": None})
    return with_members(bare, {**files, manifest.head.member: head})


def _trained(work: Path, trials: Path, seed: int, workers: int, encoders: EncoderSet | None) -> Plan:
    """Train a head, unless its checkpoint is there, and export it."""
    if not (work / "checkpoint" / "checkpoint.json").exists():
        _train(work / "checkpoint", [*people(trials, "train", seed), *figures("train", seed, TRAINING, workers)], seed)
    found = rounded(checkpoint.load(work / "checkpoint"), work / "rounded")
    return bundle.make_plan(found, encoders, name="people", description=DESCRIPTION)


def _raised(
    plan: Plan, held: HeldOut, scores: Scores, trials: Path, seed: int
) -> tuple[ScoreThresholds, dict[str, dict[str, float]]]:
    """Raise thresholds until few foreign clips get a name; say what both are worth, on clips that chose neither."""
    clips = [foreign(trials if trials.exists() else None, 2 * seed + k, FOREIGN) for k in (0, 1)]
    outcomes, (choose, judge) = held.outcomes(), (_best(plan, c) for c in clips)
    probability = applied(list(scores.curves), outcomes.score, outcomes.label)
    floor = [t.score for t in scores.thresholds]
    least = quiet(outcomes, probability, floor, choose, named=NAMED, keep=KEEP)
    changes = {
        "classes": dict(zip(held.vocabulary, least, strict=True)),
        "fitted_on": f"{len(held.videos)} procedural streams that the head was not trained on; raised on {len(choose)} "
        "clips of movements without a name",
    }
    before = {"thresholds_for_false_alarms": told(outcomes, probability, floor, judge)}
    worth = {**before, "thresholds": told(outcomes, probability, least, judge)}
    return scores.for_plan(held, PER_HOUR)[1].model_copy(update=changes), worth


def _best(plan: Plan, clips: Sequence[Foreign]) -> NDArray[np.float64]:
    """Return the best score of every class in every clip, but of classes that may be there, [clips, classes]."""
    engine = TALEngine(plan, "cpu")
    out = np.zeros((len(clips), len(plan.vocabulary)))
    for row, clip in zip(out, clips, strict=True):
        for s in engine.localize(clip.features, min_score=-np.inf, top_k=0):
            if s.label not in clip.may:
                at = plan.vocabulary.id(s.label)
                row[at] = max(row[at], s.score)
    return out


def _train(folder: Path, examples: Sequence[Example], seed: int) -> None:
    """Train the head; a checkpoint that is there already is taken as it is, so remove it after a change."""
    method = load_method(METHOD)
    log.warning("training on %d examples, %.1f h", len(examples), sum(e.video.duration for e in examples) / 3600)
    train_head(method, method.Config(**CONFIG), TrainOptions(**OPTIONS, seed=seed), data_set(examples), folder)


def rounded(found: checkpoint.Checkpoint, folder: Path) -> checkpoint.Checkpoint:
    """Round a checkpoint's resulting weights to half precision, so that the head packs (`export.packed`).

    They stay float32, so the graph's operators do not change. All that is reported is of the rounded weights.

    Args:
        found: the checkpoint.
        folder: where its copy goes.
    """
    name = found.result
    weights = {n: w.half().float() if w.is_floating_point() else w for n, w in found.tensors(name).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({n: w.contiguous() for n, w in weights.items()}, path)
    return replace(found, folder=folder, files={**found.files, name: path})


def _usual(trials: Path, seed: int, workers: int) -> list[Example]:
    """Make a part of the training set again, for what features usually look like."""
    return [*list(people(trials, "train", seed))[::3], *figures("train", seed, TRAINING, workers, every=USUAL)]


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
    parser.add_argument(
        "--encoders", default="none", help="none: as it ships (`pose.plans.people_plan` adds graphs); pose"
    )
    parser.add_argument("--head", type=Path, help="a plan whose head is taken: no training, only scores are made anew")
    given = parser.parse_args()
    encoders = None if given.encoders == "none" else open_encoders(given.encoders)
    head = None if given.head is None else read_plan(given.head)
    make(given.work, given.motion, given.output, given.seed, given.workers, encoders, head)


if __name__ == "__main__":
    main()
