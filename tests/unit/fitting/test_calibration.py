"""Calibration and thresholds against slow twins, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.errors import FeatureError
from tal_engine.lab.fitting.calibration import (
    ISOTONIC_FROM,
    applied,
    cross_fitted,
    curves_by_class,
    fitted_curve,
    isotonic,
    logistic,
    pooled,
)
from tal_engine.lab.fitting.outcomes import average_precision
from tal_engine.lab.fitting.thresholds import best_f1, for_false_alarms
from tal_engine.metrics.calibration import calibration_error, corrected_error, judged_error
from tal_engine.plan.score_fields import Knots, Logistic
from tests.reference import fit as twin


def noisy(rng, n, levels=12):
    """Scores with ties, and outcomes that are right more often where scores are high."""
    score = rng.integers(0, levels, n) / levels
    return score, rng.random(n) < score


@pytest.mark.parametrize("seed", range(8))
def test_pooling_is_the_isotonic_fit(seed):
    rng = np.random.default_rng(seed)
    score, right = np.arange(25.0), rng.random(25) < np.linspace(0.1, 0.9, 25)
    fit = [t / n for n, _, t in pooled(score, right.astype(float)) for _ in range(int(n))]
    np.testing.assert_allclose(fit, twin.isotonic(right.astype(float)), atol=1e-12)


def test_equal_scores_are_one_step():
    assert pooled([0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.0, 1.0]) == [(4.0, 2.0, 2.0)]


def test_curves_rise_and_are_probabilities(rng):
    score, right = noisy(rng, 3000, 200)
    at = np.linspace(-1, 2, 400)
    for curve in (isotonic(score, right), logistic(score, right)):
        found = curve(at)
        assert (np.diff(found) > 0).all()
        assert found.min() >= 0
        assert found.max() <= 1
        assert np.abs(curve(np.array([0.2, 0.5, 0.8])) - (0.2, 0.5, 0.8)).max() < 0.08


def test_a_score_that_says_nothing_gets_the_share_that_is_right(rng):
    score = rng.random(400)
    right = score < 0.25  # worse than nothing: high scores are wrong
    for curve in (isotonic(score, right), logistic(score, right)):
        assert np.abs(curve(np.array([0.1, 0.9])) - 0.25).max() < 0.02


def test_scores_that_part_right_from_wrong_do_not_run_off():
    score = np.concatenate([np.linspace(0, 0.4, 30), np.linspace(0.6, 1, 30)])
    found = logistic(score, score > 0.5)(score)
    assert np.isfinite(found).all()
    assert found[0] < 0.1 < 0.9 < found[-1]


def test_the_kind_of_curve_follows_the_size(rng):
    score, right = noisy(rng, 4 * ISOTONIC_FROM, 100)
    assert isinstance(fitted_curve(score, right), Knots)
    assert isinstance(fitted_curve(score[:40], right[:40]), Logistic)
    with pytest.raises(FeatureError, match="no detections on held-out videos"):
        fitted_curve(np.zeros(0), np.zeros(0, bool))


def test_a_class_has_its_own_curve_only_with_enough_outcomes(rng):
    score, right = noisy(rng, 900, 100)
    label = np.where(np.arange(900) < 880, 0, 1)
    many, few = curves_by_class(score, right, label, 2)
    assert many != few
    assert few == fitted_curve(score, right)
    found = applied([many, few], score, label)
    np.testing.assert_array_equal(found[label == 1], few(score[label == 1]))


def test_calibration_error_by_hand():
    probability = np.array([0.05, 0.15, 0.15, 0.95, 1.0])
    right = np.array([False, True, False, True, True])
    # bins: |0.05 - 0| * 1, |0.15 - 0.5| * 2, |0.975 - 1| * 2, over 5
    assert calibration_error(probability, right) == pytest.approx((0.05 + 0.7 + 0.05) / 5)
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_calibration_error_of_few_outcomes_is_mostly_luck():
    """Of calibrated scores it is what luck makes, the corrected one is near 0, and p is as often small as it says."""
    rng = np.random.default_rng(3)
    runs = []
    for _ in range(120):
        probability = rng.random(26)
        runs.append(judged_error(probability, rng.random(26) < probability, draws=99))
    found, by_chance, corrected = (np.mean([getattr(r, n) for r in runs]) for n in ("found", "by_chance", "corrected"))
    assert found == pytest.approx(by_chance, abs=0.012)
    assert found > 0.15
    assert corrected < found / 2
    assert np.mean([r.p <= 0.1 for r in runs]) < 0.2
    probability = rng.random(2000)
    off = judged_error(probability, rng.random(2000) < probability**3, draws=99)
    assert off.p == 0.01
    true = np.sqrt(np.mean((probability - probability**3) ** 2))
    assert off.corrected == pytest.approx(true, abs=0.03)
    assert np.isnan(judged_error(np.zeros(0), np.zeros(0, bool)).found)


def test_corrected_calibration_error_equals_a_loop(rng):
    probability = rng.random(60)
    right = rng.random(60) < 0.4
    assert corrected_error(probability, right) == pytest.approx(twin.corrected_error(probability, right))


def test_held_out_probabilities_do_not_see_their_own_fold(rng):
    """The outcomes of a fold can be turned round without changing its probabilities."""
    score, right = noisy(rng, 300, 50)
    fold, label = np.arange(300) % 3, np.zeros(300, np.int64)
    first = cross_fitted(score, right, label, fold, 1)
    turned = cross_fitted(score, np.where(fold == 1, ~right, right), label, fold, 1)
    np.testing.assert_array_equal(first[fold == 1], turned[fold == 1])
    assert np.abs(first[fold == 0] - turned[fold == 0]).max() > 0.05


@pytest.mark.parametrize("seed", range(10))
def test_thresholds_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    score, right = noisy(rng, 30, 10)
    positives, hours = int(right.sum()) + 3, 0.5
    threshold, f1 = twin.best_f1(score.tolist(), right.tolist(), positives)
    found = best_f1(score, right, positives, hours)
    assert (found.score, found.f1) == (threshold, pytest.approx(f1))
    for per_hour in (0, 2, 7, 1000):
        lowest = twin.lowest_with_alarms(score.tolist(), right.tolist(), per_hour * hours)
        found = for_false_alarms(score, right, positives, hours, per_hour)
        assert found.per_hour <= per_hour
        assert found.score == (lowest if lowest is not None else np.nextafter(score.max(), np.inf))


def test_nothing_passes_where_nothing_is_right():
    found = best_f1(np.array([0.3, 0.9]), np.array([False, False]), 2, 1.0)
    assert (found.f1, found.wrong) == (0.0, 0)
    assert found.score > 0.9


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    score, right = noisy(rng, 25, 8)
    positives = int(right.sum()) + 2
    assert average_precision(score, right, positives) == pytest.approx(
        twin.average_precision(score.tolist(), right.tolist(), positives)
    )
