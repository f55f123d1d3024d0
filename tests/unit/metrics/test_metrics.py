"""Evaluation rules: every way in which published evaluators disagree has one decided answer here.

Numbers in names are those of the list in ``bench/peers.md``.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.tables import Table
from tal_engine.errors import FeatureError, UsageError
from tal_engine.metrics import PROTOCOLS, Protocol, average_recall, evaluate_tables, explain, protocol
from tal_engine.options import linspace
from tests.reference.mean_ap import average_precision as textbook

ANET = PROTOCOLS["activitynet"]
HALF = ANET.with_tious((0.5,))


def truth(*rows, videos=("v",)):
    return Table.of(((v, c, s, e, 1.0) for v, c, s, e in rows), source="truth", videos=videos)


def found(*rows):
    return Table.of(rows, source="predictions")


def score(t, d, rules=HALF, **more):
    return evaluate_tables(t, d, rules, **more)


ONE = truth(("v", "a", 0, 10))


@pytest.mark.parametrize("flip", [False, True])
def test_01_02_listing_order_does_not_matter(flip):
    rows = [("v", "a", 0.0, 10.0, 0.5), ("v", "a", 20.0, 30.0, 0.5)]
    assert score(ONE, found(*rows[:: -1 if flip else 1])).average == 1.0  # ties: by start


def test_01_argsort_and_listed_orders_do_depend_on_it():
    rows = [("v", "a", 0.0, 10.0, 0.5), ("v", "a", 20.0, 30.0, 0.5)]
    for ties, first_listed in (("argsort", 0.5), ("listed", 1.0)):
        rules = replace(HALF, ties=ties)
        assert score(ONE, found(*rows), rules).average == first_listed
        assert score(ONE, found(*rows[::-1]), rules).average == 1.5 - first_listed


@pytest.mark.parametrize("tiou", [0.65, 0.7, 0.9, 0.95])
def test_03_04_an_overlap_of_exactly_the_threshold_is_enough_in_float64(tiou):
    t, d = truth(("v", "a", 0, 100)), found(("v", "a", 0, 100 * tiou, 1.0))
    assert float(np.float32(tiou)) < tiou  # in float32 it would not be
    assert score(t, d, ANET.with_tious((tiou,))).average == 1.0
    assert score(t, d, replace(ANET.with_tious((tiou,)), inclusive=False)).average == 0.0


def test_04_thresholds_read_as_they_are_written():
    assert ANET.tious == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert np.linspace(0.5, 0.95, 10)[8] != 0.9  # what published code compares with


def test_05_average_precision_is_exact():
    t = truth(*(("v", "a", 10 * i, 10 * i + 5) for i in range(3)))
    d = found(("v", "a", 0, 5, 0.9), ("v", "a", 100, 105, 0.8), ("v", "a", 10, 15, 0.7), ("v", "a", 20, 25, 0.6))
    assert score(t, d).average == float((1 + Fraction(3, 4) + Fraction(3, 4)) / 3)


DUPLICATES = truth(("v", "a", 0, 10), ("v", "a", 0.0005, 10.0005))


@pytest.mark.parametrize(
    ("name", "ap", "dropped"), [("activitynet", 0.5, 0), ("opentad", 1, 1), ("actionformer", 1, 1)]
)
def test_06_duplicate_truth(name, ap, dropped):
    e = score(DUPLICATES, found(("v", "a", 0, 10, 1.0)), PROTOCOLS[name].with_tious((0.5,)))
    assert (e.average, e.counts.duplicate_instances, e.counts.instances) == (ap, dropped, 2 - dropped)


@pytest.mark.parametrize(
    ("name", "length", "ap"),
    [
        ("activitynet", 0.0, 0.5),
        ("opentad", 0.0, 1.0),
        ("opentad", 5e-4, 0.5),
        ("actionformer", 5e-4, 1.0),
        ("actionformer", 2e-3, 0.5),
    ],
)
def test_07_empty_and_short_truth(name, length, ap):
    t = truth(("v", "a", 0, 10), ("v", "a", 20, 20 + length))
    e = score(t, found(("v", "a", 0, 10, 1.0)), PROTOCOLS[name].with_tious((0.5,)))
    assert e.average == ap
    assert e.counts.short_instances == (ap == 1.0)


def test_08_an_overlap_of_nothing_with_nothing_is_no_hit():
    t, d = truth(("v", "a", 5, 5)), found(("v", "a", 5, 5, 1.0))
    e = score(t, d)
    assert (e.average, e.counts.empty_instances) == (0.0, 1)
    for ties in ("argsort", "listed", "total"):
        assert score(t, d, replace(HALF, ties=ties, nan_hit=True)).average == 1.0


@pytest.mark.parametrize(
    "row", [("v", "a", 0, 1, float("nan")), ("v", "a", float("inf"), 1, 0), ("v", "a", 3.0, 2.0, 0.5)]
)
def test_09_a_bad_row_is_an_error_that_names_it(row):
    with pytest.raises(FeatureError, match=rf"predictions: v, a: \[{float(row[2])}, {float(row[3])}\]"):
        found(("v", "a", 0, 1, 1), row)


def test_10_classes_without_truth_are_left_out_and_reported():
    d = found(("v", "a", 0, 10, 0.5), ("v", "zebra", 0, 10, 0.9))
    e = score(ONE, d)
    assert e.average == 1.0
    assert e.counts.unknown_label_detections == 1
    assert "zebra" in e.warnings[0]


def test_10_collide_counts_them_as_another_class():
    # Raw classes a, b, c; truth has a and c, which become 0 and 1: a detection of b counts as c.
    t = truth(("v", "a", 0, 10), ("v", "c", 20, 30))
    d = found(("v", "a", 0, 10, 0.9), ("v", "b", 0, 10, 0.95), ("v", "c", 20, 30, 0.9))
    assert score(t, d).average == 1.0
    e = score(t, d, replace(HALF, unknown_labels="collide"))
    assert e.average == 0.75
    assert e.counts.unknown_label_detections == 0


def test_11_rounding_to_snippets_loses_short_instances():
    t, d = truth(("v", "a", 0.7, 0.9)), found(("v", "a", 0.7, 0.9, 1.0))
    assert score(t, d).average == 1.0
    rules = PROTOCOLS["wtal-snippet"].with_tious((0.5,))
    e = score(t, d, rules)
    assert (e.average, e.counts.empty_instances) == (0.0, 1)
    # 1.5 snippets round to even on both sides, as published code does.
    e = score(truth(("v", "a", 0, 1.5 * 0.64)), found(("v", "a", 0, 2 * 0.64, 1.0)), rules)
    assert e.average == 1.0


@pytest.mark.parametrize(
    ("name", "ap", "doubtful"),
    [("activitynet", 0.5, 0), ("wtal-seconds", 0.5, 0), ("wtal-snippet", 1.0, 1), ("thumos14-official", 1.0, 1)],
)
def test_12_ambiguous_stretches(name, ap, doubtful):
    d = found(("v", "a", 40, 50, 0.9), ("v", "a", 0, 10, 0.5))
    e = score(ONE, d, PROTOCOLS[name].with_tious((0.5,)), ambiguous={"v": [(49, 60)], "other": [(0, 1)]})
    assert (e.average, e.counts.ambiguous_detections) == (ap, doubtful)


def test_12_a_right_detection_over_an_ambiguous_stretch_counts_unless_dropped():
    e = {
        rule: score(ONE, found(("v", "a", 0, 10, 0.9)), replace(HALF, ambiguous=rule), ambiguous={"v": [(9, 20)]})
        for rule in ("keep", "ignore", "drop")
    }
    assert [e[rule].average for rule in ("keep", "ignore", "drop")] == [1.0, 1.0, 0.0]


def test_13_interpolated_and_plain():
    t = truth(("v", "a", 0, 10), ("v", "a", 20, 30))
    d = found(("v", "a", 50, 60, 0.9), ("v", "a", 0, 10, 0.8), ("v", "a", 20, 30, 0.7))
    assert score(t, d).average == pytest.approx(2 / 3)
    assert score(t, d, replace(HALF, ap="plain")).average == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_14_the_second_best_instance_may_be_taken():
    t = truth(("v", "a", 0, 10), ("v", "a", 1, 11))
    d = found(("v", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.8))
    assert score(t, d).average == 1.0
    # The development kit goes by instances: the better overlap wins, whatever its score.
    d = found(("v", "a", 0, 9, 0.9), ("v", "a", 0, 10, 0.8))
    assert score(ONE, d).average == 1.0
    assert score(ONE, d, PROTOCOLS["thumos14-official"].with_tious((0.5,))).average == 0.5


def test_14_equal_overlaps_take_the_first_listed():
    t = truth(("v", "a", 0, 10), ("v", "a", 4, 14))
    d = found(("v", "a", 2, 12, 0.9), ("v", "a", -3, 9, 0.8))
    # The first detection overlaps both by 8/12; the second only the first by enough.
    assert score(t, d).average == pytest.approx(0.5)
    assert score(t, d, replace(HALF, ties="listed")).average == 1.0


def test_15_classes_without_detections_count_and_classes_without_truth_do_not():
    t = truth(("v", "a", 0, 10), ("v", "b", 0, 10))
    e = score(t, found(("v", "a", 0, 10, 1.0)))
    assert e.class_ap(0.5) == {"a": 1.0, "b": 0.0}
    assert e.average == 0.5
    e = score(truth(("v", "a", 0, 10), ("w", "b", 0, 10), videos=("v", "w")), found(("v", "a", 0, 10, 1.0)),
              replace(HALF, exclude=("w",)))  # fmt: skip
    assert e.class_ap(0.5) == {"a": 1.0}
    assert (e.average, e.counts.excluded_videos, e.counts.excluded_instances) == (1.0, 1, 1)


def test_17_every_video_keeps_the_same_share_of_its_proposals():
    t = truth(("v", "a", 0, 10), ("w", "a", 0, 10), videos=("v", "w"))
    rows = [("v", "a", 0, 10, 0.9), ("v", "a", 90, 99, 0.8), ("w", "a", 90, 99, 0.9), ("w", "a", 0, 10, 0.8)]
    curve = average_recall(t, found(*rows), max_average=0, steps=2)
    assert curve.proposals.tolist() == [1.0, 2.0]
    assert curve.average.tolist() == [0.5, 1.0]
    assert curve.at(1.5) == 0.75


def test_detections_in_videos_that_the_truth_does_not_list():
    d = found(("ghost", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.5))
    e = score(ONE, d)
    assert (e.average, e.counts.foreign_detections) == (0.5, 1)
    assert "'ghost'" in e.warnings[0]
    e = score(ONE, d, replace(HALF, foreign_videos="drop"))
    assert (e.average, e.counts.detections) == (1.0, 1)


def test_no_truth_at_all_is_an_error():
    with pytest.raises(FeatureError, match="no instances"):
        score(Table.of((), source="truth", videos=("v",)), found(("v", "a", 0, 1, 1)))


def test_unknown_protocol():
    with pytest.raises(UsageError, match="known: activitynet, thumos14-official"):
        protocol("thumos")


def test_compat_orders_go_with_their_own_rules_only():
    with pytest.raises(UsageError, match="argsort"):
        score(ONE, found(("v", "a", 0, 10, 1.0)), replace(PROTOCOLS["thumos14-official"], ties="argsort"))


GRID = st.integers(0, 6).map(float)


@st.composite
def tables(draw):
    spans = st.tuples(st.sampled_from("vw"), st.sampled_from("ab"), GRID, GRID).filter(lambda r: r[2] <= r[3])
    rows = draw(st.lists(spans, min_size=1, max_size=6))
    det = draw(st.lists(st.tuples(spans, st.sampled_from([0.1, 0.5, 0.9])), max_size=8))
    return truth(*rows, videos=("v", "w")), found(*((*r, s) for r, s in det))


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(sorted(PROTOCOLS)))
def test_protocols_equal_the_textbook(case, name):
    t, d = case
    rules = replace(PROTOCOLS[name], exclude=(), duplicate_s=-1.0, min_instance_s=-1.0, round_s=0.0)
    e = score(t, d, rules)
    for c, label in enumerate(e.labels):
        rows = [(t.videos[v], s, x) for v, k, s, x in zip(t.video, t.label, t.start, t.end, strict=True) if k == c]
        mine = [
            (d.videos[v], s, x, p)
            for v, k, s, x, p in zip(d.video, d.label, d.start, d.end, d.score, strict=True)
            if d.labels[k] == label
        ]
        for i, tiou in enumerate(rules.tious):
            order = None
            if rules.ties in ("video", "true_first"):
                order = sorted(range(len(mine)), key=lambda i: (-mine[i][3], mine[i][0], i))
            wanted = textbook(
                rows, mine, tiou, matching=rules.matching, rule=rules.ap, inclusive=rules.inclusive,
                ties="true_first" if rules.ties == "true_first" else "ranked", order=order,
            )  # fmt: skip
            assert e.ap[i, c] == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_compat_differs_from_the_core_in_ties_only(case):
    t, d = case
    distinct = replace(d, score=d.score + np.arange(len(d)) * 1e-6)
    spread = replace(t, start=t.start + np.arange(len(t)) * 1e-7)  # no two overlaps are equal
    spread = spread.where(spread.start < spread.end)
    if not len(spread):
        return
    a = score(spread, distinct, ANET)
    b = score(spread, distinct, replace(ANET, ties="argsort"))
    np.testing.assert_allclose(a.ap, b.ap, atol=1e-12)


def test_explain_adds_up():
    t = truth(("v", "a", 0, 10), ("v", "a", 0.0005, 10.0005), ("v", "b", 3, 3.3))
    d = found(("v", "a", 0, 10, 0.9), ("v", "b", 3, 3.3, 0.5))
    first, other = ANET, PROTOCOLS["wtal-snippet"]
    start, steps = explain(t, d, first, replace(other, duplicate_s=1e-3))
    assert {s.rule for s in steps} == {"ambiguous", "round_s", "duplicate_s", "exclude"}
    end = score(t, d, replace(other, duplicate_s=1e-3).with_tious(first.tious)).average
    assert start + sum(s.moved for s in steps) == pytest.approx(end)
    assert next(s for s in steps if s.rule == "round_s").moved < 0
    assert next(s for s in steps if s.rule == "duplicate_s").moved > 0


def test_explain_splits_the_development_kits_rules():
    d = found(("v", "a", 0, 9, 0.9), ("v", "a", 0, 10, 0.8))
    _, steps = explain(ONE, d, ANET, PROTOCOLS["thumos14-official"])
    assert [s.rule for s in steps] == ["matching", "ap", "inclusive", "ties", "ambiguous"]
    _, steps = explain(ONE, d, PROTOCOLS["thumos14-official"], replace(ANET, ties="argsort"))
    assert [s.rule for s in steps] == ["matching, ap, inclusive, ties, ambiguous"]


def test_threads_do_not_change_a_score(rng):
    n = 4000
    rows = [
        (f"v{i % 7}", f"c{i % 3}", float(s), float(s + w), 1.0) for i, (s, w) in enumerate(rng.random((60, 2)) * 50)
    ]
    t = Table.of(rows, source="truth")
    start = rng.random(n) * 50
    d = Table.of(
        ((f"v{i % 7}", f"c{i % 3}", start[i], start[i] + 5, round(float(rng.random()), 2)) for i in range(n)),
        source="d",
    )
    for rules in (ANET, PROTOCOLS["thumos14-official"]):
        assert np.array_equal(score(t, d, rules, threads=1).ap, score(t, d, rules, threads=4).ap)


def test_protocols_are_values():
    assert isinstance(ANET, Protocol)
    assert replace(ANET) == ANET
    assert PROTOCOLS["wtal-seconds"].tious == linspace(0.1, 0.7, 7)
    assert len(PROTOCOLS["wtal-seconds"].exclude) == 3
