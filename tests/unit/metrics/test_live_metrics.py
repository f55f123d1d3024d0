"""Per-frame AP, point-level AP, delay and false alarms of starts: against their slow twins, ties and empty sets too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.tables import Table
from tal_engine.errors import DataError
from tal_engine.metrics.frames import average_precision, evaluate_frames, going
from tal_engine.metrics.starts import EARLY_S, evaluate_starts, point_map
from tests.reference.online import frame_ap, point_ap, start_delays

TIME = st.integers(0, 12).map(float)
NAMES = st.tuples(st.sampled_from("vw"), st.sampled_from("ab"))
TRUE = st.tuples(NAMES, st.tuples(TIME, TIME).map(sorted)).map(lambda x: (*x[0], *x[1]))
TOLD = st.tuples(NAMES, TIME, st.integers(0, 3).map(float)).map(lambda x: (*x[0], x[1], x[2]))


def tables(truth, told):
    names = {"videos": ("v", "w"), "labels": ("a", "b")}
    t = Table.of(((*row, 1.0) for row in truth), source="truth", **names)
    return t, Table.of(((v, c, m, m, s) for v, c, m, s in told), source="told", **names)


@given(st.lists(st.tuples(st.integers(0, 4).map(float), st.booleans()), max_size=30))
def test_frame_ap_equals_its_twin(frames):
    scores, right = [f[0] for f in frames], [f[1] for f in frames]
    found = average_precision(np.array(scores, np.float64), np.array(right, bool))
    np.testing.assert_allclose(found, frame_ap(scores, right), rtol=1e-12)


def test_calibration_makes_rare_and_frequent_classes_compare():
    """A scorer that knows nothing: AP is the class's share of the frames, calibrated AP one half."""
    right = np.arange(1000) % 10 == 0
    ap, calibrated = average_precision(np.zeros(1000), right)
    assert (ap, calibrated) == (0.1, 0.5)


def test_frames_of_all_videos_are_ranked_together():
    truth = Table.of([("v", "a", 1.0, 3.0, 1.0), ("w", "b", 0.0, 1.0, 1.0)], source="truth")
    moments = {"v": np.array([0.5, 1.0, 2.5, 3.0]), "w": np.array([0.5])}
    scores = {"v": np.array([[0.0, 0.0], [0.9, 0.0], [0.8, 0.1], [0.1, 0.0]]), "w": np.array([[0.85, 0.05]])}
    assert going(truth, "v", moments["v"])[:, 0].tolist() == [False, True, True, False]
    found = evaluate_frames(truth, scores, moments)
    assert found.ap.tolist() == [(1 + 2 / 3) / 2, 1 / 2]
    assert found.frames == 5
    assert found.mean_ap == pytest.approx(found.ap.mean())


@pytest.mark.parametrize("values", [np.zeros((2, 1)), np.full((1, 1), np.nan)])
def test_frames_that_do_not_fit_are_refused(values):
    truth = Table.of([("v", "a", 1.0, 3.0, 1.0)], source="truth")
    with pytest.raises(DataError, match=r"v: scores of frames have shape .* must be numbers of shape \[1, 1\]"):
        evaluate_frames(truth, {"v": values}, {"v": np.array([0.5])})


@settings(max_examples=200, deadline=None)
@given(st.lists(TRUE, max_size=8), st.lists(TOLD, max_size=12), st.sampled_from((0.0, 1.0, 2.0, 10.0)))
def test_point_map_equals_its_twin(truth, told, offset):
    t, d = tables(truth, told)
    wanted = []
    for c in "ab":
        mine = [(v, s) for v, label, s, _ in truth if label == c]
        if mine:
            wanted.append(point_ap(mine, [(v, m, s) for v, label, m, s in told if label == c], offset))
    found = point_map(t, d, offset)
    assert found == pytest.approx(np.mean(wanted)) if wanted else math.isnan(found)


@settings(max_examples=200, deadline=None)
@given(st.lists(TRUE, max_size=8), st.lists(TOLD, max_size=12))
def test_delays_and_false_alarms_equal_their_twin(truth, told):
    t, d = tables(truth, told)
    found = evaluate_starts(t, d, 3600.0, withdrawn=1)
    delays = start_delays(truth, [x[:3] for x in told], EARLY_S)
    assert found.hits == len(delays)
    assert found.false_alarms == found.false_alarms_per_hour == len(told) - len(delays)
    assert found.delay.get("max", -math.inf) == max(delays, default=-math.inf)
    assert found.flicker == (1 / len(told) if told else 0)


def test_starts_of_other_classes_and_videos_are_false_alarms():
    truth = Table.of([("v", "a", 1.0, 3.0, 1.0)], source="truth")
    told = Table.of([("v", "c", 1.0, 1.0, 1.0), ("x", "a", 1.0, 1.0, 1.0), ("v", "a", 2.0, 2.0, 1.0)], source="told")
    found = evaluate_starts(truth, told, 7200.0)
    assert (found.hits, found.false_alarms, found.false_alarms_per_hour, found.recall) == (1, 2, 1.0, 1.0)
    assert found.p_map[1.0] == 1.0
