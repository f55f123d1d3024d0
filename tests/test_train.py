"""Training: the contract of every method, losses that mean what they say, checkpoints that resume."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from tal_engine.annotations import AnnotatedVideo, read_annotations
from tal_engine.data.batches import BatchSampler
from tal_engine.data.catalog import read_catalog
from tal_engine.data.sampling import random_perturb, uniform
from tal_engine.errors import CheckpointError, ExportError, FeatureError, ParityError, TrainingError, UsageError
from tal_engine.export import bundle, parity
from tal_engine.export.encoders import EncoderSet
from tal_engine.export.to_onnx import to_onnx
from tal_engine.heads.consensus import Consensus, ConsensusConfig
from tal_engine.methods import METHODS, load_method
from tal_engine.methods.protocol import Batch
from tal_engine.nn import gaussian, losses, mining
from tal_engine.nn.prompt import PromptLearner
from tal_engine.nn.temporal import topk_mean
from tal_engine.nn.tiny import TinyFlow, TinyImage, TinyRGB, TinyText
from tal_engine.options import NmsOptions, ProposalOptions, SnippetOptions
from tal_engine.plan import Encoder, Graph
from tal_engine.records import Features, Segment
from tal_engine.timeline import Timeline
from tal_engine.train import checkpoint
from tal_engine.train.loop import fit
from tal_engine.train.options import TrainOptions
from tal_engine.train.tiny import TinyEncoders, load_tiny, save_tiny
from tal_engine.vocabulary import Vocabulary

NAMES = Vocabulary(["run", "jump", "sit down"])
WIDTH = 8


@pytest.fixture
def text():
    torch.manual_seed(0)
    return TinyText(["run", "jump", "sit", "down"]).eval().requires_grad_(False)


def small_config(method, **changes):
    return method.Config(rgb=WIDTH, flow=WIDTH, joint=128, samples=4, **changes)


def a_batch(method, seed=0, size=6, length=24):
    g = torch.Generator().manual_seed(seed)
    widths = {"rgb": WIDTH, "flow": WIDTH, "clip": 128}
    labels = torch.zeros(size, len(NAMES))
    labels[torch.arange(size), torch.arange(size) // 2 % len(NAMES)] = 1
    streams = {}
    for s in method.training_streams:
        x = torch.randn(size, length, widths[s], generator=g)
        x[:, 5:12, :] += labels.repeat(1, math.ceil(widths[s] / 3))[:, None, : widths[s]] * 2
        streams[s] = x
    return Batch(streams, labels, pairs=3)


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return load_method(request.param)


# -- the contract of every method --------------------------------------------------------------


def test_loss_is_finite_and_falls(method, text):
    torch.manual_seed(0)
    quiet = {"dropout": 0.0, "fusion_dropout": 0.0, "logit_dropout": 0.0}
    net = method.build(small_config(method, kd_weight=1.0, **quiet), NAMES, text).train()
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
    assert np.mean(totals[-5:]) < 0.8 * np.mean(totals[:5])


def test_every_parameter_that_should_learn_gets_a_gradient(method, text):
    torch.manual_seed(0)
    net = method.build(small_config(method, coactivity_weight=1.0), NAMES, text).train()
    sum(net.loss(a_batch(method), 0).values()).backward()
    dead = [n for n, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum())]
    assert dead == []


def test_frozen_graph_matches_and_passes_the_gate(method, text):
    torch.manual_seed(0)
    frozen = method.freeze(method.build(small_config(method), NAMES, text).eval())
    example = {s: torch.randn(1, 9, WIDTH) for s in method.inference_streams}
    content, graph = to_onnx(frozen, example, ["cas", "attention"], {0: "B", 1: "T"}, "head.onnx")
    assert [t.shape for t in graph.outputs] == [["B", "T", 4], ["B", "T"]]
    found = parity.check_head(frozen, content, graph, ProposalOptions(), NmsOptions(), Timeline(0, 1, 1))
    assert found["tensor"] < 1e-5
    assert found["segments"] > 50


def test_time_is_padded_without_effect():
    """Padded and unpadded inputs agree on the real snippets."""
    torch.manual_seed(0)
    for gate in ("co2", "autoencoded"):
        head = Consensus(ConsensusConfig(rgb=WIDTH, flow=WIDTH, gate=gate)).eval()
        rgb, flow = torch.randn(1, 11, WIDTH), torch.randn(1, 11, WIDTH)
        wanted = head(rgb, flow)
        mask = torch.cat([torch.ones(1, 11), torch.zeros(1, 6)], 1)
        padded = [torch.cat([x, torch.randn(1, 6, WIDTH)], 1) for x in (rgb, flow)]
        found = head(*padded, mask)
        for a, b in zip(wanted, found, strict=True):
            torch.testing.assert_close(a, b[:, :11], rtol=1e-5, atol=1e-6)


# -- PVLR --------------------------------------------------------------------------------------


def test_pvlr_public_code_has_49_86_million_parameters():
    """bench/peers.md measured 49,863,170 trainable ones in the public code."""
    pvlr = load_method("pvlr")
    config = pvlr.Config(base="autoencoded", prompt="full")
    with torch.device("meta"):
        net = pvlr.PVLR(config, Vocabulary([str(i) for i in range(20)]), None)
    prompts = 77 * 512
    assert sum(p.numel() for p in net.parameters()) + prompts == 49_863_170


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "autoencoded", "prompt": "full", "spread": "log_variance", "noise": 0.005, "similarity": "dot",
         "temperature": 8.0, "suppression": "shifted", "distillation": "log_mean", "ortho_squared": False,
         "inner_radius": 24, "outer_radius": 3, "mixture_normalised": False, "coactivity_weight": 1.0,
         "oppo_weight": 0.0},
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
    deterministic = changes.get("samples") == 0
    assert ("intra_action" in terms, "inter" in terms) == ((not deterministic,) * 2)
    assert ("kd" in terms) == (changes.get("kd_weight") != 0.0)
    assert ("coactivity" in terms) == bool(changes.get("coactivity_weight"))


def test_pvlr_mean_over_samples_tends_to_the_mean_when_the_spread_is_small(text):
    pvlr = load_method("pvlr")
    torch.manual_seed(0)
    net = pvlr.build(replace(small_config(pvlr), noise=1e-6), NAMES, text).eval()
    mean, variance = torch.randn(2, 5, 128), torch.rand(2, 5, 128)
    words = torch.randn(4, 128)
    wanted = functional.cosine_similarity(mean[..., None, :], words, dim=-1) / net.config.temperature
    torch.testing.assert_close(net.activation(mean, variance, words), wanted, rtol=1e-4, atol=1e-3)


def test_pvlr_distillation_is_zero_where_the_towers_agree(text):
    pvlr = load_method("pvlr")
    for rule in ("mean_log", "log_mean"):
        net = pvlr.build(replace(small_config(pvlr), distillation=rule), NAMES, text)
        x = torch.randn(2, 7, 128)
        assert net._distil(x, x * 3).item() == pytest.approx(0, abs=1e-5)
        assert net._distil(x, -x).item() > 5
    half = net._distil(torch.eye(128)[None, :2], torch.eye(128)[None, 2:4])
    assert half.item() == pytest.approx(math.log(2), abs=1e-5)


def test_pvlr_orthogonality(text):
    pvlr = load_method("pvlr")
    net = pvlr.build(small_config(pvlr), NAMES, text)
    assert net._orthogonality(torch.eye(4, 128) * 5).item() == pytest.approx(0, abs=1e-6)
    same = torch.ones(3, 128)
    assert net._orthogonality(same).item() == pytest.approx(6, abs=1e-4)
    plain = pvlr.build(replace(small_config(pvlr), ortho_squared=False), NAMES, text)
    assert plain._orthogonality(same).item() == pytest.approx(math.sqrt(6), abs=1e-4)


def test_pvlr_bad_config_is_named(text):
    pvlr = load_method("pvlr")
    with pytest.raises(UsageError, match="samples is -1"):
        pvlr.Config(samples=-1)
    with pytest.raises(UsageError, match="joint is 64"):
        pvlr.build(pvlr.Config(rgb=8, flow=8, joint=64), NAMES, text)
    with pytest.raises(UsageError, match="without a text tower"):
        pvlr.build(small_config(pvlr), NAMES, None).loss(a_batch(pvlr), 0)


# -- distances, mining, pooling: against definitions --------------------------------------------


def test_gaussian_distances_equal_the_matrix_formulas(rng):
    """KL of multivariate normals with full matrices (PVLR Eq. 16), Bhattacharyya and Mahalanobis."""
    mp, mq = rng.normal(size=(2, 5))
    vp, vq = rng.uniform(0.1, 2, (2, 5))

    def kl(ma, va, mb, vb):
        a, b = np.diag(va), np.diag(vb)
        gap, inverse = mb - ma, np.linalg.inv(np.diag(vb))
        logs = np.log(np.linalg.det(b) / np.linalg.det(a))
        return 0.5 * (np.trace(inverse @ a) + gap @ inverse @ gap + logs - len(ma))

    middle = np.diag((vp + vq) / 2)
    maha = (mp - mq) @ np.linalg.inv(middle) @ (mp - mq)
    ratio = np.linalg.det(middle) / np.sqrt(np.prod(vp) * np.prod(vq))
    wanted = {
        "kl": (kl(mp, vp, mq, vq) + kl(mq, vq, mp, vp)) / 2,
        "bhattacharyya": maha / 8 + 0.5 * np.log(ratio),
        "mahalanobis": maha,
    }
    args = [torch.tensor(x)[None] for x in (mp, vp, mq, vq)]
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
    _, raw = gaussian.mixture(mean * 10, var, weight * 3, False)
    assert (raw >= gaussian.FLOOR).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 9))
def test_dilate_and_erode_equal_the_definitions(bits, radius):
    b = torch.tensor([[float(x) for x in bits]])
    left, right = (radius - 1) // 2, radius // 2

    def window(i):
        return [bits[j] if 0 <= j < len(bits) else False for j in range(i - left, i + right + 1)]

    assert mining.dilate(b, radius)[0].tolist() == [float(any(window(i))) for i in range(len(bits))]
    assert mining.erode(b, radius)[0].tolist() == [float(all(window(i))) for i in range(len(bits))]


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


# -- prompts -----------------------------------------------------------------------------------


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


# -- sampling and batches ----------------------------------------------------------------------


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


def a_set(count=8, labels=("run", "jump", "sit down")):
    rng = np.random.default_rng(0)
    videos, features = [], {}
    for i in range(count):
        name = f"v{i}"
        label = labels[i % len(labels)]
        videos.append(AnnotatedVideo(name, "train", 20.0, (Segment(1.0, 3.0, label, 1.0),)))
        streams = {
            s: rng.normal(size=(30 + i, w)).astype(np.float32) for s, w in (("rgb", 8), ("flow", 8), ("clip", 128))
        }
        features[name] = Features(streams, Timeline(0, 1, 1), 30.0 + i)
    return videos, features


def sampler(count=8, **changes):
    videos, features = a_set(count)
    options = {"length": 16, "size": 6, "pairs": 2} | changes
    return BatchSampler(videos, features, NAMES, ("rgb", "flow", "clip"), **options)


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


# -- loop and checkpoints ----------------------------------------------------------------------

OPTIONS = TrainOptions(steps=6, batch=6, pairs=2, length=16, learning_rate=1e-3, save_every=3)
PROVENANCE = {"data": "test", "contract": {"encoders": {}}}


def run_fit(folder, text, options=OPTIONS, config=None, resume=False, batches=None, report=None):
    pvlr = load_method("pvlr")
    return fit(
        pvlr, config or small_config(pvlr), NAMES, text, batches or sampler(), options, folder,
        provenance=PROVENANCE, resume=resume, report=report,
    )  # fmt: skip


def weights(folder):
    return checkpoint._read(folder / "weights.safetensors")


def test_the_same_seed_trains_the_same_network(tmp_path, text):
    run_fit(tmp_path / "a", text)
    run_fit(tmp_path / "b", text)
    run_fit(tmp_path / "c", text, replace(OPTIONS, seed=1))
    a, b, c = (weights(tmp_path / k) for k in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_resume_continues_bit_for_bit(tmp_path, text):
    run_fit(tmp_path / "whole", text)
    run_fit(tmp_path / "part", text, replace(OPTIONS, steps=3))
    run_fit(tmp_path / "part", text, resume=True)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[k], part[k]) for k in whole)


def test_interrupting_saves_a_checkpoint_that_resumes(tmp_path, text):
    def stop(step, steps, terms):
        if step == 4:
            import signal

            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "part", text, report=stop)
    assert checkpoint.load(tmp_path / "part").step == 4
    run_fit(tmp_path / "part", text, resume=True)
    run_fit(tmp_path / "whole", text)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[k], part[k]) for k in whole)


def test_a_loss_that_is_not_finite_stops_and_is_named(tmp_path, text):
    pvlr = load_method("pvlr")
    config = small_config(pvlr, kd_weight=float("inf"))
    with pytest.raises(TrainingError, match="loss term 'kd' is not finite at step 0"):
        run_fit(tmp_path / "x", text, config=config)
    assert checkpoint.load(tmp_path / "x").step == 0


def test_resume_refuses_another_run(tmp_path, text):
    run_fit(tmp_path / "a", text)
    pvlr = load_method("pvlr")
    with pytest.raises(CheckpointError, match="its config is"):
        run_fit(tmp_path / "a", text, config=small_config(pvlr, kd_weight=1.0), resume=True)
    with pytest.raises(CheckpointError, match="its seed is 0, this run has 7"):
        run_fit(tmp_path / "a", text, replace(OPTIONS, seed=7), resume=True)
    with pytest.raises(CheckpointError, match=r"no checkpoint\.json"):
        run_fit(tmp_path / "none", text, resume=True)


def test_checkpoint_round_trip_and_export_need_no_text_tower(tmp_path, text):
    net = run_fit(tmp_path / "a", text)
    found = checkpoint.load(tmp_path / "a")
    assert (found.step, found.method.name, found.vocabulary, found.train) == (6, "pvlr", NAMES, OPTIONS)
    again = found.network()
    x = [torch.randn(1, 9, WIDTH) for _ in range(2)]
    for a, b in zip(found.method.freeze(net)(*x), found.method.freeze(again)(*x), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda f: (f / "checkpoint.json").unlink(), "half written"),
        (lambda f: (f / "checkpoint.json").write_text("{"), "damaged"),
        (lambda f: (f / "weights.safetensors").unlink(), "missing or not the file"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"x"), "missing or not the file"),
        (lambda f: edit(f, "format", 99), "format 99"),
        (lambda f: edit(f, "method", "magic"), "unknown method 'magic'"),
        (lambda f: edit(f, "config", {"nonsense": 1}), "unknown field 'nonsense'"),
    ],
)
def test_hurt_checkpoints_are_named(tmp_path, text, hurt, words):
    run_fit(tmp_path / "a", text, replace(OPTIONS, steps=1))
    hurt(tmp_path / "a")
    with pytest.raises(CheckpointError, match=words):
        checkpoint.load(tmp_path / "a")


def edit(folder, field, value):
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text())
    document[field] = value
    path.write_text(json.dumps(document))


def test_train_options_name_value_and_range():
    with pytest.raises(UsageError, match="steps is 0"):
        TrainOptions(steps=0)
    with pytest.raises(UsageError, match="pairs is 9"):
        TrainOptions(pairs=9)
    with pytest.raises(UsageError, match="learning_rate is -1"):
        TrainOptions(learning_rate=-1)


# -- export ------------------------------------------------------------------------------------


def fake_encoders(text, sha="a" * 64):
    graph = Graph(member="encoder.onnx", inputs=[], outputs=[])
    specs = {
        s: Encoder(name=f"fake-{s}", stream=s, reads="frames", dim=WIDTH, weights_sha256=sha, graph=graph)
        for s in ("rgb", "flow")
    }
    return EncoderSet(SnippetOptions(), specs, {}, text)


def trained(folder, text, sha="a" * 64):
    pvlr = load_method("pvlr")
    made = {s: {"weights_sha256": sha} for s in ("rgb", "flow")}
    return fit(
        pvlr, small_config(pvlr), NAMES, text, sampler(), replace(OPTIONS, steps=1), folder,
        provenance={"contract": {"encoders": made}},
    )  # fmt: skip


def test_export_makes_a_plan_that_localizes_features(tmp_path, text):
    from tal_engine import TALEngine

    trained(tmp_path / "c", text)
    found = checkpoint.load(tmp_path / "c")
    plan = bundle.export(found, fake_encoders(text), tmp_path / "p.plan", name="p", embed=False)
    engine = TALEngine.load(tmp_path / "p.plan", "cpu")
    assert engine.plan.manifest.method.config == json.loads(json.dumps(asdict(found.config)))
    assert plan.manifest.provenance["step"] == 1
    assert set(plan.files) == {"head.onnx"}
    features = {s: np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32) for s in ("rgb", "flow")}
    assert len(engine.localize(features)) > 0


def test_export_refuses_other_encoders(tmp_path, text):
    trained(tmp_path / "c", text)
    with pytest.raises(ExportError, match="trained on encoder weights aaaaaaaaaaaa, fake-rgb has bbbbbbbbbbbb"):
        bundle.export(checkpoint.load(tmp_path / "c"), fake_encoders(text, "b" * 64), tmp_path / "p.plan", name="p")
    assert not (tmp_path / "p.plan").exists()


def test_the_gate_refuses_a_graph_that_differs(tmp_path, text, monkeypatch):
    """The graph is traced from weights that are then changed by a hair."""
    trained(tmp_path / "c", text)
    found = checkpoint.load(tmp_path / "c")

    def sabotage(module, *args):
        content = to_onnx(module, *args)
        module.mean.weight.data *= 1.01
        module.text.data += 0.01
        return content

    monkeypatch.setattr(bundle, "to_onnx", sabotage)
    with pytest.raises(ParityError, match=r"head\.onnx: differs from the network by") as e:
        bundle.export(found, fake_encoders(text), tmp_path / "p.plan", name="p", embed=False)
    assert e.value.exit_code == 3
    assert not (tmp_path / "p.plan").exists()


def test_the_gate_compares_segments(text):
    pvlr = load_method("pvlr")
    torch.manual_seed(0)
    frozen = pvlr.freeze(pvlr.build(small_config(pvlr), NAMES, text).eval())
    example = {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}

    class Shifted(nn.Module):
        """Tensors within tolerance of zero, segments elsewhere: many activations near a threshold."""

        def forward(self, rgb, flow):
            cas, attention = frozen(rgb, flow)
            return cas * 0, attention * 0 + 0.1 + (torch.arange(rgb.shape[1]) % 2) * 4e-5

    class Other(Shifted):
        def forward(self, rgb, flow):
            cas, attention = super().forward(rgb, flow)
            return cas, attention - 3e-5

    content, graph = to_onnx(Other(), example, ["cas", "attention"], {0: "B", 1: "T"}, "head.onnx")
    with pytest.raises(ParityError, match="segments differ"):
        parity.check_head(Shifted(), content, graph, ProposalOptions(), NmsOptions(), Timeline(0, 1, 1))


@pytest.mark.parametrize("net", [TinyRGB, TinyFlow, TinyImage])
def test_tiny_encoders_export(net):
    torch.manual_seed(0)
    net = net().eval()
    shape = (2, 16, 112, 112, 3 if net.reads == "frames" else 2)
    example = torch.zeros(shape, dtype=torch.uint8 if net.reads == "frames" else torch.float32)
    content, graph = to_onnx(net, {net.reads: example}, ["feature"], {0: "B"}, "e.onnx")
    assert parity.check_encoder(net, content, graph)["tensor"] < 1e-5
    assert graph.inputs[0].shape == ["B", *shape[1:]]
    assert graph.outputs[0].shape == ["B", 128]
    net.eval().trunk.layers[0][0].weight.data *= 1.1
    with pytest.raises(ParityError, match=r"e\.onnx"):
        parity.check_encoder(net, content, graph)


def test_tiny_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    encoders = TinyEncoders(["run", "jump"]).eval()
    save_tiny(tmp_path / "t.safetensors", encoders, {"seed": 0})
    again = load_tiny(tmp_path / "t.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(encoders.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert again.text.words == ("run", "jump")
    (tmp_path / "bad.safetensors").write_bytes(b"junk" * 10)
    with pytest.raises(CheckpointError, match="not a file of the tiny encoders"):
        load_tiny(tmp_path / "bad.safetensors")


# -- data sets ---------------------------------------------------------------------------------


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
