"""Folds: every video in one, groups whole, classes dealt out evenly."""

from __future__ import annotations

import numpy as np
import pytest

from tal_engine.errors import UsageError
from tal_engine.lab.fitting.folds import folds_of


def test_classes_are_dealt_out_evenly():
    labels = [["a"], ["b"], ["c"]] * 8
    fold = folds_of(labels, [str(i) for i in range(24)], 4)
    for c in range(3):
        assert np.bincount(fold[c::3], minlength=4).tolist() == [2, 2, 2, 2]


def test_a_rare_class_is_never_in_one_fold_alone():
    labels = [["often"]] * 20 + [["often", "rare"]] * 2
    fold = folds_of(labels, [str(i) for i in range(22)], 4)
    assert fold[20] != fold[21]


@pytest.mark.parametrize("seed", range(5))
def test_videos_of_a_group_stay_together(seed):
    rng = np.random.default_rng(seed)
    groups = [f"p{g}" for g in rng.integers(0, 9, 40)]
    labels = [list(rng.choice(list("abcd"), rng.integers(0, 3), replace=False)) for _ in groups]
    fold = folds_of(labels, groups, 4, seed)
    assert sorted(set(fold.tolist())) == [0, 1, 2, 3]
    for g in set(groups):
        assert len({int(f) for f, name in zip(fold, groups, strict=True) if name == g}) == 1


def test_the_same_seed_gives_the_same_folds():
    labels, groups = [["a", "b"][i % 2 : i % 2 + 1] for i in range(10)], [str(i) for i in range(10)]
    assert folds_of(labels, groups, 3, 1).tolist() == folds_of(labels, groups, 3, 1).tolist()


def test_a_number_of_folds_that_cannot_be():
    with pytest.raises(UsageError, match=r"folds is 5, must be in 2\.\.2"):
        folds_of([["a"], ["a"], ["b"]], ["x", "x", "y"], 5)
