"""PseR: bags, features, ranking and pseudo-labels against slow twins; what its phases change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine import ops
from tal_engine.errors import UsageError
from tal_engine.lab.heads import lacp
from tal_engine.lab.methods import load_method
from tal_engine.lab.methods.pser import bags as bags_
from tal_engine.lab.methods.pser import ranking
from tal_engine.lab.methods.pser.seeds import seeds
from tests.learning import NAMES, a_batch, small_config
from tests.reference import pser as twin

PSER = load_method("pser")
SCALES = (0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.5)
SPANS = st.lists(st.tuples(st.floats(-5, 30), st.floats(0.1, 40)), min_size=1, max_size=5)


def small(**changes):
    torch.manual_seed(0)
    options = {"seed_steps": 60, "refine_steps": 60, "ranking_width": 32, "negatives": 40} | changes
    return PSER.build(small_config(PSER, **options), NAMES, None)


def spans(found):
    return torch.tensor([[s, s + n] for s, n in found], dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(SPANS, st.floats(0.01, 0.5))
def test_bags_and_their_overlaps(found, shift):
    at = spans(found)
    around = bags_.bags(at, SCALES, shift)
    wanted = [twin.bag(*s.tolist(), SCALES, shift) for s in at]
    np.testing.assert_allclose(around.numpy(), wanted, atol=1e-9)
    assert around.shape == (len(found), PSER.Config().bag, 2)
    overlaps = bags_.tiou(at, around[0])
    np.testing.assert_allclose(overlaps.numpy(), [[twin.iou(s.tolist(), b) for b in wanted[0]] for s in at], atol=1e-9)


@settings(max_examples=80, deadline=None)
@given(SPANS, st.integers(1, 20), st.sampled_from([1, 2, 8]))
def test_features_of_segments(found, length, bins):
    """Inside, over both ends and far outside of a video, of one snippet too."""
    x = torch.randn(length, 3, generator=torch.Generator().manual_seed(length), dtype=torch.float64)
    at = spans([*found, (-40.0, 10.0), (float(length), 5.0)])
    wanted = [twin.align(x.tolist(), *s.tolist(), bins) for s in at]
    np.testing.assert_allclose(bags_.pooled(x, at, bins).numpy(), wanted, atol=1e-9)


def test_no_segment_has_no_features():
    assert bags_.pooled(torch.randn(5, 3), torch.zeros(0, 2), 8).shape == (0, 24)


def test_segments_of_no_class_are_apart_from_all_bags():
    torch.manual_seed(0)
    positives = bags_.bags(torch.tensor([[10.0, 20.0], [60.0, 90.0]]), SCALES, 0.1).flatten(0, 1)
    drawn = bags_.negatives(100, positives, 500, 0.3)
    assert 50 < len(drawn) < 500
    assert float(bags_.tiou(drawn, positives).max()) < 0.3
    assert float(drawn.min()) >= -20
    assert float(drawn.max()) <= 120


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 9))
def test_ranking_of_bags(seed, count, best):
    g = torch.Generator().manual_seed(seed)
    classes, instances = (torch.randn(count, 9, 4, generator=g, dtype=torch.float64) for _ in range(2))
    overlap = torch.rand(count, 9, generator=g, dtype=torch.float64)
    labels = torch.randint(4, (count,), generator=g)
    around = bags_.bags(torch.rand(count, 2, generator=g, dtype=torch.float64).cumsum(1), (0.5, 1, 1.5), 0.1)
    each = [x.tolist() for x in (classes, instances, labels)]
    wanted = np.mean([twin.bag_loss(*of) for of in zip(*each, strict=True)])
    assert float(ranking.bag_loss(classes, instances, labels)) == pytest.approx(wanted, rel=1e-9)
    found = ranking.merged(around, classes, instances, overlap, labels, best)
    of = zip(around.tolist(), *each[:2], overlap.tolist(), each[2], strict=True)
    np.testing.assert_allclose(found.numpy(), [twin.merge(*args, best) for args in of], rtol=1e-6)
    apart = sum(twin.focal(twin.sigmoid(v), 0.0) for v in classes[0].flatten().tolist()) / 50
    assert float(ranking.negative_loss(classes[0], 50)) == pytest.approx(apart, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2)), min_size=1, max_size=5))
def test_seeds_hold_their_point_and_no_other(seed, clicks):
    rng = np.random.default_rng(seed)
    cas = np.repeat(rng.random((10, 4), np.float32) * 0.5, 3, 0)
    clicked = np.zeros((30, 3), np.float32)
    for t, label in clicks:
        clicked[t, label] = 1
    options = lacp.proposal_options(lacp.Config())
    at, labels = seeds(cas, 1 - cas[:, 3], clicked, options, 1.5)
    found = ops.propose(cas, 1 - cas[:, 3], options, video=clicked.max(0))
    times = sorted({t for t, _ in clicks})
    wanted = []
    for t in times:
        for label in np.flatnonzero(clicked[t]).tolist():
            own = found.label == label
            proposals = list(zip(found.start[own], found.end[own], found.score[own], strict=True))
            wanted.append((*twin.seed(proposals, t + 0.5, [o + 0.5 for o in times if o != t], 1.5), label))
    # Equal scores are equally good: what counts is that each is one of the best.
    assert [w[2] for w in wanted] == labels.tolist()
    for (start, end), (a, b, label), t in zip(
        at.tolist(), wanted, np.repeat(times, clicked[times].sum(1).astype(int)), strict=True
    ):
        if (start, end) != (a, b):
            own = found.label == label
            score = {(s, e): v for s, e, v in zip(found.start[own], found.end[own], found.score[own], strict=True)}
            assert score[start, end] == pytest.approx(score[a, b], abs=1e-12)
        assert start <= t + 0.5 <= end


def test_a_phase_teaches_its_own_network_alone():
    net, batch = small().train(), a_batch(PSER)
    for step, own in ((0, "seeding"), (60, ("ranking", "overlap")), (120, "detector")):
        net.zero_grad()
        sum(net.loss(batch, step).values()).backward()
        learned = {n.split(".")[0] for n, p in net.named_parameters() if p.grad is not None}
        assert learned == ({own} if isinstance(own, str) else set(own))
        assert net.seeding.training  # its dropout was off while it taught, and is as it was


def test_refining_moves_pseudo_labels_towards_the_action():
    """Seeds that are half as long as the actions grow: the bag's longer segments show more of the class."""
    net, batch = small().train(), a_batch(PSER, size=12)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for step in range(120):
        terms = net.loss(batch, step)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        losses.append({k: float(v.detach()) for k, v in terms.items()})
    assert losses[-1]["rank"] < 0.5 * losses[60]["rank"]
    assert losses[-1]["tiou"] < losses[60]["tiou"]
    refined = torch.cat(net.pseudo_segments(batch))
    assert refined.shape == (12, 3)
    assert (refined[:, 0] < 8).all()
    assert (refined[:, 1] > 8).all()
    truth = torch.tensor([[4.5, 11.5]])
    assert float(bags_.tiou(refined[:, :2], truth).mean()) > 0.6


