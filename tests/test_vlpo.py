"""VLPO: its losses and pseudo-labels against plain twins, its use of labels, its variants."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine.errors import UsageError
from tal_engine.export import parity
from tal_engine.export.to_onnx import to_onnx
from tal_engine.heads.interface import Batch
from tal_engine.methods import vlpo
from tal_engine.nn import preference
from tal_engine.nn.actionness import gce, largest, mean_where
from tal_engine.nn.losses import video_ce
from tal_engine.timeline import Timeline
from tal_engine.train import checkpoint
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, OPTIONS, WIDTH, a_batch, run_fit, small_config
from tests.reference import vlpo as twin

RATIO = 8


def network(text, **changes):
    torch.manual_seed(0)
    return vlpo.build(small_config(vlpo, **changes), NAMES, text).eval()


def numbers(x):
    return x.detach().double().numpy()


def multi_label(batch):
    """Some videos with two classes."""
    labels = batch.labels.clone()
    labels[0, 1] = labels[3, 2] = 1
    return replace(batch, labels=labels)


@pytest.fixture
def batch():
    return multi_label(a_batch(vlpo))


# -- parts ----------------------------------------------------------------------------------------


def test_published_widths_have_9_847_million_parameters():
    """Table 12 says 9.84 M, and 6.30 M for the base, AICL."""
    twenty = Vocabulary([str(i) for i in range(20)])
    with torch.device("meta"):
        net = vlpo.VLPO(vlpo.Config(), twenty, None)
        base = vlpo.VLPO(vlpo.Config(**vlpo.RECIPES["baseline"].config), twenty, None)
    assert sum(p.numel() for p in net.parameters()) == 9_846_807
    assert sum(p.numel() for p in base.parameters()) == 6_304_278


@pytest.mark.parametrize("length", [1, 2, 17, 160])
def test_largest_is_the_top_k_of_each_class(length, rng):
    x = torch.from_numpy(rng.integers(0, 9, (2, length, 3)).astype(np.float32))  # many ties
    padded = torch.cat([x, torch.full((2, 5, 3), 99.0)], 1)
    mask = torch.cat([torch.ones(2, length), torch.zeros(2, 5)], 1)
    for chosen in (largest(x, RATIO), largest(padded, RATIO, mask)[:, :length]):
        for b in range(2):
            for c in range(3):
                wanted = twin.top_indices(x[b, :, c].tolist(), RATIO)
                assert set(np.flatnonzero(chosen[b, :, c])) == wanted
    assert not largest(padded, RATIO, mask)[:, length:].any()


def test_actionness_loss(rng):
    scores = torch.from_numpy(rng.uniform(0.01, 0.99, (3, 11)))
    positive = torch.from_numpy(rng.random((3, 11)) > 0.5)
    positive[1], positive[2] = True, False
    for q in (0.2, 0.6, 1.0):
        wanted = np.mean([
            twin.actionness_loss(s.tolist(), set(np.flatnonzero(p)), q) for s, p in zip(scores, positive, strict=True)
        ])  # fmt: skip
        assert gce(scores, positive, q).item() == pytest.approx(wanted, abs=1e-6)
        assert gce(scores.float(), positive, q, torch.ones(3, 11)).item() == pytest.approx(wanted, abs=1e-5)


def test_actionness_loss_has_a_gradient_at_the_ends():
    scores = torch.tensor([[0.0, 1.0, 0.0, 1.0]], requires_grad=True)
    gce(scores, torch.tensor([[True, True, False, False]]), 0.6).backward()
    assert torch.isfinite(scores.grad).all()


def test_preferences_and_their_agreement(text, batch):
    net = network(text).double()
    video = batch.streams["clip"].double()
    to_text, to_video = net.similarities(video)
    project = [
        (lambda x, f=f: numbers(f.weight) @ x + numbers(f.bias)) for f in (net.adapter.video, net.adapter.text)
    ]  # fmt: skip
    wanted = [twin.preferences(numbers(v), numbers(net.text), *project) for v in video]
    np.testing.assert_allclose(numbers(to_text), [w[0] for w in wanted], atol=1e-9)
    np.testing.assert_allclose(numbers(to_video), [w[1] for w in wanted], atol=1e-9)
    agreement = net._agreement(to_text, to_video, None).item()
    assert agreement == pytest.approx(np.mean([twin.kl_loss(*w, 1.0) for w in wanted]), rel=1e-6)
    per_snippet = replace(net.config, kl_reduction="snippets")
    net.config = per_snippet
    assert net._agreement(to_text, to_video, None).item() == pytest.approx(agreement * len(NAMES), rel=1e-6)
    assert net._agreement(to_text, to_text, None).item() == pytest.approx(0, abs=1e-9)


def test_text_is_the_prompt_of_each_class(text):
    net = network(text)
    torch.testing.assert_close(net.text, text([f"a video of action {n}" for n in NAMES]))
    assert not net.text.requires_grad
    camel = vlpo.build(small_config(vlpo), Vocabulary(["CleanAndJerk"]), text)
    torch.testing.assert_close(camel.text, text(["a video of action Clean And Jerk"]))


@pytest.mark.parametrize(
    "changes",
    [{}, {"hybrid_cas": "logits", "hybrid_action": "sum", "mil_pooling": "cas", "gce_on": "mean", "vl_scale": 1.0}],
)
def test_every_term_is_its_equation(changes, text, batch):
    net = network(text, topk_ratio=5, **changes)
    c = net.config
    terms = net.loss(batch, 0)
    s = net.scores(batch.streams)
    to_text, to_video = (numbers(m) for m in net.similarities(batch.streams["clip"]))
    x = {k: numbers(getattr(s, k)) for k in ("cas", "action", "added")}
    wanted = {k: [] for k in terms}
    for v, y in enumerate(batch.labels.numpy()):
        cas, action, m = x["cas"][v], x["action"][v], (to_text[v] + to_video[v]) / 2
        added = cas if changes else np.array([twin.softmax(r) for r in cas])
        np.testing.assert_allclose(x["added"][v], added, atol=1e-6)
        plain = cas if changes else added + action[:, None]
        wanted["mil"].append(twin.video_loss(twin.selected_mean(cas, plain, 5), y))
        means = np.array(twin.selected_mean(m, twin.hybrid(added, action, y), 5))
        wanted["vl"].append(c.vl_weight * twin.video_loss(c.vl_scale * means, y))
        wanted["kl"].append(c.kl_weight * twin.kl_loss(to_text[v], to_video[v], 1.0))
        preferred = twin.normalised(m)
        wanted["snip"].append(c.snip_weight * twin.snippet_loss(cas, twin.snippet_labels(preferred, y, c.high)))
        positives = twin.refined_positives(action.tolist(), preferred, y, 5, c.low, c.high)
        wanted["act"].append(sum(twin.actionness_loss(numbers(p[v]).tolist(), positives, c.q) for p in s.parts))
    assert len(s.parts) == (2 if changes else 3)
    for k, value in terms.items():
        assert value.item() == pytest.approx(np.mean(wanted[k]), rel=1e-4, abs=1e-6), k


def test_half_precision_keeps_the_terms(text, batch):
    net = network(text)
    wanted = net.loss(batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        found = net.loss(batch, 0)
    for k, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(wanted[k].item(), rel=0.05), k
    assert found["kl"] == wanted["kl"]


def test_score_bounds(text, batch):
    for changes, top in (({}, 1), ({"hybrid_action": "sum"}, 2)):
        net = network(text, **changes)
        s, out = net.scores(batch.streams), net.activations(batch.streams)
        rgb, flow, clip = s.parts
        torch.testing.assert_close(s.action, ((rgb + flow) / 2 + clip) * top / 2)
        for k in ("cas", "attention"):
            assert 0 <= out[k].min() <= out[k].max() <= 1


def test_positives_without_refinement(text, batch):
    """Eq. 9 as printed, and AICL's: the top k of A + S of a video's classes."""
    for rule in ("action", "combined"):
        net = network(text, apr=False, positives=rule)
        s = net.scores(batch.streams)
        assert len(s.parts) == 2
        found = net.positives(s, torch.zeros_like(s.cas), batch.labels)
        for v, y in enumerate(batch.labels.numpy()):
            if rule == "action":
                wanted = twin.top_indices(s.action[v].tolist(), RATIO)
            else:
                own = np.flatnonzero(y)
                wanted = set().union(*(twin.top_indices(s.sequence[v, :, c].tolist(), RATIO) for c in own))
            assert set(np.flatnonzero(found[v])) == wanted


def test_pseudo_labels_are_labels(text, batch):
    """Nothing is trained through them: L_kl and L_vl alone move the projections."""
    net = network(text).train()
    terms = net.loss(batch, 0)
    (terms["act"] + terms["snip"] + terms["mil"]).backward()
    assert all(p.grad is None or not p.grad.abs().sum() for p in net.adapter.parameters())


def test_a_video_without_preference_has_background_only():
    flat = preference.over_time(torch.full((1, 7, 3), 0.3))
    y = torch.tensor([[1.0, 0, 0]])
    assert flat.abs().max() == 0
    assert (preference.snippet_labels(flat, y, 0.9) == 1 / 3).all()
    assert not preference.refined(torch.ones(1, 7) > 0, preference.of_classes(flat, y), 0.25, 0.9).any()


# -- labels and inference -------------------------------------------------------------------------


def test_labels_select_in_training_only(text, batch):
    net = network(text)
    other = batch.labels.roll(1, dims=1)
    s = net.scores(batch.streams)
    assert (net.select(s, batch.labels) != net.select(s, other)).any()
    before = net.activations(batch.streams)
    assert net.loss(batch, 0)["vl"] != net.loss(replace(batch, labels=other), 0)["vl"]
    after = net.activations(batch.streams)
    assert all(torch.equal(before[k], after[k]) for k in before)
    frozen = vlpo.freeze(net)(**batch.streams)
    assert all(torch.equal(before[k], frozen[k]) for k in before)
    plain = network(text, dsp=False)
    assert torch.equal(plain.select(s, batch.labels), plain.select(s, other))


@pytest.mark.parametrize("passes", [0, 1, 3])
def test_classes_are_predicted(passes, text, batch):
    """By twins: top k of A + S, then Eq. 5 and 6 of the kept classes as often as asked."""
    net = network(text, passes=passes, vl_scale=20.0)
    found = net.activations(batch.streams)
    s = net.scores(batch.streams)
    m = numbers(torch.stack(net.similarities(batch.streams["clip"])).mean(0))
    for v in range(len(m)):
        added, action = numbers(s.added[v]), numbers(s.action[v])

        def video(sequence, v=v):
            return np.array(twin.softmax(20.0 * np.array(twin.selected_mean(m[v], sequence, RATIO))))

        p = video(added + action[:, None])
        for _ in range(passes):
            kept = (p >= net.config.class_threshold) | (p == p.max())
            p = video(twin.hybrid(added, action, kept))
        np.testing.assert_allclose(numbers(found["video"][v]), p, rtol=2e-4)
        np.testing.assert_allclose(numbers(found["cas"][v]), (added + action[:, None]) / 2, atol=1e-6)


def test_columns_of_other_classes_change_no_segment(text, batch):
    """Eq. 5 with the predicted classes, literally, gives the proposals that A + S in every column gives."""
    net = network(text)
    found, s = net.activations(batch.streams), net.scores(batch.streams)
    literal = preference.hybrid(s.added, s.action, net.kept(found["video"])) / 2
    assert (literal != found["cas"]).any()
    options = replace(vlpo.proposal_options(net.config), class_threshold=net.config.class_threshold)
    for v in range(len(literal)):
        both = [
            parity.propose(
                parity.activations_of(
                    {"cas": numbers(c)[v:].astype(np.float32), "video": found["video"][v:].detach().numpy()},
                    Timeline(0, 1, 1), 24.0,
                ), options,
            ).data for c in (literal, found["cas"])
        ]  # fmt: skip
        assert len(both[0]) > 0
        np.testing.assert_array_equal(*both)


def test_classes_may_come_from_the_cas(text, batch):
    net = network(text, class_from="cas", passes=0)
    s = net.scores(batch.streams)
    cas = mean_where(s.cas, largest(s.sequence, RATIO)).softmax(-1)
    torch.testing.assert_close(net.activations(batch.streams)["video"], cas)
    one, both = (
        network(text, class_from=k, passes=0).activations(batch.streams)["video"] for k in ("preference", "both")
    )
    torch.testing.assert_close(both, (one + cas) / 2)


def test_oracle_differs_and_says_so(text, batch, caplog):
    net = network(text)
    with caplog.at_level(logging.WARNING, "tal_engine"):
        found = vlpo.oracle(net, batch.streams, batch.labels)
    assert vlpo.USES_TEST_LABELS in caplog.text
    assert vlpo.USES_TEST_LABELS in str(found)
    assert vlpo.USES_TEST_LABELS in repr(found)
    assert found.note == "uses test labels"
    plain = net.activations(batch.streams)
    assert (found.activations["video"] != plain["video"]).any()
    assert (found.activations["cas"] != plain["cas"]).any()
    wrong = vlpo.oracle(net, batch.streams, batch.labels.roll(1, dims=1))
    assert (wrong.activations["video"] != found.activations["video"]).any()
    assert 0 <= found.exact_match_predicted <= 1


def test_padding_has_no_effect(text):
    net = network(text)
    g = torch.Generator().manual_seed(3)
    streams = {s: torch.randn(2, 19, w, generator=g) for s, w in (("rgb", WIDTH), ("flow", WIDTH), ("clip", 128))}
    mask = torch.cat([torch.ones(2, 19), torch.zeros(2, 6)], 1)
    padded = {s: torch.cat([x, torch.randn(2, 6, x.shape[2], generator=g) * 9], 1) for s, x in streams.items()}
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    for norm in ("cosine", "softmax", "minmax"):
        net.config = replace(net.config, norm=norm)
        wanted, found = net.activations(streams), net.activations(padded, mask)
        for k in ("cas", "attention"):
            torch.testing.assert_close(wanted[k], found[k][:, :19], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(wanted["video"], found["video"], rtol=1e-4, atol=1e-5)
        a, b = net.loss(Batch(streams, labels), 0), net.loss(Batch(padded, labels, mask=mask), 0)
        for k in a:
            torch.testing.assert_close(a[k], b[k], rtol=1e-4, atol=1e-6)


# -- variants, export, configs --------------------------------------------------------------------

ALL = {"mil", "act", "kl", "vl", "snip"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"adaptation": "clip_adapter"}, ALL - {"kl"}),
        ({"adaptation": "training_free"}, ALL - {"kl", "vl"}),
        ({"dsp": False}, ALL),
        ({"ppg": False}, ALL - {"snip"}),
        ({"apr": False}, ALL),
        ({"kl_weight": 0.0}, ALL - {"kl"}),
        ({"norm": "softmax", "vl_scale": 1.0}, ALL),
        ({"norm": "minmax", "vl_scale": 1.0}, ALL),
        ({"hybrid_cas": "logits", "hybrid_action": "sum"}, ALL),
        ({"positives": "combined", "gce_on": "mean", "mil_pooling": "cas"}, ALL),
        (vlpo.RECIPES["activitynet"].config, ALL),
        (vlpo.RECIPES["baseline"].config, {"mil", "act"}),
    ],
)
def test_variants_train(changes, wanted, text):
    torch.manual_seed(0)
    net = vlpo.build(small_config(vlpo, **changes), NAMES, text).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    batch, totals = multi_label(a_batch(vlpo)), []
    for step in range(20):
        terms = net.loss(batch, step)
        assert set(terms) == wanted
        total = sum(terms.values())
        assert torch.isfinite(total)
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-3:]) < 0.95 * np.mean(totals[:3])


def gate(net):
    config = net.config
    example = {s: torch.randn(1, 9, 128 if s == "clip" else WIDTH) for s in vlpo.inference_streams(config)}
    content, graph = to_onnx(vlpo.freeze(net), example, {0: "B", 1: "T"}, "head.onnx")
    options = vlpo.proposal_options(config), vlpo.nms_options(config), Timeline(0, 1, 1)
    found = parity.check_head(vlpo.freeze(net), content, graph, *options)
    assert found["segments"] > 20
    return {t.name: t.shape for t in graph.outputs}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adaptation": "clip_adapter", "norm": "minmax", "hybrid_cas": "logits", "hybrid_action": "sum"},
        {"norm": "softmax", "class_from": "both", "passes": 2},
        vlpo.RECIPES["baseline"].config,
    ],
    ids=str,
)
def test_gate(changes, text):
    assert gate(network(text, **changes)) == {"cas": ["B", "T", 3], "attention": ["B", "T"], "video": ["B", 3]}


def test_zero_shot_trains_nothing(text):
    net = network(text, adaptation="zero_shot")
    assert list(net.parameters()) == []
    assert vlpo.inference_streams(net.config) == ("clip",)
    assert gate(net) == {"cas": ["B", "T", 3], "video": ["B", 3]}
    with pytest.raises(UsageError, match="zero_shot has nothing to train"):
        net.loss(a_batch(vlpo), 0)
    with pytest.raises(UsageError, match="vlpo: nothing to train"):
        run_fit(None, text, method="vlpo", config=net.config)


def test_checkpoint_needs_no_text_tower(text, tmp_path):
    net = run_fit(tmp_path, text, replace(OPTIONS, steps=2), method="vlpo").net.eval()
    loaded = checkpoint.load(tmp_path).network()
    batch = a_batch(vlpo)
    for k, v in vlpo.freeze(net)(**batch.streams).items():
        torch.testing.assert_close(vlpo.freeze(loaded)(**batch.streams)[k], v)
    with pytest.raises(UsageError, match="without a text tower"):
        loaded.loss(batch, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adaptation": "lora"}, "adaptation is 'lora', must be one of cm_afa, clip_adapter, training_free, zero_shot"),
        ({"norm": "l1"}, "norm is 'l1'"),
        ({"class_from": "labels"}, "class_from is 'labels'"),
        ({"prompt": "a video"}, r"prompt is 'a video', must be a text with \[CLS\]"),
        ({"q": 0.0}, r"q is 0.0, must be in \(0, 1\]"),
        ({"low": 0.95}, r"low is 0.95, must be in \[0, high\]"),
        ({"topk_ratio": 0}, "topk_ratio is 0"),
        ({"passes": -1}, "passes is -1"),
        ({"vl_weight": -1.0}, "vl_weight is -1.0"),
        ({"kl_weight": 0.0, "vl_weight": 0.0}, "no loss trains it: use 'training_free'"),
        ({"adaptation": "clip_adapter", "vl_weight": 0.0}, "no loss trains it"),
    ],
)
def test_bad_config_is_named(changes, message):
    with pytest.raises(UsageError, match=message):
        vlpo.Config(**changes)


def test_width_of_the_text_tower_is_checked(text):
    with pytest.raises(UsageError, match="gives 128 dimensions, joint is 768"):
        vlpo.build(vlpo.Config(rgb=8, flow=8), NAMES, text)


def test_video_loss():
    logits, labels = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    assert video_ce(logits, labels).item() == pytest.approx(twin.video_loss([1.0, 2.0, -1.0], [1, 0, 1]), rel=1e-5)
