"""PVLR's added terms: recipes of the code equal the public code, the default the paper, in value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_parity import LEARNED, gradients, leaves, pvlr_terms

from tal_engine.lab.methods import load_method, pvlr_losses
from tal_engine.lab.nn import gaussian
from tests.reference import pvlr as twin

PVLR = load_method("pvlr")
#: Recipe -> its twin, and whether background is one of the texts of L_ortho.
TWINS = {
    "thumos14": (twin.Paper(), False),
    "activitynet": (twin.Paper(), False),
    "thumos14-code": (twin.Code(symmetric=True), True),
    "activitynet-code": (twin.Code(symmetric=False), True),
}


def config_of(recipe):
    return PVLR.Config(**PVLR.RECIPES[recipe].config)


@pytest.mark.parametrize("recipe", TWINS)
@pytest.mark.parametrize("seed", [0, 7])
def test_recipes_equal_their_twins_in_value_and_gradient(recipe, seed):
    raw, indices = twin.inputs(seed)
    slow, background = TWINS[recipe]
    a, b = leaves(raw), leaves(raw)
    wanted, found = twin.terms(slow, a, indices, background), pvlr_terms(config_of(recipe), b, indices)
    for term in twin.TERMS:
        torch.testing.assert_close(found[term], wanted[term], rtol=1e-8, atol=0, msg=term)
        for name, gradient in gradients(wanted[term], a).items():
            torch.testing.assert_close(gradients(found[term], b)[name], gradient, rtol=1e-6, atol=1e-9, msg=term)


@pytest.mark.parametrize("recipe", [r for r in twin.PUBLIC if r.endswith("-code")])
def test_recipes_of_the_code_give_the_figures_that_the_public_code_gave(recipe):
    for seed, public in enumerate(twin.PUBLIC[recipe]):
        raw, indices = twin.inputs(seed)
        tensors = leaves(raw)
        found = pvlr_terms(config_of(recipe), tensors, indices)
        for term, figures in public.items():
            assert found[term].item() == pytest.approx(figures["value"], rel=1e-6), term
            gradient = gradients(found[term], tensors)
            for name, projected in figures["gradient"].items():
                assert float((gradient[name] * twin.probe(gradient[name])).sum()) == pytest.approx(projected, rel=1e-6)
            assert set(figures["gradient"]) == {k for k in LEARNED if k in gradient and gradient[k].abs().sum() > 0}


def test_single_precision_is_close_to_double():
    raw, indices = twin.inputs(3, width=64)
    for recipe in TWINS:
        wanted = pvlr_terms(config_of(recipe), raw, indices)
        found = pvlr_terms(config_of(recipe), {k: v.float() for k, v in raw.items()}, indices)
        for term in twin.TERMS:
            assert found[term].item() == pytest.approx(wanted[term].item(), rel=2e-5), (recipe, term)


@pytest.mark.parametrize("kind", ["jsd", "kl", "bhattacharyya", "mahalanobis"])
def test_equal_and_far_away_distributions_give_finite_terms(kind):
    """Hostile inputs: no variance at all, the same snippet in every set, and means a million apart."""
    raw, indices = twin.inputs(0)
    config = replace(config_of("thumos14"), distance=kind)
    same = indices | {k: torch.zeros_like(v) for k, v in indices.items()}
    for change, chosen in (
        ({"variance": torch.zeros_like(raw["variance"])}, indices),
        ({"mean": torch.zeros_like(raw["mean"]), "variance": torch.zeros_like(raw["variance"])}, indices),
        ({"mean": raw["mean"] * 1e6}, indices),
        ({}, same),
        ({"labels": torch.ones_like(raw["labels"])}, indices),  # no pair of other classes
    ):
        for mean in ("mean_log", "log_mean"):
            for kinds in ("pairs", "kinds"):
                tensors = leaves({k: v.float() for k, v in (raw | change).items()})
                found = pvlr_terms(replace(config, intra_mean=mean, inter_mean=kinds), tensors, chosen)
                sum(found.values()).backward()
                assert all(torch.isfinite(v) for v in found.values()), (kind, change.keys(), mean, kinds)
                assert all(torch.isfinite(tensors[k].grad).all() for k in LEARNED if tensors[k].grad is not None)


def exact_jsd(a, v, b, w):
    """Of two Gaussians on the line, by quadrature, in nats."""
    scale = np.sqrt(max(v, w))
    x = np.linspace(min(a, b) - 10 * scale, max(a, b) + 10 * scale, 40_001)
    p, q = (np.exp(-((x - m) ** 2) / 2 / s) / np.sqrt(2 * np.pi * s) + 1e-300 for m, s in ((a, v), (b, w)))
    return float(np.trapezoid(p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)), x) / 2)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-3, 3), st.floats(0.05, 4), st.floats(-3, 3), st.floats(0.05, 4),
)  # fmt: skip
def test_the_closed_form_bounds_the_exact_jensen_shannon_divergence(a, v, b, w):
    """Never less than the exact one in nats; 1 - exp(-d) never more than the exact one in bits."""
    tensors = [torch.tensor([[x]], dtype=torch.float64) for x in (a, v - gaussian.FLOOR, b, w - gaussian.FLOOR)]
    d = gaussian.distance(*tensors, "jsd", False)
    exact = exact_jsd(a, v, b, w)
    assert d.item() >= exact - 1e-9
    assert 1 - gaussian.log_match(d, "jsd").same.exp().item() <= exact / np.log(2) + 1e-9


def test_close_distributions_have_their_exact_divergence():
    for gap, ratio in ((0.05, 1.0), (0.0, 1.1), (0.04, 1.05)):
        tensors = [torch.tensor([[x]], dtype=torch.float64) for x in (0.0, 1.0, gap, ratio)]
        exact = exact_jsd(0.0, 1.0, gap, ratio)
        assert gaussian.distance(*tensors, "jsd", False).item() == pytest.approx(exact, rel=5e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_mixture_of_the_public_code_has_no_negative_variance(seed, constant):
    """With attention in [0, 1] the mean weight is at most 1: (sum w m)^2 <= sum w * sum w m^2 <= sum w m^2."""
    raw, _ = twin.inputs(seed)
    attention = torch.ones_like(raw["attention"]) if constant else raw["attention"]
    m = (attention[..., None] * raw["mean"]).mean(1)
    second = (attention[..., None] * (raw["mean"] ** 2 + raw["variance"])).mean(1)
    assert (second - m**2).min() >= -1e-12
    found = gaussian.mixture(raw["mean"], raw["variance"], attention, normalised=False)
    torch.testing.assert_close(found[0], m)
    torch.testing.assert_close(found[1], (second - m**2).clamp(min=0))


def test_background_is_no_text_of_the_paper_s_orthogonality(text):
    from tests.learning import NAMES, small_config

    net = PVLR.build(small_config(PVLR), NAMES, text)
    texts = torch.eye(4, 128)
    texts[3] = texts[0]  # background like a class
    assert pvlr_losses.orthogonality(net.texts_apart(texts), net.config).item() == pytest.approx(0, abs=1e-6)
    code = PVLR.build(small_config(PVLR, ortho_background=True), NAMES, text)
    assert pvlr_losses.orthogonality(code.texts_apart(texts), code.config).item() == pytest.approx(2, abs=1e-5)
