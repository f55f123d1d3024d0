"""Blocks of the networks against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tal_engine.errors import UsageError
from tal_engine.lab.nn import gaussian, losses, mining
from tal_engine.lab.nn.prompt import PromptLearner
from tal_engine.lab.nn.temporal import smooth, topk_mean
from tests.learning import NAMES


def test_gaussian_distances_equal_the_matrix_formulas(rng):
    """KL of multivariate normals with full matrices (PVLR Eq. 16), Bhattacharyya and Mahalanobis."""
    mp, mq = rng.normal(size=(2, 5))
    vp, vq = rng.uniform(0.1, 2, (2, 5))

    def kl(ma, va, mb, vb):
        a, b = np.diag(va), np.diag(vb)
        gap, inverse = mb - ma, np.linalg.inv(np.diag(vb))
        logs = np.log(np.linalg.det(b) / np.linalg.det(a))
        return 0.5 * (np.trace(inverse @ a) + gap @ inverse @ gap + logs - len(ma))

    mean = (mp + mq) / 2
    var = (vp + mp**2 + vq + mq**2) / 2 - mean**2
    middle = np.diag((vp + vq) / 2)
    maha = (mp - mq) @ np.linalg.inv(middle) @ (mp - mq)
    ratio = np.linalg.det(middle) / np.sqrt(np.prod(vp) * np.prod(vq))
    wanted = {
        "kl": kl(mp, vp, mq, vq),
        "jsd": (kl(mp, vp, mean, var) + kl(mq, vq, mean, var)) / 2,
        "bhattacharyya": maha / 8 + 0.5 * np.log(ratio),
        "mahalanobis": maha,
    }
    args = [torch.tensor(x)[None] for x in (mp, vp - gaussian.FLOOR, mq, vq - gaussian.FLOOR)]
    for kind, value in wanted.items():
        assert gaussian.distance(*args, kind, False).item() == pytest.approx(value)
        assert gaussian.distance(*args, kind, True).item() == pytest.approx(value / 5)
        assert gaussian.distance(args[0], args[1], args[0], args[1], kind, False).item() == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="unknown distance"):
        gaussian.distance(*args, "cosine", False)


def test_mixture_has_the_moments_of_its_samples():
    torch.manual_seed(0)
    mean, var = torch.randn(1, 3, 2, dtype=torch.float64), torch.rand(1, 3, 2, dtype=torch.float64)
    weight = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    part = torch.multinomial(weight[0], 400_000, replacement=True)
    x = mean[0, part] + torch.randn(400_000, 2, dtype=torch.float64) * var[0, part].sqrt()
    m, v = gaussian.mixture(mean, var, weight, True)
    torch.testing.assert_close(m[0], x.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(v[0], x.var(0), rtol=0.02, atol=0.01)
    m, v = gaussian.mixture(mean, var, weight, False)
    torch.testing.assert_close(m[0], (weight[0, :, None] * mean[0]).mean(0))
    torch.testing.assert_close(v[0], (weight[0, :, None] * (mean[0] ** 2 + var[0])).mean(0) - m[0] ** 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 9))
def test_dilate_and_erode_equal_the_definitions(bits, radius):
    b = torch.tensor([[float(x) for x in bits]])
    short, long = (radius - 1) // 2, radius // 2

    def window(i, left, right):
        return [bits[j] if 0 <= j < len(bits) else False for j in range(i - left, i + right + 1)]

    assert mining.dilate(b, radius)[0].tolist() == [float(any(window(i, short, long))) for i in range(len(bits))]
    assert mining.erode(b, radius)[0].tolist() == [float(all(window(i, long, short))) for i in range(len(bits))]
    structure = np.ones(radius)
    assert mining.dilate(b, radius)[0].tolist() == ndimage.binary_dilation(bits, structure).tolist()
    assert mining.erode(b, radius)[0].tolist() == ndimage.binary_erosion(bits, structure).tolist()


def test_hard_snippets_lie_at_the_edges_and_the_published_radii_give_empty_rings():
    a = torch.full((1, 60), 0.1)
    a[0, 20:40] = 0.9
    a += torch.linspace(0, 0.01, 60)
    common = {"easy": 4, "hard": 3, "dropout": 0.0}
    mined = mining.mine(a, inner=3, outer=6, **common)
    edges = {20, 21, 22, 37, 38, 39}
    assert set(mined.hard_action[0].tolist()) & edges
    # The ring of the background lies just outside of what is above the median (30..59 here counts too).
    assert mined.easy_action[0].tolist() == [39, 38, 37, 36]
    assert set(mined.easy_background[0].tolist()) == {0, 1, 2, 3}
    b = (a > a.median()).float()
    assert (mining.erode(b, 3) - mining.erode(b, 6)).max() == 1
    assert (mining.erode(b, 24) - mining.erode(b, 3)).max() == 0
    assert (mining.dilate(b, 3) - mining.dilate(b, 24)).max() == 0


def test_topk_mean():
    x = torch.randn(2, 10, 3)
    wanted = x.sort(1, descending=True).values[:, :3].mean(1)
    torch.testing.assert_close(topk_mean(x, 3), wanted)
    mask = torch.tensor([[1.0] * 10, [1.0] * 4 + [0.0] * 6])
    found = topk_mean(x, 3, mask)
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1], x[1, :4].max(0).values)
    assert torch.isfinite(topk_mean(x[:, :1], 7)).all()


@pytest.mark.parametrize("length", [1, 4, 9, 10, 60, 61])
def test_smooth_is_average_pooling_with_a_window_that_follows_the_length(length):
    """CO2-Net on ActivityNet: kernel (T // 5) // 2 * 2 + 1, 13 for T = 60, zeros beyond the ends counted in."""
    x = torch.randn(2, length, 3)
    kernel = (length // 5) // 2 * 2 + 1
    wanted = torch.nn.functional.avg_pool1d(x.transpose(1, 2), kernel, 1, kernel // 2).transpose(1, 2)
    torch.testing.assert_close(smooth(x), wanted, rtol=1e-4, atol=1e-5)


def test_mil_ce_and_suppression():
    cas = torch.zeros(1, 7, 3)
    cas[0, 2, 1] = 10
    labels = torch.tensor([[0.0, 1.0, 0.0]])
    assert losses.mil_ce(cas, labels, 7).item() == pytest.approx(math.log(1 + 2 * math.exp(-10)), abs=2e-3)
    a = torch.tensor([[0.0, 1.0]])
    x = torch.tensor([[[1.0, -2.0], [1.0, -2.0]]])
    torch.testing.assert_close(losses.suppressed(x, a, "product"), torch.tensor([[[0.0, 0.0], [1.0, -2.0]]]))
    torch.testing.assert_close(losses.suppressed(x, a, "shifted"), torch.tensor([[[-2.0, -2.0], [1.0, -2.0]]]))


def test_co_activity_prefers_alike_actions():
    """Two videos whose action snippets agree score lower than two whose action snippets differ."""
    cas = torch.full((2, 8, 2), -5.0)
    cas[:, 2:5, 0] = 5
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    alike = torch.zeros(2, 8, 4)
    alike[..., 3] = 1
    alike[:, 2:5] = torch.tensor([1.0, 0, 0, 0])
    unlike = alike.clone()
    unlike[1, 2:5] = torch.tensor([0, 1.0, 0, 0])
    assert losses.co_activity(cas, alike, labels, 1) < losses.co_activity(cas, unlike, labels, 1)
    assert losses.co_activity(cas, alike, torch.eye(2), 1).item() == 0


def test_prompts_stand_around_the_name(text):
    torch.manual_seed(0)
    learner = PromptLearner(text, NAMES.names, prefix=2, suffix=1)
    out = learner()
    assert out.shape == (4, 128)
    torch.testing.assert_close(out[3], learner.background)
    # With the learned vectors set to the embeddings of real words the result is that of the plain text.
    words = text.embed_tokens(torch.tensor([*text.tokenize("jump down"), *text.tokenize("sit")]))
    learner.context.data.copy_(words)
    torch.testing.assert_close(learner()[0], text(["jump down run sit"])[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learner()[2], text(["jump down sit down sit"])[0], rtol=1e-4, atol=1e-5)


def test_prompt_gradients_reach_the_context_and_not_the_tower(text):
    for layout in ("affix", "full"):
        learner = PromptLearner(text, NAMES.names, layout=layout)
        learner().square().sum().backward()
        assert learner.context.grad.abs().sum() > 0
        assert all(p.grad is None for p in text.parameters())
        assert not any(k.startswith("_text") for k in learner.state_dict())


def test_class_name_that_does_not_fit(text):
    with pytest.raises(UsageError, match="too many for a context of 32"):
        PromptLearner(text, ["word " * 40])
