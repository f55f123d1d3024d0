"""APN: what it learns from, what it remembers, and what inference gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tal_engine import ops
from tal_engine.annotations.points import draw_points
from tal_engine.errors import UsageError
from tal_engine.export import parity
from tal_engine.export.bundle import evaluator_to_onnx
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method
from tal_engine.lab.methods.apn.boundary import balanced_bce, targets
from tal_engine.lab.methods.apn.contrast import contrast
from tal_engine.lab.methods.apn.evaluation import candidates, drawn, interpolated, pem_loss
from tal_engine.lab.methods.apn.pseudo_labels import Memory, Pseudo, comparable, grow
from tal_engine.lab.training import checkpoint
from tal_engine.timeline import Timeline
from tests.learning import NAMES, OPTIONS, WIDTH, a_batch, a_set, run_fit, slope, small_config, small_net, weights
from tests.reference import apn as slow

APN = load_method("apn")


def pseudo(*rows, count=3):
    """Of (start, point, end, class ids)."""
    classes = np.zeros((len(rows), count), np.float32)
    for i, (*_, ids) in enumerate(rows):
        classes[i, list(ids)] = 1
    start, point, end = np.array([r[:3] for r in rows]).T
    return Pseudo(point, classes, start, end)


TWO = pseudo((3, 5, 9, [0]), (12, 13, 20, [0, 2]), (26, 26, 27, [1]))


def sampler(count=8, sampling="full", **changes):
    videos, features = a_set(count)
    options = {"length": 16, "size": 6, "pairs": 0, "sampling": sampling, "points": draw_points(videos, "uniform")}
    return BatchSampler(videos, features, NAMES, ("rgb", "flow"), **options | changes)


# -- what is learned ---------------------------------------------------------------------------


def test_boundary_targets_are_intersections_over_places():
    found = targets(TWO.start, TWO.end, 30, 3.0, 0.1)
    np.testing.assert_allclose(found, slow.boundary_targets(TWO.start, TWO.end, 30, 3.0, 0.1), atol=1e-6)
    assert np.flatnonzero(found[0] == 1).tolist() == [2, 3, 4, 11, 12, 13, 25, 26, 27]
    wide = targets(np.array([20]), np.array([70]), 100, 3.0, 0.1)
    assert np.flatnonzero(wide[0] > 0.5).tolist() == [18, 19, 20, 21, 22]
    assert not targets(np.array([], int), np.array([], int), 5, 3.0, 0.1).any()


def test_balanced_bce_is_bmns(rng):
    logits, target = torch.from_numpy(rng.normal(size=(2, 40))), torch.from_numpy(rng.uniform(size=(2, 40)))
    mask = torch.ones(2, 40)
    wanted = slow.bmn_bce(torch.sigmoid(logits).flatten().tolist(), target.flatten().tolist())
    assert balanced_bce(logits, target, mask).item() == pytest.approx(wanted, rel=1e-6)
    mask[1] = 0
    wanted = slow.bmn_bce(torch.sigmoid(logits[0]).tolist(), target[0].tolist())
    assert balanced_bce(logits, target, mask).item() == pytest.approx(wanted, rel=1e-6)
    assert balanced_bce(logits, target, mask * 0).item() == 0


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_contrast_is_eq_1(rng, similarity):
    x = torch.from_numpy(rng.uniform(size=(30, 6)))
    background = list(zip(*TWO.background(30), strict=True))
    assert [tuple(map(int, b)) for b in background] == [(0, 3), (9, 12), (20, 26), (27, 30)]

    def twin(features):
        return slow.contrast(features, [{0}, {0, 2}, {1}], TWO.start, TWO.end, background, 0.1, similarity)

    wanted = twin(x.numpy())
    np.testing.assert_allclose(contrast(x, TWO, 0.1, similarity).numpy(), wanted, rtol=1e-6)
    assert len(wanted) == 4, "only classes with two instances"
    x.requires_grad_(True)
    contrast(x, TWO, 0.1, similarity).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slope(lambda v: sum(twin(v)), x.detach().numpy()), rtol=1e-4, atol=1e-6)
    assert len(contrast(x, pseudo((3, 5, 9, [0]), (12, 13, 20, [1])), 0.1)) == 0
    assert len(contrast(x, pseudo((0, 5, 9, [0]), (9, 13, 30, [0])), 0.1)) == 0, "no background"


@pytest.mark.parametrize("target", ["tiou", "class"])
@pytest.mark.parametrize("terms", ["both", "positive"])
def test_pem_loss_is_eq_3(rng, target, terms):
    """Of classes and of confidences, as a cross-entropy and as printed, in value and gradient."""
    logits = torch.from_numpy(rng.normal(size=(2, 5, 3))).requires_grad_(True)
    hot, tiou = torch.eye(3, dtype=torch.double)[[0, 1, 2, 1, 0]], torch.tensor([1.0, 0.5, 0.49, 0.0, 0.7]).double()
    config = small_config(APN, confidence_target=target, pem_terms=terms)

    def twin(x):
        chances = (1 / (1 + np.exp(-x))).tolist()
        return slow.pem(*chances, hot.tolist(), tiou.tolist(), 0.5, target, terms)

    found = pem_loss(*logits, hot, tiou, config)
    assert found.item() == pytest.approx(twin(logits.detach().numpy()), rel=1e-6)
    found.backward()
    np.testing.assert_allclose(logits.grad.numpy(), slope(twin, logits.detach().numpy()), rtol=1e-4, atol=1e-7)


def test_contrast_of_a_batch_is_eq_2(text):
    """A sum over the anchors of a video, a mean over videos; or twice the mean over all anchors."""
    classes = torch.zeros(2, 30, 3)
    for point, *_, ids in ((5, 0, [0]), (13, 0, [0, 2]), (26, 0, [1])):
        classes[0, point, ids] = 1
    classes[1, 5, 0] = classes[1, 20, 0] = 1
    batch = Batch({s: torch.rand(2, 30, WIDTH) for s in ("rgb", "flow")}, classes.amax(1), points=classes)
    for similarity in ("dot", "cosine"):
        net = small_net(APN, text, contrast_similarity=similarity)
        c, real = net.config, torch.ones(2, 30)
        x = net.embed(batch.streams).transpose(1, 2).detach()
        labels = net.label(batch, x, real, 0)
        each = [contrast(v, p, c.temperature, similarity) for v, p in zip(x, labels, strict=True)]
        assert [len(e) for e in each] == [4, 4]
        wanted = {"sum": torch.stack([e.sum() for e in each]).mean(), "mean": 2 * torch.cat(each).mean()}
        for reduction, value in wanted.items():
            net.config = replace(c, contrast_reduction=reduction)
            torch.testing.assert_close(net._ctr(x, labels, real), value)


def test_a_confidence_is_the_cosine_or_scaled_from_it(text):
    """Paper 3.4: (1 + cosine) / 2, without numbers of its own; ours has a factor and a shift."""
    features = torch.randn(6, 32, 16)
    for kind in ("cosine", "scaled"):
        net = small_net(APN, text, confidence=kind)
        seen = []
        hook = net.evaluator.project.register_forward_hook(lambda m, i, o, seen=seen: seen.append(o))
        with torch.no_grad():
            _, logits = net.evaluator(features, net.text)
        hook.remove()
        cosine = np.array([
            [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in net.text.double().numpy()]
            for a in seen[0].double().numpy()
        ])  # fmt: skip
        chances = (1 + cosine) / 2 if kind == "cosine" else 1 / (1 + np.exp(-(14 * cosine - np.log(3))))
        np.testing.assert_allclose(torch.sigmoid(logits).numpy(), chances, atol=1e-5)
        assert hasattr(net.evaluator, "scale") == (kind == "scaled")
    net = small_net(APN, text, confidence="cosine")
    at_the_ends = net.evaluator._logits(torch.tensor([-1.0, 1.0], requires_grad=True))
    assert torch.isfinite(at_the_ends).all()


def test_candidates_hold_one_point_and_know_their_overlap(rng):
    config, chances = small_config(APN, peak_share=0.3, d_max=15), rng.uniform(size=(2, 30))
    found = candidates(*chances, TWO, config)
    every = ops.boundary_pairs(*chances, peak_share=0.3, d_max=15)
    wanted = []
    for s, e in zip(every[0], every[1], strict=True):
        inside = [i for i, p in enumerate(TWO.points) if s <= p < e]
        if len(inside) == 1:
            (i,) = inside
            wanted.append((s, e, i, slow.tiou((s, e), (TWO.start[i], TWO.end[i]))))
    assert wanted
    assert list(zip(found.start, found.end, found.instance, found.tiou, strict=True)) == wanted


def test_as_many_bad_proposals_as_good_ones(rng):
    torch.manual_seed(0)
    config = small_config(APN, proposals=8, peak_share=0.0, own_instances=True)
    found = candidates(*rng.uniform(size=(2, 30)), TWO, config)
    chosen = drawn(found, TWO, config)
    good = chosen.tiou >= config.positive_tiou
    assert (good.sum(), (~good).sum()) == (3 + 4, 7)
    assert list(zip(chosen.start[:3], chosen.end[:3], strict=True)) == list(zip(TWO.start, TWO.end, strict=True))
    assert chosen.tiou[:3].tolist() == [1, 1, 1]
    nothing = candidates(np.zeros(30), np.zeros(30), pseudo((3, 5, 9, [0])), config)
    assert len(drawn(replace(nothing, start=nothing.start[:0], end=nothing.end[:0], instance=nothing.instance[:0],
                             tiou=nothing.tiou[:0]), TWO, config).start) == 3  # fmt: skip
    # Paper 3.6: proposals alone.
    plain = replace(config, own_instances=False)
    chosen = drawn(found, TWO, plain)
    good = chosen.tiou >= config.positive_tiou
    assert (good.sum(), (~good).sum()) == (4, 4)
    every = set(zip(found.start, found.end, found.instance, found.tiou, strict=True))
    assert set(zip(chosen.start, chosen.end, chosen.instance, chosen.tiou, strict=True)) <= every
    bad = found.tiou < config.positive_tiou
    poor = replace(found, **{k: getattr(found, k)[bad] for k in ("start", "end", "instance", "tiou")})
    assert len(drawn(poor, TWO, plain).start) == 1, "there is a bad one, and it is learned from"


def test_padding_has_no_influence(text):
    """Loss terms and gradients of a video alone and of one padded with rubbish behind it."""
    torch.manual_seed(0)
    net = APN.build(small_config(APN, dropout=0.0), NAMES, text).train()
    short = a_batch(APN, size=2, length=20)
    longer = {s: torch.cat([x, torch.randn(2, 7, WIDTH)], 1) for s, x in short.streams.items()}
    mask, points = torch.ones(2, 27), torch.cat([short.clicked, torch.zeros(2, 7, 3)], 1)
    mask[:, 20:] = 0
    found = []
    for batch in (short, Batch(longer, short.labels, mask=mask, points=points)):
        torch.manual_seed(1)
        net.zero_grad()
        terms = net.loss(batch, 0)
        sum(terms.values()).backward()
        found.append((terms, [p.grad.clone() for p in net.parameters() if p.grad is not None]))
    for name in found[0][0]:
        torch.testing.assert_close(found[0][0][name], found[1][0][name], rtol=1e-5, atol=1e-6, msg=name)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_window_without_points_teaches_nothing(text):
    torch.manual_seed(0)
    net = APN.build(small_config(APN), NAMES, text).train()
    batch = a_batch(APN)
    terms = net.loss(replace(batch, points=torch.zeros_like(batch.clicked)), 0)
    assert {k: v.item() for k, v in terms.items()} == {"bdm": 0, "pem": 0, "ctr": 0}
    sum(terms.values()).backward()
    # Beside videos without points, those with points learn as if they were alone.
    half = batch.clicked.clone()
    half[3:] = 0
    torch.manual_seed(1)
    mixed = net.eval().loss(replace(batch, points=half), 0)
    torch.manual_seed(1)
    first = Batch({s: x[:3] for s, x in batch.streams.items()}, batch.labels[:3], points=batch.clicked[:3])
    for name, value in net.loss(first, 0).items():
        torch.testing.assert_close(mixed[name], value, msg=name)


# -- pseudo-labels -----------------------------------------------------------------------------


def test_comparable_features_are_smooth_and_centred(rng):
    x = rng.normal(size=(6, 2)).astype(np.float32)
    wanted = np.array([x[max(0, t - 1) : t + 2].mean(0) for t in range(6)]) - x.mean(0)
    np.testing.assert_allclose(comparable(x, 3, True), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(comparable(x, 3, False), wanted + x.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(comparable(x, 1, True), x - x.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(comparable(x, 1, False), x, rtol=1e-5, atol=1e-6)
    assert np.array_equal(comparable(x[:1], 3, True), x[:1])


def planted(rng):
    """Two actions of different classes, [6, 20) and [26, 36), on one background; points 9 and 30."""
    x = np.tile([0.0, 1.0, 0.0], (40, 1)) + rng.normal(size=(40, 3)) * 0.05
    x[6:20] += [2, 0, 0]
    x[26:36] += [0, 0, 2]
    return x.astype(np.float32), np.array([9, 30]), np.eye(3, dtype=np.float32)[[0, 2]]


def test_planted_actions_are_found(rng):
    x, points, classes = planted(rng)
    for changes in ({}, {"sweeps": 0}):
        start, end = grow(x, points, classes, small_config(APN, centred=True, **changes))
        assert (start.tolist(), end.tolist()) == ([6, 26], [20, 36]), changes
    alone = grow(x[:24], points[:1], classes[:1], small_config(APN, centred=True))
    assert [int(a[0]) for a in alone] == [6, 20]


def test_a_medoid_is_background_where_that_is_longer(rng):
    x, points, classes = planted(rng)
    x = np.concatenate([x, np.tile(x[:1], (40, 1))])
    _, end = grow(x, points, classes, small_config(APN, centred=True, profile="medoid"))
    assert end[1] > 40
    _, end = grow(x, points, classes, small_config(APN, centred=True))
    assert end[1] == 36


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_mining_from_points_of_different_classes_is_the_cores(rng, count):
    """Each class has one point: what its points have in common is that point, so the core does the same."""
    for length in (count, 12, 40):
        x = rng.normal(size=(length, 4)).astype(np.float32)
        points = np.sort(rng.permutation(length)[:count])
        config = small_config(APN, centred=True)
        centred = comparable(x, 1, True)
        clusters = ops.constrained_kmedoids(centred, points)
        wanted = ops.mine_actions(centred, points, clusters._replace(medoids=points))
        found = grow(x, points, np.eye(count, dtype=np.float32), config)
        assert [a.tolist() for a in found] == [a.tolist() for a in wanted]


def test_kept_labels_age(rng):
    config = small_config(APN, refresh=10, smoothing=3, centred=True)
    memory, hot = Memory(config), np.zeros((30, 3), np.float32)
    hot[5, 0] = hot[20, 1] = 1
    xs = [rng.normal(size=(30, 8)).astype(np.float32) for _ in range(3)]
    fresh = [grow(x, np.array([5, 20]), hot[[5, 20]], config) for x in xs]
    assert not np.array_equal(fresh[0], fresh[1])

    def ask(name, step, x, sum_=1):
        found = memory.label(name, step, xs[x], hot, sum_)
        return next(i for i, f in enumerate(fresh) if np.array_equal(f, (found.start, found.end)))

    assert ask("a", 0, 0) == 0
    assert ask("a", 9, 1) == 0, "younger than R"
    assert ask("b", 9, 1) == 1, "of another video"
    assert ask("a", 10, 1) == 1, "R steps old"
    assert ask("a", 15, 2, sum_=2) == 2, "another part of the video"
    assert ask("", 15, 0) == 0
    assert ask("", 16, 1) == 1, "nameless ones are not kept"
    other = Memory(config)
    other.load(memory.state())
    memory = other
    assert ask("a", 24, 0, sum_=2) == 2
    assert ask("a", 25, 0, sum_=2) == 0


def test_the_grid_is_told_from_its_features(text):
    net = small_net(APN, text)
    rng = np.random.default_rng(0)
    for sampling, ages in (("full", {0}), ("uniform", {0}), ("random_perturb", {0, 5})):
        net.memory = Memory(net.config)
        batches = sampler(sampling=sampling)
        for step in (*[0] * 8, 5, 5):
            net.loss(batches.draw(rng), step)
        assert {int(v[0]) for v in net.memory.state().values()} == ages, sampling


def test_the_cost_of_clusters_never_rises_over_refreshes(text):
    """Also from the clusters that older features gave: each refresh begins at the points again."""
    net = small_net(APN, text, refresh=1).train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    batch = replace(a_batch(APN), names=tuple("abcdef"))
    clicked = batch.clicked.clone()
    clicked[:, 18] = batch.labels
    batch = replace(batch, points=clicked)
    for step in range(8):
        optimizer.zero_grad()
        sum(net.loss(batch, step).values()).backward()
        optimizer.step()
        with torch.no_grad():
            x = net.embed(batch.streams).transpose(1, 2).numpy()
        for row in x:
            cost = ops.constrained_kmedoids(comparable(row, 3, True), [8, 18]).cost
            assert (np.diff(cost) <= 1e-9).all()


def test_pseudo_segments_are_those_that_training_makes(text):
    net = small_net(APN, text)
    batch = a_batch(APN)
    found = APN.pseudo_segments(net, [{s: x[v] for s, x in batch.streams.items()} for v in range(6)], batch.clicked)
    net.loss(replace(batch, names=tuple("abcdef")), 0)
    for v, name in enumerate("abcdef"):
        _, _, start, end = net.memory.state()[name].tolist()
        assert found[v] == [(start, end, int(batch.labels[v].argmax()))]
    two = torch.zeros(24, 3)
    two[8, [0, 2]] = 1
    (both,) = APN.pseudo_segments(net, [{s: x[0] for s, x in batch.streams.items()}], [two])
    assert [c for _, _, c in both] == [0, 2]
    with pytest.raises(UsageError, match="video 0 has 0 points on 24 snippets"):
        APN.pseudo_segments(net, [{s: x[0] for s, x in batch.streams.items()}], [two * 0])
    with pytest.raises(UsageError, match="1 videos and points of 0"):
        APN.pseudo_segments(net, [{s: x[0] for s, x in batch.streams.items()}], [])


@pytest.mark.parametrize("sampling", ["full", "random_perturb"])
def test_resume_is_exact(tmp_path, text, sampling):
    """With pseudo-labels older than the checkpoint in use after it."""
    options = replace(OPTIONS, pairs=0, points="uniform", sampling=sampling, ema=0.5)

    def run(folder, steps, **more):
        return run_fit(tmp_path / folder, text, replace(options, steps=steps), method="apn",
                       batches=sampler(sampling=sampling), **more)  # fmt: skip

    run("whole", 8)
    run("part", 4)
    kept = weights(tmp_path / "part", "resume")
    assert sum(k.startswith("remembered.0.v") for k in kept) >= 6
    run("part", 8, resume=True)
    for name in ("weights", "weights_ema", "resume"):
        a, b = weights(tmp_path / "whole", name), weights(tmp_path / "part", name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a), name
    assert not any("remembered" in k or "memory" in k for k in weights(tmp_path / "whole"))
    assert checkpoint.load(tmp_path / "whole").network().memory.state() == {}


# -- inference ---------------------------------------------------------------------------------


def test_interpolation_holds_the_ends(rng):
    x, at = rng.normal(size=(12, 5)), rng.uniform(-4, 16, (7, 9))
    at[0, :4] = [-3, 0, 11, 14.5]
    found = interpolated(torch.from_numpy(x), torch.from_numpy(at)).numpy()
    np.testing.assert_allclose(found, slow.interpolated(x, at), rtol=1e-9)
    one = interpolated(torch.from_numpy(x[:1]), torch.from_numpy(at)).numpy()
    np.testing.assert_allclose(one, np.broadcast_to(x[0], one.shape))


def test_frozen_parts_give_probabilities(text):
    net = small_net(APN, text)
    streams = {s: torch.randn(1, 20, WIDTH) for s in ("rgb", "flow")}
    with torch.no_grad():
        out = APN.freeze(net)(**streams)
        assert {k: list(v.shape) for k, v in out.items()} == {
            "start": [1, 20], "end": [1, 20], "embedding": [1, 20, net.config.width]
        }  # fmt: skip
        assert all(((out[k] > 0) & (out[k] < 1)).all() for k in ("start", "end"))
        at = torch.from_numpy(ops.sampling_positions([0, 4], [40, 9])).float()
        scores = {}
        for kind in ("class", "confidence", "product"):
            net.config = replace(net.config, score=kind)
            scores[kind] = APN.freeze_evaluator(net)(embedding=out["embedding"][0], positions=at)["score"]
            assert scores[kind].shape == (2, 3)
    torch.testing.assert_close(scores["product"], scores["class"] * scores["confidence"])


def test_both_graphs_export_and_pass_the_gate(text):
    net = small_net(APN, text)
    o, nms = APN.proposal_options(net.config), APN.nms_options(net.config)
    head, module = APN.freeze(net), APN.freeze_evaluator(net)
    example = {s: torch.randn(1, 9, WIDTH) for s in ("rgb", "flow")}
    content, graph = to_onnx(head, example, {0: "B", 1: "T"}, "head.onnx")
    evaluator, its_graph = evaluator_to_onnx(module, graph, o)
    assert parity.check_evaluator(module, evaluator, its_graph)["tensor"] < 1e-5
    three = (module, evaluator, its_graph)
    found = parity.check_head(head, content, graph, o, nms, Timeline(0, 1, 1), three)
    assert found["tensor"] < 1e-5
    assert found["segments"] > 5


def test_options_follow_the_config():
    config = small_config(APN, d_min=2, d_max=30, top_k=50, margin=0.2, points=8, nms_threshold=0.4)
    o = APN.proposal_options(config)
    assert (o.d_min, o.d_max, o.top_k, o.margin, o.points, o.peak_share) == (2, 30, 50, 0.2, 8, 0.5)
    assert (APN.nms_options(config).kind, APN.nms_options(config).threshold) == ("hard", 0.4)


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": 0}, "points is 0, must be at least 1"),
        ({"refresh": 0}, "refresh is 0"),
        ({"temperature": 0.0}, "temperature is 0.0, must be positive"),
        ({"positive_tiou": 1.0}, "positive_tiou is 1.0, must be between 0 and 1"),
        ({"smoothing": 2}, "smoothing is 2, must be odd"),
        ({"score": "sum"}, "score is 'sum', must be one of product"),
        ({"profile": "mean"}, "profile is 'mean', must be one of class, medoid"),
        ({"confidence": "dot"}, "confidence is 'dot', must be one of cosine, scaled"),
        ({"contrast_reduction": "max"}, "contrast_reduction is 'max', must be one of sum, mean"),
        ({"prompts": ("an action",)}, r"must be at least one text with \[CLS\]"),
        ({"d_max": 2, "d_min": 3}, r"d_max is 2, must be 0 \(any\) or at least d_min \(3\)"),
    ],
)
def test_bad_config_is_named(changes, message):
    with pytest.raises(UsageError, match=message):
        small_config(APN, **changes)


def test_bad_input_is_named(text):
    net, batch = small_net(APN, text), a_batch(APN)
    with pytest.raises(UsageError, match="reads point labels, the batch has none"):
        net.loss(replace(batch, points=None), 0)
    with pytest.raises(UsageError, match="a point lies on a snippet that is padding"):
        net.loss(replace(batch, mask=torch.cat([torch.ones(6, 8), torch.zeros(6, 16)], 1)), 0)
    with pytest.raises(UsageError, match="stream 'rgb' is 3 wide, must be 8"):
        net.loss(replace(batch, streams={**batch.streams, "rgb": batch.streams["rgb"][..., :3]}), 0)
    with pytest.raises(UsageError, match="built without a text tower"):
        small_net(APN, None).loss(batch, 0)
    with pytest.raises(UsageError, match="joint is 7"):
        APN.build(small_config(APN, joint=7), NAMES, text)
    evaluator = APN.freeze_evaluator(net)
    with pytest.raises(UsageError, match=r"embedding has shape \[9, 3\]"):
        evaluator(embedding=torch.zeros(9, 3), positions=torch.zeros(1, 32))
    with pytest.raises(UsageError, match=r"positions have shape \[1, 16\], must be \[P, 32\]"):
        evaluator(embedding=torch.zeros(9, 16), positions=torch.zeros(1, 16))
    with pytest.raises(TypeError, match="cannot freeze a Linear"):
        APN.freeze(torch.nn.Linear(1, 1))
