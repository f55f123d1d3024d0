"""Thresholds that name few strangers, and the strangers."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.demo.programs import action_profile
from tal_engine.lab.fitting.outcomes import Outcomes
from tal_engine.lab.people.foreign import foreign, mixture
from tal_engine.lab.people.quiet import exceeded_by, quiet, told
from tal_engine.lab.people.streams import moves_like_none


def slow_exceeded_by(strangers, share):
    """Try every rank, from the best score down, clip by clip."""
    answer = None
    for rank in range(len(strangers)):
        least = [sorted(column, reverse=True)[rank] for column in strangers.T]
        named = sum(any(s > t for s, t in zip(clip, least, strict=True)) for clip in strangers)
        if named <= share * len(strangers):
            answer = least
    return answer


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_classes_name_as_many_strangers_each_and_few_in_all(share):
    rng = np.random.default_rng(5)
    for clips, classes in ((1, 1), (40, 3), (61, 7)):
        strangers = rng.random((clips, classes)).round(1)  # with ties
        np.testing.assert_array_equal(exceeded_by(strangers, share), slow_exceeded_by(strangers, share))


def outcomes(score, right, label):
    zeros = np.zeros(len(score), np.int64)
    positives = np.bincount(label[right], minlength=3)[:, None]
    return Outcomes(score, right, label, zeros, positives, np.array([2.0]))


def test_thresholds_are_raised_for_strangers_but_no_class_falls_silent():
    rng = np.random.default_rng(1)
    label = np.repeat([0, 1, 2], 200)
    score, right = rng.random(600), rng.random(600) < 0.7
    known = outcomes(score, right, label)
    strangers = np.c_[np.full(50, 0.1), np.linspace(0, 0.6, 50), np.full(50, 0.99)]  # told, partly told, not at all
    floor = [0.3, 0.3, 0.3]
    least = quiet(known, score, floor, strangers, named=0.1, keep=0.5)
    assert least[0] == 0.3
    assert 0.5 < least[1] < 0.6
    found = [np.sum(right & (label == 2) & (score >= t)) for t in (floor[2], least[2])]
    assert found[1] == np.ceil(0.5 * found[0])  # as much as it may lose, and no more
    before, after = (told(known, score, t, strangers[:, :2] @ np.eye(2, 3)) for t in (floor, least))
    assert (before["foreign_named"], after["foreign_named"]) == (0.5, pytest.approx(0.1))
    assert after["recall"] == pytest.approx(sum((right & (score >= np.array(least)[label])).astype(int)) / right.sum())
    silent = quiet(outcomes(score, np.zeros(600, bool), label), score, floor, strangers, named=0.1, keep=0.5)
    assert silent[2] > 0.99  # of a class that finds nothing there is nothing to keep


def test_strangers_are_drawn_from_a_seed_and_are_no_action(shared):
    path = shared / "motion" / "cmu_subjects_01_03" / "joints_mm_30fps.npz"
    one, same, other = (foreign(path, seed, 2) for seed in (3, 3, 4))
    assert [c.kind for c in one] == [k for k in ("program", "arms", "mixture", "recorded") for _ in range(2)]
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a.features.streams["pose"], b.features.streams["pose"])
        assert 4 <= len(a.features) <= 22  # 2 to 10 s
        assert not np.array_equal(a.features.streams["pose"], c.features.streams["pose"])
    assert one[-1].may == ("walk", "jump")
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert moves_like_none(action_profile(mixture(rng), np.random.default_rng(0)))
