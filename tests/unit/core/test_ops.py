"""The NumPy face of the core."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tal_engine import ops
from tal_engine.errors import UsageError
from tal_engine.options import NMS_RULES, NmsOptions, ProposalOptions, SourceOptions
from tests.reference import nms as slow_nms

BOXES = [[1.0, 4.0], [1.2, 4.1], [8.0, 9.0]]
SCORES = [0.9, 0.8, 0.3]


def test_lists_do(rng):
    kept = ops.suppress(BOXES, SCORES, kind="hard", threshold=0.5)
    assert (kept.rows.tolist(), kept.score.tolist(), kept.offsets.tolist()) == ([0, 2], [0.9, 0.3], [0, 2])
    kept = ops.suppress(np.asarray(BOXES, np.float32), SCORES, [0, 1, 0], NmsOptions(kind="hard", threshold=0.5))
    assert kept.rows.tolist() == [0, 1, 2]


def test_nothing_gives_nothing():
    assert ops.suppress([], []).rows.tolist() == []
    assert ops.suppress([], [], offsets=[0, 0, 0]).offsets.tolist() == [0, 0, 0]
    found = ops.propose(np.zeros((0, 3)), np.zeros(0))
    assert len(found.start) == 0


def test_batches_are_what_single_calls_give(rng):
    n, cuts = 300, [0, 50, 50, 170, 300]
    boxes = np.sort(rng.random((n, 2)) * 30, axis=1)
    scores, labels = rng.random(n).round(2), rng.integers(0, 3, n)
    whole = ops.suppress(boxes, scores, labels, offsets=cuts, threads=3)
    for v, (a, b) in enumerate(pairwise(cuts)):
        one = ops.suppress(boxes[a:b], scores[a:b], labels[a:b])
        mine = slice(whole.offsets[v], whole.offsets[v + 1])
        assert np.array_equal(whole.rows[mine] - a, one.rows)
        assert np.array_equal(whole.score[mine], one.score)


def test_inputs_are_left_alone(rng):
    boxes, scores = np.sort(rng.random((40, 2)), axis=1), rng.random(40)
    cas = rng.random((30, 4)).astype(np.float32)
    before = [x.copy() for x in (boxes, scores, cas)]
    ops.suppress(boxes, scores)
    ops.propose(cas, cas[:, 0])
    assert all(np.array_equal(a, b) for a, b in zip(before, (boxes, scores, cas), strict=True))


@pytest.mark.parametrize("name", NMS_RULES)
def test_published_rules_equal_the_textbook(name, rng):
    rule = NMS_RULES[name]
    start = rng.random(60).round(1) * 20
    boxes = np.stack([start, start + rng.random(60).round(1) * 8], axis=1)
    scores, labels = rng.random(60).round(2), rng.integers(0, 2, 60)
    kept = ops.suppress(boxes, scores, labels, rule)
    rows, values = slow_nms.suppress(*boxes.T.tolist(), scores.tolist(), labels.tolist(), rule)
    assert kept.rows.tolist() == rows
    np.testing.assert_allclose(kept.score, values, rtol=1e-12)


def test_bmn_rule_by_hand():
    # The best box is 0.6 long: threshold 0.5 + 0.4 * 0.6 = 0.74. Overlaps of 0.7 and 0.8 with it.
    boxes = [[0.0, 0.6], [0.0, 0.42], [0.0, 0.48]]
    kept = ops.suppress(boxes, [1.0, 0.9, 0.8], options=NMS_RULES["bmn"])
    assert kept.rows.tolist() == [0, 1, 2]
    # The second one's own threshold is 0.668, its overlap with the third 0.875.
    decay = np.exp(-(0.8**2) / 0.4) * np.exp(-(0.875**2) / 0.4)
    np.testing.assert_allclose(kept.score, [1.0, 0.9, 0.8 * decay], rtol=1e-12)


def test_attention_groups_are_shared_by_kept_classes():
    cas = np.array([[3.0, 3.0, 0], [3, 3, 0], [0, 0, 1], [3, 3, 0]], np.float32)
    source = SourceOptions(of="attention", thresholds=(0.5,), scale="none")
    options = ProposalOptions(sources=(source,), class_threshold=0.1, topk_ratio=4)
    found = ops.propose(cas, [0.9, 0.9, 0.1, 0.9], options)
    assert list(zip(found.start, found.end, found.label, strict=True)) == [(0, 2, 0), (3, 4, 0), (0, 2, 1), (3, 4, 1)]
    assert ops.video_scores(cas, options).shape == (1, 2)


def test_points_end_to_end():
    features = np.repeat(np.eye(3, dtype=np.float32), [5, 4, 6], axis=0)
    clusters = ops.constrained_kmedoids(features, [2, 6, 11])
    assert clusters.bounds.tolist() == [0, 5, 9, 15]
    start, end = ops.mine_actions(features, [2, 6, 11], clusters)
    assert (start <= [2, 6, 11]).all()
    assert (end > [2, 6, 11]).all()
    s, e, p = ops.boundary_pairs([0.1, 0.9, 0.1, 0.1], [0.1, 0.1, 0.1, 0.8], d_min=2, top_k=1)
    assert (s.tolist(), e.tolist()) == ([1], [3])
    assert p[0] == pytest.approx(0.72)
    assert ops.sampling_positions([10.0], [20.0], points=3).tolist() == [[9.0, 15.0, 21.0]]


def test_metrics_from_columns():
    ap = ops.average_precision(
        ([0], [0], [0.0], [10.0]),
        ([0, 0], [0, 0], [0.0, 20.0], [10.0, 30.0], [0.5, 0.9]),
        tious=(0.5,),
        classes=2,
        videos=1,
    )
    assert ap[0, 0] == 0.5
    assert np.isnan(ap[0, 1])
    recall, average = ops.average_recall(
        ([0], [0.0], [10.0]), ([0, 0], [20.0, 0.0], [30.0, 10.0], [0.9, 0.5]), tious=(0.5,), videos=1, steps=2
    )
    assert (recall.tolist(), average.tolist()) == ([[0.0, 1.0]], [1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.suppress([1.0, 2.0], [1.0]), r"segments has shape \(2,\), must be \[n, 2\]"),
        (lambda: ops.suppress(BOXES, [1.0]), r"score must have shape \[3\]"),
        (lambda: ops.suppress(BOXES, SCORES, colour=1), "colour: not an option; known: kind, sigma"),
        (lambda: ops.suppress(BOXES, SCORES, kind="soft"), "kind is 'soft', must be one of hard, linear"),
        (lambda: ops.suppress(BOXES, SCORES, sigma=0), "sigma is 0, must be positive"),
        (lambda: ops.suppress(BOXES, SCORES, offsets=[0, 2]), "offsets must run from 0 to 3"),
        (lambda: ops.suppress(BOXES, SCORES, offsets=[0, 3, 2, 3]), "offsets fall at position 2"),
        (lambda: ops.suppress([[2.0, 1.0]], [1.0]), "end"),
        (lambda: ops.suppress(BOXES, [1, float("nan"), 1]), "finite"),
        (lambda: ops.propose(np.zeros(3)), r"cas has shape \(3,\)"),
        (lambda: ops.propose(np.full((2, 2), np.inf)), "finite"),
        (lambda: ops.constrained_kmedoids(np.zeros((3, 2)), [2, 1]), "points"),
    ],
)
def test_bad_input_is_a_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_options_are_usage_errors():
    with pytest.raises(UsageError):
        ops.suppress(BOXES, SCORES, options=replace(NmsOptions(), kind="hard"), thresh=0.5)


def test_the_core_alone_loads_nothing_heavy():
    code = "import sys; from tal_engine import ops; print({'torch', 'cv2', 'av', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