def test_padding_changes_no_pseudo_label():
    net, batch = small().eval(), a_batch(PSER)
    more = {s: torch.cat([x, torch.randn(len(x), 7, x.shape[2])], 1) for s, x in batch.streams.items()}
    mask = torch.cat([torch.ones(6, 24), torch.zeros(6, 7)], 1)
    points = torch.cat([batch.clicked, torch.zeros(6, 7, 3)], 1)
    longer = replace(batch, streams=more, mask=mask, points=points)
    for a, b in zip(net.pseudo_segments(batch), net.pseudo_segments(longer), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    wrong = replace(longer, points=torch.ones_like(points))
    with pytest.raises(UsageError, match="a point lies on a snippet that is padding"):
        net.loss(wrong, 0)


def test_videos_whose_part_holds_no_point_teach_no_ranking():
    net, batch = small().train(), a_batch(PSER)
    none = replace(batch, points=torch.zeros_like(batch.clicked))
    terms = net.loss(none, 60)
    assert all(float(v.detach()) == 0 for v in terms.values())
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in net.loss(none, 120).values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"best": 22}, r"best is 22, must be at most the size of a bag \(21\)"),
     ({"scales": ()}, "scales"), ({"scales": (1.0, -1.0)}, "scales"), ({"shift": 0.0}, "shift is 0.0"),
     ({"bins": 0}, "bins is 0"), ({"refine_steps": -1}, "refine_steps is -1"), ({"reach": 0}, "reach is 0"),
     ({"seed_options": {"wide": 3}}, "seed_options of lacp: unexpected keyword argument 'wide'")],
)  # fmt: skip
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(UsageError, match=words):
        PSER.Config(**changes)


def test_the_public_code_gives_the_same():
    """Its functions were run once on these tensors; its figures are in tests/reference/pser.json."""
    public = json.loads((Path(twin.__file__).with_suffix(".json")).read_text())
    rng = np.random.default_rng(0)
    classes, instances = (torch.from_numpy(rng.normal(size=(3, 21, 20)).astype(np.float32)) * 3 for _ in range(2))
    overlap = torch.from_numpy(rng.random((3, 21)).astype(np.float32))
    others = torch.from_numpy(rng.normal(size=(500, 20)).astype(np.float32))
    apart = torch.from_numpy(rng.random(500) < 0.5)
    at, labels, c = torch.tensor([[3.0, 9.0], [20.0, 31.0], [40.0, 44.5]]), torch.tensor([4, 7, 4]), PSER.Config()
    around = bags_.bags(at, c.scales, c.shift)
    found = {
        "bags": around.flatten().tolist(),
        "tiou": torch.cat([bags_.tiou(s[None], b)[0] for s, b in zip(at, around, strict=True)]).tolist(),
        "rank": float(ranking.bag_loss(classes, instances, labels)),
        "negative": c.negative_weight * float(ranking.negative_loss(others[apart], c.negatives)),
        "merged": ranking.merged(around, classes, instances, overlap, labels, c.best).flatten().tolist(),
    }
    public["merged"] = [v for pair in public["merged"] for v in pair]
    for name, value in found.items():
        assert value == pytest.approx(public[name], rel=1e-5, abs=2e-6), name
