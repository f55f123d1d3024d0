"""Catalogs, sampling and batches."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations import read_annotations
from tal_engine.errors import FeatureError, UsageError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.data.catalog import read_catalog
from tal_engine.lab.data.sampling import random_perturb, uniform
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, a_set, sampler


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 10))
def test_random_perturb_stays_in_its_cells(length, count, seed):
    index = random_perturb(length, count, np.random.default_rng(seed))
    assert index.shape == (count,)
    assert index.min() >= 0
    assert index.max() < length
    assert (np.diff(index) >= -1).all()
    for i in range(count - 1):
        low, high = int(i * length / count), int((i + 1) * length / count)
        assert low <= index[i] <= max(high, low)
    if length == count:
        assert uniform(length, count).tolist() == list(range(length))


def test_random_perturb_draws_evenly():
    draws = np.stack([random_perturb(40, 10, np.random.default_rng(i)) for i in range(4000)])
    counts = np.bincount(draws[:, 3] - 12, minlength=5)
    assert len(counts) == 5
    expected = len(draws) / 5
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees of freedom, p = .001


def test_sampling_refuses_nothing():
    with pytest.raises(UsageError, match="at least 1"):
        random_perturb(0, 5, np.random.default_rng(0))


def test_pairs_come_first_and_share_a_class(rng):
    batches = sampler()
    for _ in range(20):
        batch = batches.draw(rng)
        assert batch.streams["clip"].shape == (6, 16, 128)
        for i in (0, 2):
            assert (batch.labels[i] * batch.labels[i + 1]).sum() >= 1
            assert not torch.equal(batch.streams["rgb"][i], batch.streams["rgb"][i + 1])


def test_batches_name_what_is_wrong():
    videos, features = a_set()
    bare = [replace(videos[0], instances=()), *videos[1:]]
    with pytest.raises(FeatureError, match="'v0' has no label"):
        BatchSampler(bare, features, NAMES, ("rgb",), length=4, size=4, pairs=0)
    with pytest.raises(FeatureError, match="lack stream 'depth'"):
        BatchSampler(videos, features, NAMES, ("depth",), length=4, size=4, pairs=0)
    with pytest.raises(UsageError, match="unknown class 'jump'"):
        BatchSampler(videos, features, Vocabulary(["run"]), ("rgb",), length=4, size=4, pairs=0)


def write_set(folder, database, **extra):
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps({"database": database, **extra}))


ENTRY = {"subset": "train", "duration": 10, "annotations": [{"segment": [1, 2], "label": "run"}]}


def test_catalog_reads_classes_and_subsets(tmp_path):
    write_set(tmp_path, {"a": ENTRY, "b": {**ENTRY, "subset": "test"}}, classes=["jump", "run"])
    catalog = read_catalog(tmp_path)
    assert list(catalog.vocabulary) == ["jump", "run"]
    assert [v.name for v in catalog.subset("test")] == ["b"]
    with pytest.raises(FeatureError, match="no videos in subset 'val'; subsets: test, train"):
        catalog.subset("val")
    with pytest.raises(FeatureError, match="no video file for 'a'"):
        catalog.video_path(catalog.videos[0])


@pytest.mark.parametrize(
    ("database", "extra", "words"),
    [
        ({}, {}, "non-empty 'database'"),
        ({"a": {**ENTRY, "annotations": [{"segment": [2, 1], "label": "run"}]}}, {}, "entry 'a'"),
        ({"a": {**ENTRY, "annotations": [{"segment": [1], "label": "run"}]}}, {}, "entry 'a'"),
        ({"a": {**ENTRY, "annotations": [{"segment": [float("nan"), 1], "label": "run"}]}}, {}, "entry 'a'"),
        ({"a": {"subset": "train"}}, {}, "entry 'a'"),
        ({"a": 5}, {}, "entry 'a'"),
        ({"a": ENTRY}, {"classes": ["jump"]}, "a has label 'run', which is not in classes"),
    ],
)
def test_bad_annotations_are_named(tmp_path, database, extra, words):
    write_set(tmp_path, database, **extra)
    with pytest.raises(FeatureError, match=words):
        read_catalog(tmp_path)


def test_missing_annotations(tmp_path):
    with pytest.raises(FeatureError, match=r"needs annotations\.json"):
        read_catalog(tmp_path)
    with pytest.raises(FeatureError, match="no such annotation file"):
        read_annotations(tmp_path / "x.json")
