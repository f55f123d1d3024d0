"""Sampling of snippets (methods.md 1.3) and batches that may be padded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import FeatureError, UsageError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.data.sampling import contiguous, random_perturb, sample, uniform
from tests.learning import NAMES, a_set, sampler

KINDS = ("random_perturb", "uniform", "contiguous", "full")


def textbook_perturb(length, count, rng):
    """W-TALC's rule, place by place, as methods.md 1.3 has it."""
    grid = [i * length / count for i in range(count + 1)]
    out = []
    for i in range(count):
        low, high = int(grid[i]), int(grid[i + 1])
        if i == count - 1:
            out.append(rng.integers(low, max(length - 1, low) + 1))
        else:
            out.append(rng.integers(low, high + 1) if low != high else low)
    return np.minimum(out, length - 1)


@pytest.mark.parametrize(("length", "count"), [(40, 10), (7, 20), (10, 10), (1, 5), (13, 4), (5, 1)])
def test_random_perturb_is_the_textbook_rule(length, count):
    """Chi-square of every place against the textbook's draws."""
    draws = 1500
    ours = np.stack([random_perturb(length, count, np.random.default_rng(i)) for i in range(draws)])
    theirs = np.stack([textbook_perturb(length, count, np.random.default_rng(10**6 + i)) for i in range(draws)])
    for place in range(count):
        a = np.bincount(ours[:, place], minlength=length)
        b = np.bincount(theirs[:, place], minlength=length)
        assert ((a > 0) == (b > 0)).all()
        used = a + b > 0
        chi = ((a - b)[used] ** 2 / (a + b)[used]).sum()
        freedom = int(used.sum()) - 1
        assert chi <= freedom + 5 * np.sqrt(2 * max(freedom, 1))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_sampling_is_never_out_of_range(kind, length, count, seed):
    index = sample(kind, length, count, np.random.default_rng(seed))
    assert index.min() >= 0
    assert index.max() < length
    assert len(index) == {"full": length, "contiguous": min(length, count)}.get(kind, count)
    if kind in ("contiguous", "full"):
        assert (np.diff(index) == 1).all()


def test_as_many_as_there_are_is_the_identity(rng):
    assert uniform(9, 9).tolist() == contiguous(9, 9, rng).tolist() == list(range(9))
    assert sample("full", 9, 4, rng).tolist() == list(range(9))
    assert [set(random_perturb(1, 4, rng)), set(uniform(1, 4)), set(contiguous(1, 4, rng))] == [{0}] * 3


def test_windows_begin_anywhere(rng):
    starts = np.bincount([contiguous(12, 8, rng)[0] for _ in range(5000)])
    assert len(starts) == 5
    assert ((starts - 1000) ** 2 / 1000).sum() < 18.5  # chi-square, 4 degrees of freedom, p = .001


def test_unknown_sampling(rng):
    with pytest.raises(UsageError, match="sampling is 'dense', must be one of random_perturb, uniform"):
        sample("dense", 5, 5, rng)


def test_default_batches_are_what_they_were():
    """The draws of random-perturb batches are part of what a seed means."""
    batch = sampler().draw(np.random.default_rng(3))
    videos, features = a_set()
    rng = np.random.default_rng(3)
    labels = np.array([[v.labels == (n,) for n in NAMES] for v in videos])
    rows = []
    for c in rng.choice(3, 2):
        rows += rng.choice(np.flatnonzero(labels[:, c]), 2, replace=False).tolist()
    rows += rng.integers(len(videos), size=2).tolist()
    expected = [features[f"v{r}"].streams["rgb"][random_perturb(30 + r, 16, rng)] for r in rows]
    np.testing.assert_array_equal(batch.streams["rgb"].numpy(), np.stack(expected))
    assert batch.mask is None


def test_windows_are_padded_and_masked(rng):
    batch = sampler(length=33, sampling="contiguous").draw(rng)  # videos of 30 to 37 snippets
    assert batch.streams["rgb"].shape == (6, 33, 8)
    assert batch.mask is not None
    assert (batch.streams["rgb"][batch.mask == 0] == 0).all()
    assert set(batch.mask.sum(1).int().tolist()) <= {30, 31, 32, 33}
    assert (batch.mask.diff(dim=1) <= 0).all()
    assert sampler(length=20, sampling="contiguous").draw(rng).mask is None


def test_whole_videos_are_padded_to_the_longest(rng):
    batch = sampler(sampling="full").draw(rng)
    assert batch.mask is not None
    assert batch.streams["rgb"].shape[1] == int(batch.mask.sum(1).max()) >= 30
    assert torch.equal(batch.mask, batch.mask.round())


def test_widths_are_checked():
    with pytest.raises(FeatureError, match="stream 'rgb' of 'v0' is 8 wide, must be 64"):
        sampler(widths={"rgb": 64})
    sampler(widths={"rgb": 8, "flow": 8, "clip": 128})
    videos, features = a_set()
    features["v1"].streams["flow"] = np.zeros((31, 9), np.float32)
    with pytest.raises(FeatureError, match="stream 'flow' of 'v1' is 9 wide, must be 8"):
        BatchSampler(videos, features, NAMES, ("flow",), length=4, size=4, pairs=0)
    with pytest.raises(FeatureError, match="there are no training videos"):
        BatchSampler([], {}, NAMES, ("flow",), length=4, size=4, pairs=0)
