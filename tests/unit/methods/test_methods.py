"""Training methods: the contract of every one, and PVLR against its paper and public code."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tal_engine.errors import UsageError
from tal_engine.export import parity
from tal_engine.export.bundle import evaluator_to_onnx
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.heads import HEADS
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import METHODS, load_method, pvlr_losses, uses_points
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.distributed import this_world
from tal_engine.lab.training.training_options import TrainOptions
from tal_engine.lab.training.training_state import Task, begin
from tal_engine.options import BoundaryOptions, PyramidOptions
from tal_engine.timeline import Timeline
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, WIDTH, a_batch, a_click, quiet_config, small_config, steps_of_all_phases

PVLR = load_method("pvlr")


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return load_method(request.param)


def test_loss_is_finite_and_falls(method, text):
    torch.manual_seed(0)
    net = method.build(quiet_config(method), NAMES, text).train()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 3e-3)
    batch, totals = a_batch(method), []
    for step in range(60):
        terms = net.loss(batch, step)
        assert all(torch.isfinite(v) and v.ndim == 0 for v in terms.values())
        total = sum(terms.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-5:]) < 0.85 * np.mean(totals[:5])


def test_every_parameter_that_should_learn_gets_a_gradient(method, text):
    torch.manual_seed(0)
    net = method.build(small_config(method), NAMES, text).train()
    for step in steps_of_all_phases(method):
        sum(net.loss(a_batch(method), step).values()).backward()
    dead = [n for n, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum())]
    assert dead == []


def test_frozen_graph_matches_and_passes_the_gate(method, text):
    torch.manual_seed(0)
    config = small_config(method)
    net = method.build(config, NAMES, text).eval()
    frozen = method.freeze(net)
    example = {s: torch.randn(1, 9, 128 if s == "clip" else WIDTH) for s in method.inference_streams(config)}
    content, graph = to_onnx(frozen, example, {0: "B", 1: "T"}, "head.onnx")
    shapes = {t.name: t.shape for t in graph.outputs}
    proposal, nms = method.proposal_options(config), method.nms_options(config)
    evaluator = None
    if isinstance(proposal, BoundaryOptions):
        module = method.freeze_evaluator(net)
        evaluator = (module, *evaluator_to_onnx(module, graph, proposal))
        assert shapes == {"start": ["B", "T"], "end": ["B", "T"], "embedding": ["B", "T", config.width]}
        assert [t.shape for t in evaluator[2].outputs] == [["P", 3]]
        assert parity.check_evaluator(*evaluator)["tensor"] < 1e-5
    elif isinstance(proposal, PyramidOptions):
        assert shapes == {"score": ["B", "P", 3], "distance": ["B", "P", 2]}
    else:
        assert shapes.pop("cas") == ["B", "T", 3 + proposal.background]
        assert ("attention" in shapes) >= any(source.of == "attention" for source in proposal.sources)
        assert shapes.pop("attention", ["B", "T"]) == ["B", "T"]
        assert shapes in ({}, {"video": ["B", 3]})
    found = parity.check_head(frozen, content, graph, proposal, nms, Timeline(0, 1, 1), evaluator)
    assert found["tensor"] < 1e-5
    assert found["segments"] > 5


def test_checkpoint_keeps_everything(method, text, tmp_path):
    torch.manual_seed(0)
    config = small_config(method)
    task = Task(method, config, NAMES, TrainOptions(device="cpu"), {})
    world = this_world(task.options)
    state = begin(task, text, world)
    checkpoint.save(tmp_path, state, task, world)
    found = checkpoint.load(tmp_path)
    assert (found.config, found.vocabulary) == (config, NAMES)
    streams = {s: torch.randn(1, 9, 128 if s == "clip" else WIDTH) for s in method.inference_streams(config)}
    a, b = (method.freeze(n)(**streams) for n in (state.net.eval(), found.network()))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_time_is_padded_without_effect(name):
    """Padded and unpadded inputs agree on the real snippets, and in the losses."""
    head = load_method(name)
    for changes in ({"gate": "co2"}, {"gate": "autoencoded"}) if name == "co2" else ({},):
        torch.manual_seed(0)
        config = replace(quiet_config(head), **changes)
        net = head.build(config, NAMES).eval()
        streams = {s: torch.randn(2, 11, WIDTH) for s in head.training_streams(config)}
        labels = torch.eye(3)[:2]
        mask = torch.cat([torch.ones(2, 11), torch.zeros(2, 6)], 1)
        longer = {s: torch.cat([x, torch.randn(2, 6, WIDTH)], 1) for s, x in streams.items()}
        wanted, found = net(streams), net(longer, mask)
        parts = ["cas", "embedding", *(["attention"] if wanted.attention is not None else [])]
        for part in parts:
            torch.testing.assert_close(getattr(wanted, part), getattr(found, part)[:, :11], rtol=1e-5, atol=1e-6)
        points = a_click(labels, 11) if uses_points(head) else None
        more = None if points is None else functional.pad(points, (0, 0, 0, 6))
        a = net.objective(wanted, Batch(streams, labels, points=points))
        b = net.objective(found, Batch(longer, labels, mask=mask, points=more))
        for term in a:
            # Snippets for the contrast are counted in the padded length.
            if term != "contrast":
                torch.testing.assert_close(a[term], b[term], rtol=1e-4, atol=1e-6, msg=term)


@pytest.mark.parametrize("base", ["basnet", "cola"])
def test_pvlr_plugs_onto_other_heads(base, text):
    """Table 6: the adapter and P-CAS alone, on a head that knows nothing of texts."""
    torch.manual_seed(0)
    config = replace(small_config(PVLR, base=base), **PVLR.RECIPES["plug-in"].config)
    net = PVLR.build(config, NAMES, text).train()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 3e-3)
    batch, totals = a_batch(PVLR), []
    for step in range(25):
        total = sum(net.loss(batch, step).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-5:]) < np.mean(totals[:5])
    frozen = PVLR.freeze(net.eval())
    content, graph = to_onnx(frozen, {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}, {0: "B", 1: "T"}, "h.onnx")
    proposal = PVLR.proposal_options(config)
    assert graph.outputs[0].shape == ["B", "T", 3 + proposal.background]
    found = parity.check_head(frozen, content, graph, proposal, PVLR.nms_options(config), Timeline(0, 1, 1))
    assert found["tensor"] < 1e-5


@pytest.mark.parametrize("base", ["basnet", "cola"])
def test_pvlr_has_all_its_terms_on_other_heads(base, text):
    torch.manual_seed(0)
    net = PVLR.build(small_config(PVLR, base=base), NAMES, text).train()
    terms = net.loss(a_batch(PVLR), 0)
    assert {"kd", "ortho", "intra_action", "intra_background", "inter"} <= set(terms)
    assert all(torch.isfinite(v) for v in terms.values())


def test_pvlr_public_code_has_49_86_million_parameters():
    """bench/peers.md measured 49,863,170 trainable ones in the public code."""
    pvlr = load_method("pvlr")
    config = pvlr.Config(**pvlr.RECIPES["thumos14-code"].config)
    with torch.device("meta"):
        net = pvlr.PVLR(config, Vocabulary([str(i) for i in range(20)]), None)
    prompts = 77 * 512
    assert sum(p.numel() for p in net.parameters()) + prompts == 49_863_170


@pytest.mark.parametrize(
    "changes",
    [
        PVLR.RECIPES["thumos14-code"].config,
        PVLR.RECIPES["activitynet"].config,
        PVLR.RECIPES["activitynet-code"].config,
        PVLR.RECIPES["plug-in"].config,
        {"distance": "kl"},
        {"distance": "bhattacharyya"},
        {"distance": "mahalanobis", "per_dimension": True},
        {"samples": 0},
        {"kd_weight": 0.0},
    ],
)  # fmt: skip
def test_pvlr_variants_train(changes, text):
    pvlr = load_method("pvlr")
    net = pvlr.build(replace(small_config(pvlr), **changes), NAMES, text).train()
    terms = net.loss(a_batch(pvlr), 0)
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in terms.values())
    config, base = net.config, net.config.base_config
    wanted = {"cls", "norm", "guide"}
    wanted |= {n for n in ("kd", "ortho") if getattr(config, f"{n}_weight")}
    if config.samples:
        wanted |= {n for n in ("intra_action", "intra_background", "inter") if getattr(config, f"{n}_weight")}
    wanted |= {n for n, w in (("oppo", base.mutual_weight), ("coactivity", base.coactivity_weight)) if w}
    assert set(terms) == wanted


def test_pvlr_mean_over_samples_tends_to_the_mean_when_the_spread_is_small(text):
    pvlr = load_method("pvlr")
    torch.manual_seed(0)
    net = pvlr.build(replace(small_config(pvlr), noise=1e-6), NAMES, text).eval()
    mean, variance = torch.randn(2, 5, 128), torch.rand(2, 5, 128)
    words = torch.randn(4, 128)
    wanted = functional.cosine_similarity(mean[..., None, :], words, dim=-1) / net.config.temperature
    torch.testing.assert_close(net.activation(mean, variance, words), wanted, rtol=1e-4, atol=1e-3)


def test_pvlr_one_draw_has_the_spread_of_the_mean_of_k_dot_products(text):
    """The shortcut for dot products: the variance over draws is that of the mean of K samples."""
    torch.manual_seed(0)
    config = replace(small_config(PVLR), similarity="dot", samples=7, noise=0.5, temperature=1.0)
    net = PVLR.build(config, NAMES, text).eval()
    mean, variance, words = torch.randn(1, 1, 128), torch.rand(1, 1, 128), torch.randn(4, 128)
    drawn = torch.stack([net.activation(mean, variance, words)[0, 0] for _ in range(4000)])
    samples = mean + torch.randn(4000, 7, 1, 1, 128) * 0.5 * variance.sqrt()
    wanted = (samples @ words.T).mean(1)[:, 0, 0]
    torch.testing.assert_close(drawn.std(0), wanted.std(0), rtol=0.06, atol=0)
    torch.testing.assert_close(drawn.mean(0), wanted.mean(0), rtol=0, atol=0.5)


def test_pvlr_distillation_is_zero_where_the_towers_agree():
    for rule in ("mean_log", "log_mean"):
        config = small_config(PVLR, distillation=rule)
        x = torch.randn(2, 7, 128)
        assert pvlr_losses.distillation(x, x * 3, config).item() == pytest.approx(0, abs=1e-5)
        assert pvlr_losses.distillation(x, -x, config).item() > 5
    half = pvlr_losses.distillation(torch.eye(128)[None, :2], torch.eye(128)[None, 2:4], config)
    assert half.item() == pytest.approx(math.log(2), abs=1e-5)


def test_pvlr_orthogonality():
    config = small_config(PVLR)
    assert pvlr_losses.orthogonality(torch.eye(4, 128) * 5, config).item() == pytest.approx(0, abs=1e-6)
    same = torch.ones(3, 128)
    assert pvlr_losses.orthogonality(same, config).item() == pytest.approx(6, abs=1e-4)
    plain = replace(config, ortho_squared=False)
    assert pvlr_losses.orthogonality(same, plain).item() == pytest.approx(math.sqrt(6), abs=1e-4)


def test_pvlr_bad_config_is_named(text):
    pvlr = load_method("pvlr")
    with pytest.raises(UsageError, match="samples is -1"):
        pvlr.Config(samples=-1)
    with pytest.raises(UsageError, match="base_options of co2: unexpected keyword argument 'magic'"):
        pvlr.build(small_config(pvlr, base_options={"magic": 1}), NAMES, text)
    with pytest.raises(UsageError, match="joint is 64"):
        pvlr.build(pvlr.Config(rgb=8, flow=8, joint=64), NAMES, text)
    with pytest.raises(UsageError, match="without a text tower"):
        pvlr.build(small_config(pvlr), NAMES, None).loss(a_batch(pvlr), 0)
