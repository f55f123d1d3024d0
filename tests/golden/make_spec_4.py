"""Writes a plan of spec 4 with calibrated scores, least scores and a domain, and what it makes of drawn features.

    python -m tests.golden.make_spec_4 tests/golden/spec_4

See make.py: the files are never written anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from tal_engine import TALEngine
from tal_engine.export.fit_domain import fit_domain
from tal_engine.plan.archive import with_calibration, write_plan
from tal_engine.plan.score_fields import Knots, Logistic, ScoreCalibration, ScoreThresholds
from tests.makers import tiny_plan


def drawn(seed, count=60):
    """Features of a video that the tiny plan reads."""
    return {"rgb": np.random.default_rng(seed).normal(0, 1, (count, 4)).astype(np.float32)}


def write(folder: Path) -> None:
    calibration = ScoreCalibration(
        method="mixed",
        classes={
            "jump": Knots(raw=[0.0, 1.0, 3.0], calibrated=[0.1, 0.2, 0.9]),
            "run": Logistic(slope=2.0, offset=-1.0),
            "sit": Knots(raw=[-1.0, 4.0], calibrated=[0.05, 0.4]),
        },
        videos=8,
        ece=0.05,
    )
    thresholds = ScoreThresholds(classes={"jump": 0.2, "run": 0.3, "sit": 0.1}, chosen_for="f1")
    domain = fit_domain([drawn(seed) for seed in range(8)]).stored()
    plan = with_calibration(tiny_plan(), calibration=calibration, thresholds=thresholds, domain=domain)
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder / "calibrated.plan", plan)
    found = TALEngine.load(folder / "calibrated.plan", device="cpu", threads=1).localize(drawn(99))
    (folder / "calibrated.json").write_text(json.dumps(found.to_activitynet(), indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
