"""What the calibrated scores of the plan `demo` are worth, on enough videos to tell luck from error.

    python benchmarks/bench_calibration.py [--videos 60] [--seconds 30]

Renders procedural videos of seeds that neither training nor calibration saw, one after the other, and judges every
segment that the plan gives. The expected calibration error of few outcomes is large by luck alone, so each is stored
beside what a perfectly calibrated plan would show on as many (`metrics.calibration.judged_error`): over all segments,
over those that the plan reports, pooled over the videos, and over random parts of 26 of these, as many as an earlier
figure was of.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import finish

from tal_engine import TALEngine
from tal_engine.demo.demo_set import annotation, script_of, write_video
from tal_engine.demo.render import render
from tal_engine.export.fit_scores import outcomes
from tal_engine.metrics.calibration import judged_error, reliability
from tal_engine.records import Segment

#: Of the rendered videos: no training, validation or earlier test video has it.
SEED = 23
#: Outcomes of the parts, and how many parts are drawn.
FEW, PARTS = 26, 200


def told(count: int, seconds: float) -> tuple[dict[str, list[Segment]], dict[str, list[Segment]], TALEngine]:
    """True and found segments of so many videos."""
    engine = TALEngine.load("demo", "cpu")
    truth, found = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        for i in range(count):
            script = script_of("test", SEED, i)
            write_video(path, islice(render(script), round(seconds * script.fps)), script.fps)
            result = engine.localize(path, min_score=0.0, top_k=0)
            end = min(result.info.duration, script.duration)
            rows = [(*r["segment"], r["label"]) for r in annotation(script, "test", SEED)["annotations"]]
            truth[script.name] = [Segment(a, min(b, end), c, 1.0) for a, b, c in rows if a < end - 0.5]
            found[script.name] = list(result)
    return truth, found, engine


def figures(count: int, seconds: float) -> dict[str, Any]:
    """Errors beside luck, of all segments and of those that are reported."""
    truth, found, engine = told(count, seconds)
    manifest = engine.plan.manifest
    assert manifest.calibration is not None
    assert manifest.thresholds is not None
    seen = outcomes(truth, found, manifest.calibration.tiou)
    shown = seen.score >= min(manifest.thresholds.classes.values())
    score, right = seen.score[shown], seen.right[shown]
    rng = np.random.default_rng(0)
    parts = [rng.choice(len(score), FEW, replace=False) for _ in range(PARTS)]
    few = [judged_error(score[i], right[i], draws=100) for i in parts]
    return {
        "videos": count, "seconds_of_each": seconds, "instances": sum(map(len, truth.values())),
        "all": judged_error(seen.score, seen.right)._asdict(), "reported": judged_error(score, right)._asdict(),
        "bins_score_right_count": [[round(p, 3), round(r, 3), n] for p, r, n in reliability(score, right)],
        "few": {"outcomes": FEW, "parts": PARTS, "found": float(np.mean([e.found for e in few])),
                "by_chance": float(np.mean([e.by_chance for e in few]))},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each video that are rendered")
    asked = parser.parse_args()
    finish("bench_calibration", figures(asked.videos, asked.seconds))


if __name__ == "__main__":
    main()
