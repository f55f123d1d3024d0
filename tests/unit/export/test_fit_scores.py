"""The logistic map of scores: which detections are right, the fit, and its error."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.errors import FeatureError
from tal_engine.export.fit_scores import fit_calibration, outcomes, platt
from tal_engine.metrics.calibration import calibration_error
from tal_engine.records import Segment


def test_each_instance_makes_one_detection_right_the_best_one():
    truth = {"a": [Segment(0, 10, "run", 1.0), Segment(20, 30, "run", 1.0)], "b": []}
    found = {
        "a": [
            Segment(0, 9, "run", 0.2), Segment(0, 10, "run", 0.9), Segment(21, 30, "jump", 0.8),
            Segment(22, 30, "run", 0.1),
        ],
        "b": [Segment(0, 10, "run", 0.7)],
    }  # fmt: skip
    seen = outcomes(truth, found, 0.5)
    assert sorted(zip(seen.score, seen.right, seen.video, strict=True)) == [
        (0.1, True, 0), (0.2, False, 0), (0.7, False, 1), (0.8, False, 0), (0.9, True, 0)
    ]  # fmt: skip


@pytest.mark.parametrize("few", [False, True])
def test_the_fit_finds_the_curve_that_outcomes_were_drawn_from(few):
    """Also where most scores lie near one value, on which whole Newton steps go back and forth."""
    rng = np.random.default_rng(0)
    score = np.concatenate([rng.normal(0, 0.01, 5000 if few else 0), rng.uniform(-3, 9, 8000)])
    right = rng.random(len(score)) < 1 / (1 + np.exp(-(1.3 * score - 5)))
    found = platt(score, right)
    assert found.slope == pytest.approx(1.3, rel=0.1)
    assert found.offset == pytest.approx(-5, rel=0.1)
    assert calibration_error(found(score), right) < 0.01


def test_the_error_is_of_videos_that_were_not_fitted_on():
    rng = np.random.default_rng(1)
    truth, found = {}, {}
    for i in range(12):
        truth[f"v{i}"] = [Segment(20.0 * k, 20.0 * k + 10, "run", 1.0) for k in range(20)]
        score = rng.uniform(0, 4, 20)
        good = rng.random(20) < 1 / (1 + np.exp(4 - 2 * score))
        found[f"v{i}"] = [
            Segment(20.0 * k + (0 if g else 10), 20.0 * k + (10 if g else 20), "run", float(s))
            for k, (s, g) in enumerate(zip(score, good, strict=True))
        ]
    made = fit_calibration(truth, found, ["run", "sit"], fitted_on="drawn")
    assert set(made.classes) == {"run", "sit"}
    assert (made.videos, made.segments, made.method, made.fitted_on) == (12, 240, "platt", "drawn")
    assert 0 < made.ece < 0.12


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(FeatureError, match="3 right and 0 wrong"):
        platt(np.arange(3.0), np.ones(3, bool))
    with pytest.raises(FeatureError, match="higher scores are no better"):
        platt(np.arange(40.0), np.arange(40) < 20)
