"""LACP: seeds and sequences against brute force, losses against loops, and what must not change them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.points import draw_points
from tal_engine.errors import UsageError
from tal_engine.lab.data.batches import BatchSampler
from tal_engine.lab.heads.interface import Batch
from tal_engine.lab.methods import load_method, uses_points
from tal_engine.lab.nn import sequence
from tal_engine.lab.training.training_options import TrainOptions
from tests.learning import NAMES, OPTIONS, WIDTH, a_batch, a_set, quiet_config, run_fit, small_config, weights
from tests.reference import lacp as slow

LACP = load_method("lacp")
VALUE = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]), st.floats(0, 1))
#: Rows of a probability and "a" for a seed of action, "b" of background.
SEEDED = st.lists(st.tuples(VALUE, st.sampled_from("..ab.")), min_size=1, max_size=11)
SEEDED = SEEDED.filter(lambda rows: any(kind == "a" for _, kind in rows))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(VALUE, st.booleans()), min_size=1, max_size=30))
def test_seeds_equal_textbook(rows):
    background, clicked = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    owner, found = slow.seeds(background, clicked, 0.95, 0.1)
    seeds = sequence.mine_seeds(background, clicked, 0.95, 0.1)
    assert seeds.owner.tolist() == [-1 if o is None else o for o in owner]
    assert set(np.flatnonzero(seeds.background).tolist()) == found
    at = np.flatnonzero(clicked)
    for a, b in pairwise(at):
        assert b - a == 1 or seeds.background[a + 1 : b].any()


@settings(max_examples=300, deadline=None)
@given(SEEDED)
def test_the_best_sequence_is_the_best_of_all(rows):
    p = np.array([r[0] for r in rows])
    action, background = (np.array([r[1] == kind for r in rows]) for kind in "ab")
    found = sequence.best_sequence(p, action, background)
    labels = [False] * len(p)
    for start, end in found.spans(True):
        labels[start:end] = [True] * (end - start)
    assert slow.agrees(labels, action, background)
    assert slow.score(labels, p.tolist()) == pytest.approx(found.score, abs=1e-9)
    assert slow.best_score(p.tolist(), action, background) == pytest.approx(found.score, abs=1e-9)
    for kind in (True, False):
        values = p if kind else 1 - p
        for span in found.spans(kind):
            wanted = slow.contrast(values.tolist(), *span)
            assert sequence.contrast_weights(span, len(p)) @ values == pytest.approx(wanted, abs=1e-9)


def test_long_gaps_are_weighed_in_parts(monkeypatch, rng):
    p = rng.uniform(size=400)
    action, background = np.zeros(400, bool), np.zeros(400, bool)
    action[[100, 300]] = background[[0, 200, 399]] = True
    whole = sequence.best_sequence(p, action, background)
    monkeypatch.setattr(sequence, "_PAIRS", 1000)
    parts = sequence.best_sequence(p, action, background)
    assert np.array_equal(whole.cuts, parts.cuts)
    assert whole.score == parts.score


def test_published_size():
    with torch.device("meta"):
        net = LACP.LACP(LACP.Config(), 20)
    assert sum(p.numel() for p in net.parameters()) == 3 * 2048 * 2048 + 2048 + 2048 * 21
    recipe = LACP.RECIPES["thumos14"]
    assert recipe.train["steps"] * recipe.train["accumulate"] == 2000 * 16
    for of_data in LACP.RECIPES.values():
        assert TrainOptions(**of_data.train).sampling == "full"


def test_inference_cuts_classes_and_what_is_not_background():
    cas, agnostic = LACP.proposal_options(LACP.Config()).sources
    assert (cas.of, cas.thresholds[0], cas.thresholds[-1], len(cas.thresholds)) == ("cas", 0.0, 0.225, 10)
    assert (agnostic.of, agnostic.thresholds[0], agnostic.thresholds[-1]) == ("attention", 0.5, 0.7)
    assert len(agnostic.thresholds) == 9
    net = LACP.build(small_config(LACP), NAMES).eval()
    out = net(a_batch(LACP).streams)
    found, p = net.activations(out), torch.sigmoid(out.cas)
    torch.testing.assert_close(found["cas"][..., :-1], p[..., :-1] * (1 - p[..., -1:]))
    torch.testing.assert_close(found["attention"], 1 - p[..., -1])
    torch.testing.assert_close(found["video"], p[..., :-1].topk(24 // 8, dim=1).values.mean(1))


@pytest.fixture
def quiet():
    torch.manual_seed(0)
    return LACP.build(quiet_config(LACP), NAMES)


def numbers_of(net, batch):
    with torch.no_grad():
        torch.manual_seed(0)
        return {k: v.item() for k, v in net.objective(net(batch.streams, batch.mask), batch).items()}


def test_losses_equal_loops(quiet):
    batch = a_batch(LACP)
    found, out = numbers_of(quiet, batch), quiet(batch.streams)
    p = quiet.activations(out)["cas"].detach().double().numpy()
    point, background, lack = [], [], []
    for b, x in enumerate(p):
        hit = batch.points[b].numpy() > 0
        owner, mined = slow.seeds(x[:, -1].tolist(), hit.any(1), 0.95, 0.1)
        target = np.concatenate([hit, np.zeros((len(x), 1), bool)], 1)
        point.append(slow.focal(x.tolist(), target.tolist(), np.flatnonzero(hit.any(1)).tolist()))
        nothing = [[0] * 3 + [1]] * len(x)
        background.append(slow.focal(x.tolist(), nothing, sorted(mined)))
        parts = {True: [], False: []}
        for c in np.flatnonzero(hit.any(0)):
            action = np.array([o is not None and hit[o, c] for o in owner])
            rest = np.array([t in mined or (o is not None and not hit[o, c]) for t, o in enumerate(owner)])
            best = sequence.best_sequence(x[:, c], action, rest)
            for kind in parts:
                values = (x[:, c] if kind else 1 - x[:, c]).tolist()
                parts[kind] += [1 - slow.contrast(values, *span) for span in best.spans(kind)]
        lack.append((np.mean(parts[True]) + np.mean(parts[False])) ** 2)
    assert found["point"] == pytest.approx(0.5 * np.mean(point), rel=1e-4)
    assert found["background"] == pytest.approx(np.mean(background), rel=1e-4)
    assert found["score"] == pytest.approx(np.mean(lack), rel=1e-4)


def test_contrast_is_small_where_actions_are_alike(quiet):
    """Two actions of one direction between background of another; then all alike."""
    cuts = sequence.Sequence(np.array([0, 4, 8, 12, 16, 20]), False, 0.0)
    x = torch.zeros(1, 20, 4)
    x[0, :, 0] = 1
    for start, end in cuts.spans(True):
        x[0, start:end] = torch.tensor([0.0, 1, 0, 0])
    one_video = torch.ones(1)
    assert quiet._contrast(x, [(0, cuts)], one_video).item() == pytest.approx(np.log1p(3 * np.exp(-10)), rel=1e-2)
    assert quiet._contrast(torch.ones(1, 20, 4), [(0, cuts)], one_video).item() == pytest.approx(np.log(4), rel=1e-5)
    one = sequence.Sequence(np.array([0, 4, 8, 20]), False, 0.0)
    assert quiet._contrast(x, [(0, one)], one_video).item() == 0


def test_videos_without_points_teach_by_their_classes_alone(quiet):
    """The terms of points are those of the other videos; the video term is of all."""
    whole = a_batch(LACP)
    bare = replace(whole, points=whole.points.clone(), untimed=torch.zeros_like(whole.labels))
    assert numbers_of(quiet, bare) == pytest.approx(numbers_of(quiet, whole))
    bare.points[3:] = 0
    bare.untimed[3:] = whole.labels[3:]
    streams = {k: x[:3] for k, x in whole.streams.items()}
    first = numbers_of(quiet, replace(whole, streams=streams, labels=whole.labels[:3], points=whole.points[:3]))
    found = numbers_of(quiet, bare)
    assert found["video"] == pytest.approx(numbers_of(quiet, whole)["video"])
    for name in ("point", "background", "score"):
        assert found[name] == pytest.approx(first[name], rel=1e-5), name


def test_a_point_says_nothing_of_a_class_without_points(quiet):
    """A second class at unknown times: the point of the first does not say that the second is absent there."""
    batch = a_batch(LACP, size=1)
    other = int(1 - batch.labels[0].argmax())
    labels, untimed = batch.labels.clone(), torch.zeros_like(batch.labels)
    labels[0, other] = untimed[0, other] = 1
    out = quiet(batch.streams)
    out.cas.retain_grad()
    terms = quiet.objective(out, replace(batch, labels=labels, untimed=untimed))
    assert [terms[k].item() for k in ("background", "score", "contrast")] == [0, 0, 0]
    terms["point"].backward()
    slope = out.cas.grad[0, 8]  # where the point is
    assert slope[other] == 0
    assert slope[batch.labels[0].argmax()] < 0


def test_drawn_snippets_are_in_their_part():
    torch.manual_seed(0)
    for _ in range(50):
        found = LACP._drawn(np.array([0, 9, 10, 12]), 3)
        assert ((found[0] // 3) == torch.arange(3)).all()
        assert (found[1] == 9).all()
        assert found[2, 0] == 10
        assert ((found >= 0) & (found < 12)).all()


def test_a_video_is_trained_alike_alone_padded_and_among_others(quiet):
    """Every term is a mean over videos, so that accumulated single videos are the published batch."""
    batch = a_batch(LACP)
    whole = numbers_of(quiet, batch)
    alone = [numbers_of(quiet, Batch({k: v[[i]] for k, v in batch.streams.items()}, batch.labels[[i]],
                                     points=batch.points[[i]])) for i in range(6)]  # fmt: skip
    for term in ("video", "point", "background", "score"):
        assert whole[term] == pytest.approx(np.mean([a[term] for a in alone]), rel=1e-4), term
    mask = torch.cat([torch.ones(6, 24), torch.zeros(6, 5)], 1)
    noise = {k: torch.cat([v, 9 * torch.randn(6, 5, WIDTH)], 1) for k, v in batch.streams.items()}
    padded = Batch(noise, batch.labels, mask=mask, points=torch.nn.functional.pad(batch.points, (0, 0, 0, 5)))
    assert numbers_of(quiet, padded) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("points", ["none", "first", "all", "two classes in one snippet"])
def test_short_videos_and_odd_points_train(quiet, length, points):
    batch = a_batch(LACP, length=24)
    marks = torch.zeros(6, length, 3)
    marks[:, 0, 0] = float(points != "none")
    if points == "all":
        marks[..., 0] = 1
    if points.startswith("two"):
        marks[:, 0, 1] = 1
    short = Batch({k: v[:, :length] for k, v in batch.streams.items()}, batch.labels, points=marks)
    terms = quiet.train().loss(short, 0)
    sum(terms.values()).backward()
    assert all(torch.isfinite(v) for v in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in quiet.parameters())


def test_points_are_needed_and_named(quiet):
    assert uses_points(LACP)
    with pytest.raises(UsageError, match="reads point labels, the batch has none"):
        quiet.loss(replace(a_batch(LACP), points=None), 0)


def test_resume_continues_bit_for_bit_without_stored_sequences(tmp_path):
    videos, features = a_set()
    points = draw_points(videos, "uniform", 0)

    def run(folder, steps, resume=False):
        batches = BatchSampler(videos, features, NAMES, ("rgb", "flow"), length=16, size=2, pairs=0, sampling="full",
                               points=points)  # fmt: skip
        options = replace(OPTIONS, steps=steps, batch=2, pairs=0, sampling="full", accumulate=3, points="uniform")
        return run_fit(tmp_path / folder, None, options, method="lacp", batches=batches, resume=resume)

    run("whole", 6)
    run("part", 3)
    run("part", 6, resume=True)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert whole.keys() == part.keys()
    assert all(torch.equal(whole[k], part[k]) for k in whole)
