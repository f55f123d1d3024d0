"""``tal eval --online``: delay against a textbook twin, and what is read from files of events."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.annotations.finals import read_finals
from tal_engine.annotations.tables import Table
from tal_engine.errors import FeatureError
from tal_engine.metrics import PROTOCOLS
from tal_engine.metrics.online import detection_delay, evaluate_online
from tests.events import event, final, provisional
from tests.integration.test_cli import tal
from tests.reference.online import average_delay

RULES = PROTOCOLS["activitynet"]
TIOUS = (0.3, 0.5, 0.7)


def tables(truth, finals):
    names = {"videos": ("v", "w"), "labels": ("a", "b")}
    t = Table.of(((*row, 1.0) for row in truth), source="truth", **names)
    d = Table.of((row[:5] for row in finals), source="finals", **names)
    return t, d, np.array([row[5] for row in finals], np.float64)


#: Few values, so that overlaps, scores and starts are often equal.
TIME = st.integers(0, 12).map(float)
SPAN = st.tuples(TIME, TIME).map(sorted)
NAMES = st.tuples(st.sampled_from("vw"), st.sampled_from("ab"))
TRUE = st.tuples(NAMES, SPAN).map(lambda x: (*x[0], *x[1]))
FINAL = st.tuples(NAMES, SPAN, st.integers(0, 3), TIME).map(lambda x: (*x[0], *x[1], float(x[2]), 12 + x[3]))


@settings(max_examples=300, deadline=None)
@given(st.lists(TRUE, max_size=8), st.lists(FINAL, max_size=12), st.booleans())
def test_delay_equals_its_textbook_twin(truth, finals, inclusive):
    t, d, decided = tables(truth, finals)
    aedt, hits = detection_delay(t, d, decided, TIOUS, inclusive=inclusive)
    expected = [average_delay(truth, finals, tiou, inclusive) for tiou in TIOUS]
    assert hits.tolist() == [n for _, n in expected]
    np.testing.assert_allclose(aedt, [mean for mean, _ in expected], rtol=1e-12)


def test_delay_is_counted_from_the_true_end_and_lateness_from_the_told_one():
    truth = [("v", "a", 0.0, 10.0), ("w", "b", 5.0, 9.0)]
    finals = [("v", "a", 0.0, 8.0, 0.9, 15.0), ("v", "a", 0.0, 10.0, 0.5, 99.0), ("w", "b", 5.0, 9.0, 0.7, 12.0)]
    t, d, decided = tables(truth, finals)
    found = evaluate_online(t, d, decided, RULES.with_tious((0.5, 0.9)))
    assert found.aedt.tolist() == [((15 - 10) + (12 - 9)) / 2, ((99 - 10) + (12 - 9)) / 2]
    assert found.hits.tolist() == [2, 2]
    assert found.lateness == {"p50": 7.0, "p99": 89.0, "max": 89.0}
    assert found.quality.at(0.5) == 1.0


def test_rules_that_leave_rows_out_leave_their_times_out():
    truth = [("v", "a", 0.0, 10.0), ("w", "b", 5.0, 9.0)]
    finals = [("w", "b", 5.0, 9.0, 0.7, 1000.0), ("v", "a", 0.0, 10.0, 0.9, 13.0)]
    t, d, decided = tables(truth, finals)
    found = evaluate_online(t, d, decided, replace(RULES.with_tious((0.5,)), exclude=("w",)))
    assert found.aedt.tolist() == [3.0]


def test_nothing_found_has_no_delay():
    t, d, decided = tables([("v", "a", 0.0, 10.0)], [])
    found = evaluate_online(t, d, decided, RULES)
    assert np.isnan(found.average_aedt)
    assert found.lateness == {}
    with pytest.raises(FeatureError, match="decided_at has shape"):
        evaluate_online(t, d, np.zeros(1), RULES)


def write(path, events):
    path.write_text("".join(e.to_json() + "\n" for e in events))
    return path


def test_finals_are_read_once_and_nothing_else(tmp_path):
    events = [provisional("1"), final("1"), final("1"), event(id="2", kind="withdrawn"), final("3", 4, 9)]
    table, decided = read_finals(write(tmp_path / "e.jsonl", events))
    assert table.videos == ("cam",)
    assert table.end.tolist() == [2.5, 9.0]
    assert decided.tolist() == [10.5, 17.0]


def test_a_final_that_changed_is_an_error(tmp_path):
    path = write(tmp_path / "e.jsonl", [final("1"), final("1", 0.5)])
    with pytest.raises(FeatureError, match="line 2: id '1' was final already"):
        read_finals(path)
    path.write_text('{"source": "a"}\n')
    with pytest.raises(FeatureError, match="line 1: event: schema is None"):
        read_finals(path)
    with pytest.raises(FeatureError, match="no such file"):
        read_finals(tmp_path / "none")


def test_command(tmp_path):
    truth = tmp_path / "gt.json"
    spans = [{"segment": [1, 2.5], "label": "run"}]
    truth.write_text(json.dumps({"database": {"cam": {"subset": "test", "duration": 30, "annotations": spans}}}))
    path = write(tmp_path / "e.jsonl", [final("1"), provisional("2", 5.0)])
    done = tal("eval", truth, path, "--online", "--json", "--tiou-thresholds", "0.5")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["average_map"] == 1.0
    assert told["online"]["aedt_s"] == {"0.5": 8.0}
    assert told["online"]["lateness_s"] == {"p50": 8.0, "p99": 8.0, "max": 8.0}
    starts = told["online"]["starts"]  # told at 10 s, 9 s after the only instance
    assert (starts["hits"], starts["false_alarms"], starts["withdrawn"]) == (0, 1, 0)
    assert (starts["p_map"]["8"], starts["p_map"]["9"]) == (0.0, 1.0)
    text = tal("eval", truth, path, "--online").stdout
    assert "0.5: 8.00 s (1 hits)" in text
    assert "lateness, from the told end to the decision: p50 8.00 s" in text
