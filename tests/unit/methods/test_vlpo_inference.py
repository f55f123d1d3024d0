"""VLPO after training: labels are not read, the oracle says that it reads them, the graph does the same."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.vlpo_oracle import oracle_gap
from tal_engine.errors import UsageError
from tal_engine.export import parity
from tal_engine.export.to_onnx import to_onnx
from tal_engine.inference import activations_of, propose
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import vlpo
from tal_engine.lab.nn import preference
from tal_engine.lab.nn.temporal import top_weights
from tal_engine.lab.training import checkpoint, validation
from tal_engine.metrics import protocol
from tal_engine.timeline import Timeline
from tests.learning import NAMES, OPTIONS, WIDTH, a_batch, a_set, multi_label, numbers, run_fit, small_net
from tests.reference import vlpo as twin

RATIO = 8


@pytest.fixture
def batch():
    return multi_label(a_batch(vlpo))


def test_labels_select_in_training_only(text, batch):
    net = small_net(vlpo, text)
    other = batch.labels.roll(1, dims=1)
    s = net.scores(batch.streams)
    assert (net.select(s, batch.labels) != net.select(s, other)).any()
    before = net.activations(batch.streams)
    assert net.loss(batch, 0)["vl"] != net.loss(replace(batch, labels=other), 0)["vl"]
    after = net.activations(batch.streams)
    assert all(torch.equal(before[k], after[k]) for k in before)
    frozen = vlpo.freeze(net)(**batch.streams)
    assert all(torch.equal(before[k], frozen[k]) for k in before)
    plain = small_net(vlpo, text, dsp=False)
    assert torch.equal(plain.select(s, batch.labels), plain.select(s, other))


@pytest.mark.parametrize("passes", [0, 1, 3])
def test_classes_are_predicted(passes, text, batch):
    """By twins: top k of A + S, then Eq. 5 and 6 of the kept classes as often as asked."""
    net = small_net(vlpo, text, passes=passes, vl_scale=20.0)
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
    net = small_net(vlpo, text)
    found, s = net.activations(batch.streams), net.scores(batch.streams)
    literal = preference.hybrid(s.added, s.action, net.kept(found["video"])) / 2
    assert (literal != found["cas"]).any()
    options = replace(vlpo.proposal_options(net.config), class_threshold=net.config.class_threshold)
    for v in range(len(literal)):
        both = [
            propose(
                activations_of(
                    {"cas": numbers(c)[v:].astype(np.float32), "video": found["video"][v:].detach().numpy()},
                    Timeline(0, 1, 1), 24.0,
                ), options,
            ).data for c in (literal, found["cas"])
        ]  # fmt: skip
        assert len(both[0]) > 0
        np.testing.assert_array_equal(*both)


def test_classes_may_come_from_the_cas(text, batch):
    net = small_net(vlpo, text, class_from="cas", passes=0)
    s = net.scores(batch.streams)
    cas = (top_weights(s.sequence, RATIO) * s.cas).sum(1).softmax(-1)
    torch.testing.assert_close(net.activations(batch.streams)["video"], cas)
    nets = (small_net(vlpo, text, class_from=k, passes=0) for k in ("preference", "both"))
    one, both = (n.activations(batch.streams)["video"] for n in nets)
    torch.testing.assert_close(both, (one + cas) / 2)


def test_oracle_differs_and_says_so(text, batch, caplog):
    net = small_net(vlpo, text)
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
    net = small_net(vlpo, text)
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
    assert gate(small_net(vlpo, text, **changes)) == {"cas": ["B", "T", 3], "attention": ["B", "T"], "video": ["B", 3]}


def test_zero_shot_trains_nothing(text):
    net = small_net(vlpo, text, adaptation="zero_shot")
    assert list(net.parameters()) == []
    assert vlpo.inference_streams(net.config) == ("clip",)
    assert gate(net) == {"cas": ["B", "T", 3], "video": ["B", 3]}
    with pytest.raises(UsageError, match="zero_shot has nothing to train"):
        net.loss(a_batch(vlpo), 0)
    videos, features = a_set()
    found = validation.activations(vlpo, net, net.config, validation.Videos(videos, features, None))
    assert found.video.shape == (len(videos), len(NAMES))
    with pytest.raises(UsageError, match="vlpo: nothing to train with this config; steps=0 writes it as it is"):
        run_fit(None, text, method="vlpo", config=net.config)


def test_zero_shot_has_a_checkpoint(text, tmp_path):
    """Of no step; it resumes, and what it gives is what the built network gives."""
    net = small_net(vlpo, text, adaptation="zero_shot")
    for resume in (False, True):
        state = run_fit(
            tmp_path, text, replace(OPTIONS, steps=0), method="vlpo", config=net.config, batches=object(), resume=resume
        )
        assert state.step == 0
    loaded, streams = checkpoint.load(tmp_path).network(), a_batch(vlpo).streams
    wanted, found = (vlpo.freeze(n)(clip=streams["clip"]) for n in (net, loaded))
    assert all(torch.equal(wanted[k], found[k]) for k in wanted)


def a_test_set(count=6):
    """Videos with their truth, features that say it, and the rules."""
    videos, features = a_set(count)
    return validation.Videos(videos, features, protocol("wtal-seconds"))


@pytest.mark.parametrize("dsp", [True, False])
def test_gap_of_the_oracle(dsp, text, caplog):
    """Without DSP labels are not read; with it "oracle" is what labels give, video by video."""
    data, net = a_test_set(), small_net(vlpo, text, dsp=dsp, vl_scale=20.0)
    with caplog.at_level(logging.WARNING, "tal_engine"):
        gap = oracle_gap(net, NAMES, data)
    assert caplog.text.count(vlpo.USES_TEST_LABELS) == 1
    assert gap["oracle"].pop("note") == vlpo.USES_TEST_LABELS
    plain = validation.scores(vlpo, net, net.config, NAMES, data)["averages"]["0.1:0.7"]
    assert gap["predicted"]["map_10_70"] == pytest.approx(100 * plain, abs=0.01)
    for kind in gap:
        right = []
        for v in data.videos:
            x = {s: torch.from_numpy(f)[None] for s, f in data.features[v.name].streams.items()}
            y = torch.tensor([[float(n in v.labels) for n in NAMES]])
            kept = net.kept(net.activations(x, labels=y if kind == "oracle" else None)["video"])
            right.append(bool((kept == y).all()))
        assert gap[kind]["exact_match"] == pytest.approx(100 * np.mean(right), abs=0.01)
    if not dsp:
        assert gap["oracle"] == pytest.approx(gap["predicted"], abs=1)
    with pytest.raises(UsageError, match="test_sampling is 'uniform', must be 'full'"):
        oracle_gap(net, NAMES, replace(data, sampling="uniform"))


def test_checkpoint_needs_no_text_tower(text, tmp_path):
    net = run_fit(tmp_path, text, replace(OPTIONS, steps=2), method="vlpo").net.eval()
    loaded = checkpoint.load(tmp_path).network()
    batch = a_batch(vlpo)
    for k, v in vlpo.freeze(net)(**batch.streams).items():
        torch.testing.assert_close(vlpo.freeze(loaded)(**batch.streams)[k], v)
    with pytest.raises(UsageError, match="without a text tower"):
        loaded.loss(batch, 0)
