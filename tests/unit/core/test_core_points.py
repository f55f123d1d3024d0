"""Boundary pairs, point clustering and average recall against their textbook twins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine import _core
from tests.reference import boundary as slow_boundary
from tests.reference import kmedoids as slow_kmedoids
from tests.reference import recall as slow_recall
from tests.unit.core.test_core import interval_lists, outcome

# -- boundary pairs ----------------------------------------------------------------------------

PROBABILITY = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(PROBABILITY, PROBABILITY), max_size=25),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.integers(1, 4),
    st.integers(0, 12),
    st.sampled_from([0, 1, 5, 40]),
    st.booleans(),
)
def test_boundary_pairs_equal_textbook(rows, share, d_min, extra, top_k, hostile):
    start, end = [r[0] for r in rows], [r[1] for r in rows]
    if hostile and rows:
        start[-1] = float("nan")
    d_max = d_min + extra if extra else 0
    options = _core.BoundaryOptions(peak_share=share, d_min=d_min, d_max=d_max, top_k=top_k)
    wanted = outcome(lambda: slow_boundary.pairs(start, end, share, d_min, d_max, top_k))
    found = outcome(lambda: _core.boundary_pairs(start, end, options))
    if wanted == "refused":
        assert found == "refused"
        return
    s, e, score = found
    assert list(zip(score.tolist(), s.tolist(), e.tolist(), strict=True)) == wanted


def test_boundary_options_are_checked():
    def run(**changes):
        fields = {"peak_share": 0.5, "d_min": 1, "d_max": 0, "top_k": 0} | changes
        return _core.boundary_pairs([0.1, 0.2], [0.1, 0.2], _core.BoundaryOptions(**fields))

    for changes, words in (
        ({"d_min": 0}, "d_min is 0"),
        ({"d_min": 3, "d_max": 2}, "d_max is 2"),
        ({"top_k": -1}, "top_k is -1"),
        ({"peak_share": float("nan")}, "peak_share"),
    ):
        with pytest.raises(ValueError, match=words):
            run(**changes)


def test_sampling_positions():
    found = _core.sampling_positions([10.0, 0.0], [20.0, 0.0], points=32, margin=0.1)
    np.testing.assert_allclose(found, [np.linspace(9, 21, 32), np.zeros(32)])
    np.testing.assert_allclose(_core.sampling_positions([10.0], [20.0], points=1, margin=0.1), [[15.0]])


# -- constrained k-medoids ---------------------------------------------------------------------


@st.composite
def cluster_cases(draw, most=14):
    t = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    points = sorted(draw(st.sets(st.integers(0, t - 1), min_size=1, max_size=min(4, t))))
    centers = rng.normal(size=(len(points) + 1, 5))
    which = np.sort(rng.integers(0, len(centers), t))
    x = centers[which] + rng.normal(size=(t, 5)) * draw(st.sampled_from([0.0, 0.3, 2.0]))
    if draw(st.booleans()):
        x[draw(st.integers(0, t - 1))] = 0.0
    return x.astype(np.float32), points


def check_clusters(x, points, bounds, medoids, costs):
    assert bounds[0] == 0
    assert bounds[-1] == len(x)
    for p, m, (a, b) in zip(points, medoids, pairwise(bounds), strict=True):
        assert a <= p < b
        assert a <= m < b
    assert all(later < earlier for earlier, later in pairwise(costs))
    assert costs[-1] == pytest.approx(slow_kmedoids.cost(x, bounds, medoids), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(cluster_cases())
def test_kmedoids_keeps_its_rules_and_never_beats_exhaustion(case):
    x, points = case
    bounds, medoids, costs = (v.tolist() for v in _core.constrained_kmedoids(x, points))
    check_clusters(x, points, bounds, medoids, costs)
    assert costs[-1] >= slow_kmedoids.exhaustive(x, points) - 1e-6


def test_kmedoids_finds_the_best_on_clear_data():
    """On planted segments it reaches the optimum of exhaustion, which plain chance does not."""
    rng = np.random.default_rng(0)
    reached = 0
    for _ in range(60):
        centers = rng.normal(size=(3, 8))
        which = np.repeat([0, 1, 2], rng.integers(3, 6, 3))
        x = (centers[which] + 0.3 * rng.normal(size=(len(which), 8))).astype(np.float32)
        points = [int(rng.choice(np.flatnonzero(which == k))) for k in range(3)]
        *_, costs = _core.constrained_kmedoids(x, points)
        reached += costs[-1] <= slow_kmedoids.exhaustive(x, points) + 1e-6
    assert reached >= 57


def test_kmedoids_on_larger_problems_improves_and_ignores_rotation():
    rng = np.random.default_rng(1)
    for _ in range(20):
        t, n = int(rng.integers(60, 150)), int(rng.integers(2, 7))
        points = np.sort(rng.choice(t, n, replace=False))
        x = rng.normal(size=(t, 16)) + np.repeat(rng.normal(size=(t // 10 + 1, 16)), 10, axis=0)[:t]
        x = x.astype(np.float32)
        found = [v.tolist() for v in _core.constrained_kmedoids(x, points)]
        check_clusters(x, points, *found)
        assert 1 <= len(found[2]) <= 12
        q, _ = np.linalg.qr(rng.normal(size=(16, 16)))
        turned = _core.constrained_kmedoids((x @ q).astype(np.float32), points)
        assert turned[2][-1] == pytest.approx(found[2][-1], rel=1e-4)


def test_one_point_is_one_cluster():
    x = np.eye(4, dtype=np.float32)[[0, 1, 1, 1, 2]]
    bounds, medoids, costs = _core.constrained_kmedoids(x, [0])
    assert bounds.tolist() == [0, 5]
    assert medoids.tolist() == [1]
    assert costs.tolist() == [4.0, 2.0]


@pytest.mark.parametrize(
    ("features", "points", "words"),
    [
        (np.ones((3, 2)), [], "at least one point"),
        (np.ones((3, 2)), [3], "point 3 is outside 0..2"),
        (np.ones((3, 2)), [1, 1], "rise strictly, got 1 then 1"),
        (np.ones((0, 2)), [0], "at least one frame"),
        (np.full((3, 2), np.nan), [0], "not finite at frame 0"),
        (np.ones(3), [0], r"shape \[T, D\]"),
    ],
)
def test_kmedoids_names_bad_input(features, points, words):
    with pytest.raises(ValueError, match=words):
        _core.constrained_kmedoids(features.astype(np.float32), np.array(points, np.int64))


# -- actions out of clusters -------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(cluster_cases(40), st.sampled_from([0.0, 0.5, 2.0]), st.booleans())
def test_actions_equal_textbook(case, kappa, anchored):
    x, points = case
    bounds, medoids, _ = _core.constrained_kmedoids(x, points)
    u = slow_kmedoids.unit(x)
    if anchored:  # what all points have in common, which no frame needs to be
        anchors = np.repeat(u[points].sum(0, keepdims=True), len(points), 0).astype(np.float32)
        start, end = _core.mine_actions(x, points, bounds, medoids, kappa=kappa, anchors=anchors)
        medoids, centres = np.array(points), slow_kmedoids.unit(anchors)
    else:
        start, end = _core.mine_actions(x, points, bounds, medoids, kappa=kappa)
        centres = u[medoids]
    wanted = []
    for i, (p, m) in enumerate(zip(points, medoids.tolist(), strict=True)):
        distance = 1 - u @ centres[i]
        low, high = min(p, m), max(p, m)
        right = slow_kmedoids.inner_size(distance[high : bounds[i + 1]].tolist(), kappa, 1e-3)
        left = slow_kmedoids.inner_size(distance[bounds[i] : low + 1][::-1].tolist(), kappa, 1e-3)
        wanted.append((low + 1 - left, high + right))
    for i, (p, (a, b)) in enumerate(zip(points, zip(start.tolist(), end.tolist(), strict=True), strict=True)):
        assert a <= p < b
        # Only the rule between neighbours may take one frame more off each side.
        assert 0 <= a - wanted[i][0] <= 1
        assert 0 <= wanted[i][1] - b <= 1
    for i in range(len(points) - 1):
        assert end[i] <= start[i + 1]
        if points[i + 1] - points[i] >= 2:
            assert end[i] < start[i + 1]


def test_anchors_must_fit():
    x = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match=r"anchors must have shape \[1, 3\], got \(1, 2\)"):
        _core.mine_actions(x, [1], [0, 4], [1], anchors=np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="anchors are not finite at frame 0"):
        _core.mine_actions(x, [1], [0, 4], [1], anchors=np.full((1, 3), np.nan, np.float32))


def test_planted_actions_are_recovered():
    """Actions are alike inside; background frames are like nothing, as real background is."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(54, 12))
    x[10:25] = np.eye(12)[1] * 4 + 0.3 * rng.normal(size=(15, 12))
    x[37:45] = np.eye(12)[2] * 4 + 0.3 * rng.normal(size=(8, 12))
    x, points = x.astype(np.float32), [17, 40]
    bounds, medoids, _ = _core.constrained_kmedoids(x, points)
    start, end = _core.mine_actions(x, points, bounds, medoids)
    assert start.tolist() == [10, 37]
    assert end.tolist() == [25, 45]


# -- average recall ----------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    interval_lists([st.integers(0, 3)]),
    interval_lists([st.integers(0, 3)]),
    st.sampled_from([0.0, 0.5, 1.0, 2.5, 100.0]),
    st.sampled_from([1, 7, 100]),
)
def test_average_recall_equals_textbook(truth, proposals, max_average, steps):
    thresholds = [0.0, 0.5, 0.75, 1.0]
    t = [(r[3], r[0], r[1]) for r in truth]
    p = [(r[3], r[0], r[1], r[2]) for r in proposals]

    def fast():
        return _core.average_recall(
            truth_video=[r[0] for r in t], truth_start=[r[1] for r in t], truth_end=[r[2] for r in t],
            video=[r[0] for r in p], start=[r[1] for r in p], end=[r[2] for r in p], score=[r[3] for r in p],
            videos=4, thresholds=thresholds, max_average=max_average, steps=steps, threads=2,
        )  # fmt: skip

    wanted = outcome(lambda: slow_recall.average_recall(t, p, thresholds, max_average, steps))
    found = outcome(fast)
    if wanted == "refused":
        assert found == "refused"
        return
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12)
