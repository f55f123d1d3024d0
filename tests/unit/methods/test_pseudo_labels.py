"""CBP + VLP's pseudo-labels and the losses that read them, against loops and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tal_engine.lab.nn import pseudo_snippets
from tests.learning import slope
from tests.reference import pseudo as reference


def test_ternary_labels_equal_the_loops(rng):
    p = rng.uniform(0, 1, (3, 7, 4))
    p[0, 0, 0], p[0, 1, 0] = 0.3, 0.1  # on a threshold: uncertain
    y = rng.integers(0, 2, (3, 4)).astype(float)
    y[0, 0] = 1
    mask = (rng.uniform(size=(3, 7)) < 0.8).astype(float)
    found = pseudo_snippets.ternary(*map(torch.tensor, (p, y)), 0.3, 0.1, torch.tensor(mask)).numpy()
    assert np.array_equal(found, reference.ternary(p, y, 0.3, 0.1, mask))
    assert set(np.unique(found)) == {-1, 0, 1}
    whole = pseudo_snippets.ternary(*map(torch.tensor, (p, y)), 0.3, 0.1).numpy()
    assert np.array_equal(whole, reference.ternary(p, y, 0.3, 0.1, np.ones_like(mask)))


def test_scaling_over_time_is_by_the_real_snippets():
    p = torch.tensor([[0.2, 0.5, 0.4, 0.9], [0.3, 0.3, 0.3, 0.3]]).unsqueeze(-1)
    found = pseudo_snippets.scaled(p, torch.tensor([[1.0, 1, 1, 0], [1.0, 1, 1, 1]]))[..., 0]
    torch.testing.assert_close(found, torch.tensor([[0, 1, 2 / 3, 1], [0.0, 0, 0, 0]]))
    torch.testing.assert_close(pseudo_snippets.scaled(p)[0, :, 0], (p[0, :, 0] - 0.2) / 0.7)


@pytest.mark.parametrize("over", ["pairs", "frames"])
def test_distillation_equals_the_divergence(rng, over):
    h = rng.integers(-1, 2, (2, 9, 3)).astype(float)
    p = rng.uniform(0.01, 0.99, h.shape)
    found = pseudo_snippets.distillation(torch.tensor(h), torch.tensor(p), over).item()
    assert found == pytest.approx(reference.distillation(h, p, over))
    exact = pseudo_snippets.distillation(torch.tensor(h), torch.tensor(np.clip(h, 0, 1)), over)
    assert exact.item() == pytest.approx(0, abs=1e-5)
    assert pseudo_snippets.distillation(torch.full((1, 2, 3), -1.0), torch.rand(1, 2, 3), over).item() == 0


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_contrast_equals_the_loops(rng, similarity, reduction):
    """In value and gradient; a part of the anchors stands for all of them."""
    rules = similarity, reduction
    h = rng.integers(-1, 2, (2, 12, 3)).astype(float)
    h[0, :4] = 0
    f = rng.normal(size=(2, 12, 5))
    feature = torch.tensor(f, requires_grad=True)
    found = pseudo_snippets.contrast(feature, torch.tensor(h), 0.07, 1000, *rules)
    assert found.item() == pytest.approx(reference.contrast(f, h, 0.07, *rules))
    found.backward()
    by_differences = slope(lambda x: reference.contrast(x, h, 0.07, *rules), f)
    np.testing.assert_allclose(feature.grad.numpy(), by_differences, rtol=1e-4, atol=1e-5)
    some = pseudo_snippets.contrast(torch.tensor(f), torch.tensor(h), 0.07, 3, *rules).item()
    assert np.isfinite(some)


def test_the_sum_over_drawn_anchors_stands_for_that_of_all():
    """Where all anchors are alike, any of them give the sum of all."""
    f = torch.tensor([[[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2])
    h = torch.tensor([[[1.0]] * 6 + [[0.0]] * 2])
    few, negatives = pseudo_snippets.contrast(f, h, 1.0, 3), 2
    for count, found in ((6, pseudo_snippets.contrast(f, h, 1.0, 9)), (3, few)):
        near, far = (count - 1) * np.exp(1), negatives
        assert found.item() == pytest.approx(6 * np.log((near + far) / near), rel=1e-5)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_contrast_without_one_kind_is_zero_and_has_a_gradient(value):
    f = torch.randn(1, 4, 5, requires_grad=True)
    loss = pseudo_snippets.contrast(f, torch.full((1, 4, 2), value), 0.07, 100)
    loss.backward()
    assert loss.item() == 0
    assert f.grad.abs().sum() == 0


def test_contrast_falls_where_foreground_and_background_part():
    h = torch.tensor([[1.0, 1.0, 0.0, 0.0]])[..., None]
    apart = torch.tensor([[[1.0, 0], [1, 0], [-1, 0], [-1, 0]]])
    mixed = torch.tensor([[[1.0, 0], [-1, 0], [1, 0], [-1, 0]]])
    assert (
        pseudo_snippets.contrast(apart, h, 0.07, 9, "cosine", "mean")
        < 1e-3
        < 1
        < pseudo_snippets.contrast(mixed, h, 0.07, 9, "cosine", "mean")
    )
