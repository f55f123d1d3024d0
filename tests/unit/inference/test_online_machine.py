"""The event rule of online heads: against its slow twin, on one action after the other, and on what it must refuse."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.errors import FeatureError, UsageError
from tal_engine.inference.online_machine import WAITING, OnlineMachine
from tal_engine.plan.online_fields import OnlineOptions, StartEvidence
from tests.reference import online_machine as slow

#: Few values, so that ties and equal neighbours are common, and those around the thresholds.
VALUES = (0.0, 0.01, 0.02, 0.1, 0.25, 0.4, 0.499, 0.5, 0.8, 1.0)

EVIDENCE = (
    None, None, StartEvidence(), StartEvidence(now=0.5, before=0.25, seen=0.5, rival=-1.0, offset=0.25),
    StartEvidence(now=-50.0, seen=50.0),
)  # fmt: skip


def run(options, nows, delayed, floors=None, shortest=0.0, longest=0.0, save_at=()):
    """All decisions with the snippet at which they came; at each of `save_at` another machine goes on."""
    floors = np.zeros(len(options.start)) if floors is None else np.asarray(floors)
    machine = OnlineMachine(options, floors, shortest, longest)
    out = []
    for n, seen in enumerate(delayed):
        if n in save_at:
            text = json.dumps(machine.state(), allow_nan=False)
            machine = OnlineMachine(options, floors, shortest, longest)
            machine.restore(json.loads(text))
        now = np.array(nows[n]) if n < len(nows) else None
        out += [slow.Told(*d) for d in machine.step(now, np.array(seen))]
    return out + [slow.Told(*d) for d in machine.finish()]


def one(values, **changes):
    """Decisions of one class whose two sequences are the same, the second later."""
    options = OnlineOptions(**{"look_ahead": 0, "start": (0.5,), "share": 0.5, **changes})
    nows = [[v] for v in values]
    return run(options, nows, [[0.0]] * options.look_ahead + nows)


@st.composite
def streams(draw):
    classes, count = draw(st.integers(1, 2)), draw(st.integers(0, 40))
    options = OnlineOptions(
        look_ahead=draw(st.integers(0, 3)), start=draw(st.tuples(*[st.sampled_from((0.02, 0.4, 0.5, 1.0))] * classes)),
        hold=draw(st.sampled_from((0.25, 0.5, 1.0))), floor=draw(st.sampled_from((0.02, 0.1, 0.5))),
        share=draw(st.sampled_from((0.25, 0.5, 0.8, 1.0))), confirm=draw(st.integers(0, 2)),
        rise=draw(st.integers(3, 6)), backdate=draw(st.integers(1, 4)), patience=draw(st.integers(0, 3)),
        guesses=draw(st.sampled_from(((), (0.5,), (0.9, 0.3)))), discount=draw(st.sampled_from((0.5, 1.0))),
        evidence=draw(st.sampled_from(EVIDENCE)),
    )  # fmt: skip
    value = st.one_of(st.sampled_from(VALUES), st.integers(0, 1000).map(lambda v: v / 1000))
    row = st.lists(value, min_size=classes, max_size=classes)
    nows = draw(st.lists(row, min_size=count, max_size=count))
    delayed = draw(st.lists(row, min_size=count + options.look_ahead, max_size=count + options.look_ahead))
    floors = draw(st.lists(st.sampled_from((-math.inf, 0.0, 0.3, 0.9)), min_size=classes, max_size=classes))
    limits = draw(st.sampled_from(((0.0, 0.0), (1.0, 0.0), (0.0, 5.0), (1.5, 3.0), (0.0, 0.4))))
    return options, nows, delayed, floors, *limits


@given(streams(), st.sets(st.integers(0, 40), max_size=3))
@settings(max_examples=200, deadline=None)
def test_the_machine_says_what_its_twin_says(stream, save_at):
    options, nows, delayed, floors, shortest, longest = stream
    assert run(*stream, save_at=save_at) == slow.tell(options, floors, shortest, longest, nows, delayed)


@given(streams())
@settings(max_examples=80, deadline=None)
def test_what_is_told_is_in_time_and_in_order(stream):
    options, last = stream[0], {}
    for d in run(*stream):
        assert last.get(d.action) not in ("final", "withdrawn")
        assert (d.kind == "started") == (d.action not in last) or d.kind == "final"
        last[d.action] = d.kind
        if d.kind == "started":
            assert d.at - d.start <= options.backdate
        if d.kind == "final" and d.at < len(stream[2]):
            assert d.start < d.end
            assert d.at - d.end <= options.look_ahead + options.confirm + 1
    assert set(last.values()) <= {"final", "withdrawn"}


def test_an_action_is_told_when_it_starts_and_when_it_has_ended():
    told = one([0.0, 0.0, 0.8, 0.8, 0.8, 0.0, 0.0, 0.0], look_ahead=1)
    assert [(d.at, d.kind, d.start, d.end) for d in told] == [
        (2, "started", 1 + 0.25 / 0.8, None),
        (7, "final", 1.5, 4.5),
    ]
    assert told[1].score == pytest.approx(0.8)


def test_the_onset_is_where_the_activation_rose_and_no_further_back_than_promised():
    slowly = one([0.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.6], backdate=2)
    assert slowly[0][:5] == (6, "started", 1, 0, 4)
    quickly = one([0.0, 0.3, 0.6], backdate=2)
    assert quickly[0].start == pytest.approx(0.25 / 0.3)


def test_a_start_without_an_action_is_withdrawn():
    options = OnlineOptions(look_ahead=1, start=(0.5,), share=0.5, patience=2)
    nows = [[0.0], [0.9], [0.0], [0.0], [0.0], [0.0]]
    told = run(options, nows, [[0.0]] * 7)
    assert [(d.at, d.kind) for d in told] == [(1, "started"), (4, "withdrawn")]


def test_a_short_dip_does_not_end_an_action_and_a_long_one_does():
    assert [d.kind for d in one([0.0, 0.9, 0.9, 0.1, 0.9, 0.9, 0.0, 0.0])] == ["started", "final"]
    twice = one([0.0, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.0, 0.0])
    assert [d.kind for d in twice] == ["started", "final", "started", "final"]
    assert twice[0].action != twice[2].action


def test_what_is_below_the_least_score_is_not_final():
    options = OnlineOptions(look_ahead=0, start=(0.5,), share=0.5)
    values = [[0.0], [0.6], [0.6], [0.0], [0.0]]
    assert [d.kind for d in run(options, values, values, floors=[0.7])] == ["started", "withdrawn"]
    assert [d.kind for d in run(options, values, values, floors=[0.6])] == ["started", "final"]


def test_what_is_told_late_is_told_all_the_same():
    """The head is sure only with its look-ahead: the start comes with it, and no older than it may be."""
    options = OnlineOptions(look_ahead=2, start=(0.5,), share=0.5, backdate=3)
    told = run(options, [[0.1]] * 8, [[0.0]] * 4 + [[0.9]] * 4 + [[0.0]] * 2)
    assert [(d.at, d.kind) for d in told] == [(4, "started"), (9, "final")]
    assert told[0].start == pytest.approx(1.5)


def test_what_the_look_ahead_told_first_is_not_told_again_by_what_comes_after_it():
    options = OnlineOptions(look_ahead=1, start=(0.9,), share=0.5)
    nows = [[v] for v in (0.0, 0.2, 0.4, 0.4, 0.95, 0.95, 0.0, 0.0, 0.0, 0.95, 0.95, 0.0, 0.0, 0.0)]
    delayed = [[v] for v in (0.0, 0.0, 0.95, 0.95, 0.95, 0.95, 0.95, 0.0, 0.0, 0.0, 0.95, 0.95, 0.0, 0.0, 0.0)]
    told = run(options, nows, delayed)
    assert [(d.at, d.kind) for d in told] == [(2, "started"), (8, "final"), (9, "started"), (13, "final")]


def test_evidence_waits_while_another_class_is_as_likely():
    options = OnlineOptions(look_ahead=1, start=(0.9, 0.9), share=0.5, evidence=StartEvidence(rival=-1.0))
    nows = [[0.0, 0.0], [0.8, 0.8], [0.8, 0.8], [0.95, 0.1], [0.95, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    told = run(options, nows, [[0.0, 0.0], *nows])
    assert [(d.at, d.kind, d.label) for d in told if d.kind == "started"] == [(3, "started", 0)]
    assert told[0].score == pytest.approx(1 / (1 + (0.05 / 0.95) * (0.1 / 0.9)))
    alone = run(replace(options, evidence=None), nows, [[0.0, 0.0], *nows])
    assert [d.at for d in alone if d.kind == "started"] == [3]
    sooner = run(replace(options, evidence=None, start=(0.7, 0.7)), nows, [[0.0, 0.0], *nows])
    assert [(d.at, d.label) for d in sooner if d.kind == "started"] == [(1, 0), (1, 1)]


def test_with_evidence_the_look_ahead_alone_tells_no_start():
    options = OnlineOptions(look_ahead=2, start=(0.5,), share=0.5, evidence=StartEvidence())
    told = run(options, [[0.1]] * 8, [[0.0]] * 4 + [[0.9]] * 4 + [[0.0]] * 2)
    assert [d.kind for d in told] == ["final"]
    heard = replace(options, evidence=StartEvidence(now=0.0, seen=1.0))
    told = run(heard, [[0.1]] * 8, [[0.0]] * 4 + [[0.9]] * 4 + [[0.0]] * 2)
    assert [(d.at, d.kind) for d in told] == [(4, "started"), (4, "updated"), (9, "final")]


def test_a_long_action_is_cut_and_goes_on():
    options = OnlineOptions(look_ahead=0, start=(0.5,), share=0.5)
    values = [[0.0]] + [[0.9]] * 12 + [[0.0]] * 2
    told = run(options, values, values, longest=5.0)
    finals = [(d.start, d.end, d.cut, d.clipped) for d in told if d.kind == "final"]
    assert finals == [(0.5, 5.5, True, False), (5.5, 10.5, True, True), (10.5, 12.5, False, True)]


def test_the_end_of_a_stream_decides_what_is_open():
    told = one([0.0, 0.9, 0.9])
    assert [(d.kind, d.cut) for d in told] == [("started", False), ("final", True)]
    assert told[1].end == math.inf


def test_what_is_kept_does_not_grow():
    rng = np.random.default_rng(0)
    options = OnlineOptions(look_ahead=2, start=(0.3, 0.3))
    machine, sizes = OnlineMachine(options, np.zeros(2)), []
    for _ in range(3000):
        machine.step(rng.random(2), rng.random(2))
        sizes.append(len(json.dumps(machine.state())))
        assert machine.open_actions <= 2 * WAITING
    assert max(sizes[1500:]) <= 1.1 * max(sizes[:1500])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_hostile_activations_are_refused_and_change_nothing(bad):
    machine = OnlineMachine(OnlineOptions(look_ahead=0, start=(0.5,), share=0.5), np.zeros(1))
    machine.step(np.array([0.9]), np.array([0.9]))
    before = machine.state()
    for now, seen in ((bad, 0.5), (0.5, bad)):
        with pytest.raises(FeatureError, match="NaN or infinite at snippet 1"):
            machine.step(np.array([now]), np.array([seen]))
    assert machine.state() == before


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"look_ahead": -1}, "look_ahead is -1, must be in 0..10000"),
        ({"rise": 1}, "rise is 1, must be in 2..10000"),
        ({"start": ()}, r"start is \(\), must be numbers in \(0, 1\]"),
        ({"start": (0.0,)}, "start is"),
        ({"share": 0.0}, r"share is 0.0, must be in \(0, 1\]"),
        ({"horizon_s": math.inf}, "horizon_s is inf"),
    ],
)
def test_options_say_what_is_allowed(changes, text):
    with pytest.raises(UsageError, match=text):
        OnlineOptions(**{"look_ahead": 1, "start": (0.5,), **changes})


def test_weights_of_evidence_are_finite():
    for bad in (math.nan, math.inf, -1001.0):
        with pytest.raises(UsageError, match=r"rival is .*, must be in -1000.0..1000.0"):
            StartEvidence(rival=bad)
