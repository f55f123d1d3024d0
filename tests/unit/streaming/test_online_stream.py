"""Streams of plans with an online head: promises, chunks, the file, snapshots, many streams in one call, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tal_engine import StreamingLocalizer, StreamOptions, TALEngine
from tal_engine.diagnostics.soak_test import certify, feature_steps
from tal_engine.errors import FeatureError, PlanError, SnapshotError, UsageError
from tal_engine.plan.archive import parse_plan, plan_bytes
from tal_engine.plan.manifest import parse_manifest
from tal_engine.plan.online_fields import StartEvidence
from tal_engine.records import Features
from tal_engine.streaming import StreamState
from tal_engine.streaming.head_run import run_head, suppressed
from tal_engine.timeline import Timeline
from tests.onlines import online_plan, random_rows, rows_of

STEP = 8 / 25


def engine_of(plan=None):
    return TALEngine(plan or online_plan(), "cpu", threads=1)


def told(engine, rows, end=None, name="s", **options):
    stream = StreamingLocalizer(engine, name, provisional=True, **options)
    events = [e for row in rows for e in stream.push_features(row)]
    return events + stream.flush(end), stream


def state_of(engine, name="s"):
    return StreamState(engine.plan.manifest, engine.plan.sha256, name)


def test_an_action_is_told_when_it_starts_and_when_it_ended():
    events, stream = told(engine_of(), rows_of([0, 0, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0]))
    start, final = events
    assert (start.kind, start.label, start.end, start.decided_at) == ("started", "jump", None, pytest.approx(3 * STEP))
    assert (final.kind, final.id, final.truncated) == ("final", start.id, False)
    assert (final.start, final.end) == (pytest.approx(2 * STEP), pytest.approx(6 * STEP))
    assert final.decided_at == pytest.approx(9 * STEP)
    assert stream.declared_latency_s == pytest.approx((1 + 1 + 1) * STEP + STEP / 2 + 1 / 25)
    assert stream.declared_start_latency_s == pytest.approx(3 * STEP + STEP / 2 + 1 / 25)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_a_stream_is_what_the_file_gives(ahead):
    engine, rows = engine_of(online_plan(ahead)), random_rows(200, ahead)
    features = Features({"rgb": np.stack([r["rgb"] for r in rows])}, Timeline(0.0, STEP, STEP), 200 * STEP)
    events, stream = told(engine, rows, 200 * STEP)
    finals = sorted((e.label, e.start, e.end, e.score) for e in events if e.is_final)
    whole = sorted((s.label, s.start, s.end, s.score) for s in engine.localize(features))
    assert len(finals) > 10
    assert [f[0] for f in finals] == [w[0] for w in whole]
    np.testing.assert_allclose([f[1:] for f in finals], [w[1:] for w in whole], atol=1e-9)
    assert stream.state.finalizer.late_events == 0
    assert stream.state.finalizer.worst_latency_s <= stream.declared_latency_s


def test_chunks_do_not_matter_bit_for_bit():
    engine, rows = engine_of(), random_rows(150)
    single, _ = told(engine, rows)
    rng = np.random.default_rng(0)
    for _ in range(5):
        state, events, left = state_of(engine), [], list(rows)
        while left:
            count = int(rng.integers(1, 20))
            for row in left[:count]:
                state.push_row(row)
            del left[:count]
            if not left:
                state.flush()
            windows = state.windows()
            for window, found in zip(windows, run_head(engine, windows), strict=True):
                events += state.finalize(window, suppressed(found, engine.plan.manifest.nms))
        assert events == single


def test_many_streams_share_calls_and_tell_what_each_tells_alone():
    engine, count = engine_of(), 5
    streams = [random_rows(60, seed) for seed in range(count)]
    alone = [told(engine, rows, name=f"s{i}")[0] for i, rows in enumerate(streams)]
    calls = []
    run = engine.advance

    class Counting:
        plan = engine.plan

        def advance(self, steps):
            calls.append(len(steps))
            return run(steps)

    states, events = [state_of(engine, f"s{i}") for i in range(count)], [[] for _ in range(count)]
    for n in range(61):
        due = []
        for i, state in enumerate(states):
            if n < 60:
                state.push_row(streams[i][n])
            else:
                state.flush()
            due += [(i, w) for w in state.windows()]
        for (i, window), found in zip(due, run_head(Counting(), [w for _, w in due]), strict=True):
            events[i] += states[i].finalize(window, found)
    assert events == alone
    assert calls == [count] * 61


@pytest.mark.parametrize("evidence", [None, StartEvidence(before=0.3, seen=0.4, rival=-0.5)])
def test_a_snapshot_carries_what_the_head_and_the_rule_remember(tmp_path, evidence):
    engine, rows = engine_of(online_plan(evidence=evidence)), random_rows(120, 3)
    whole, _ = told(engine, rows)
    for cut in (1, 37, 61, 119):
        first = StreamingLocalizer(engine, "s", provisional=True)
        events = [e for row in rows[:cut] for e in first.push_features(row)]
        first.snapshot(tmp_path / "s.npz")
        second = StreamingLocalizer(engine, "s", provisional=True)
        second.restore(tmp_path / "s.npz")
        events += [e for row in rows[cut:] for e in second.push_features(row)]
        assert events + second.flush() == whole


def test_a_damaged_state_is_refused_by_name(tmp_path):
    engine = engine_of()
    state = state_of(engine)
    for row in random_rows(20):
        state.push_row(row)
        windows = state.windows()
        for window, found in zip(windows, run_head(engine, windows), strict=True):
            state.finalize(window, found)
    numbers, arrays = state.state()
    state_of(engine).restore(numbers, arrays)
    for change, name in (
        ({"machine": {**numbers["online"]["machine"], "count": 3}}, "online.machine.count"),
        ({"machine": {**numbers["online"]["machine"], "classes": []}}, "online.machine.classes"),
        ({"machine": {**numbers["online"]["machine"], "before": [0.1] * 3}}, "online.machine.before"),
        ({"ids": [[99, "0" * 20]]}, "online.ids"),
    ):
        with pytest.raises(SnapshotError, match=name):
            state_of(engine).restore({**numbers, "online": {**numbers["online"], **change}}, arrays)
    for memory in (None, np.zeros(3, np.float32), np.full(4, np.nan, np.float32)):
        bad = {k: v for k, v in arrays.items() if k != "memory"} | ({} if memory is None else {"memory": memory})
        with pytest.raises(SnapshotError, match="memory"):
            state_of(engine).restore(numbers, bad)
    with pytest.raises(SnapshotError, match="memory"):
        state_of(engine).restore({k: v for k, v in numbers.items() if k != "online"}, arrays)


def test_further_guesses_at_an_action_are_finals_of_their_own_in_time(tmp_path):
    engine = engine_of(online_plan(guesses=(0.8,), discount=0.1))
    rows = random_rows(150, 2)
    plain, _ = told(engine_of(), rows, min_score=-np.inf)
    events, stream = told(engine, rows, min_score=-np.inf)
    ids = [e.id for e in events if e.kind == "started"]
    assert len(ids) == sum(e.kind == "started" for e in plain)
    guesses = [e for e in events if e.is_final and e.score < 0.1 and e.id not in ids]
    assert len(guesses) > 10
    assert stream.state.finalizer.late_events == 0
    assert stream.state.finalizer.worst_latency_s <= stream.declared_latency_s
    first = StreamingLocalizer(engine, "s", provisional=True, min_score=-np.inf)
    half = [e for row in rows[:71] for e in first.push_features(row)]
    first.snapshot(tmp_path / "s.npz")
    second = StreamingLocalizer(engine, "s", provisional=True, min_score=-np.inf)
    second.restore(tmp_path / "s.npz")
    half += [e for row in rows[71:] for e in second.push_features(row)]
    assert half + second.flush() == events


def test_after_the_end_another_stream_begins_with_nothing_remembered():
    engine, rows = engine_of(), rows_of([0, 0.9, 0.9, 0.9])
    stream = StreamingLocalizer(engine, "s", provisional=True)
    shapes = []
    for _ in range(2):
        events = [e for row in rows for e in stream.push_features(row)] + stream.flush()
        shapes.append([(e.kind, e.start, e.end, e.score, e.truncated) for e in events])
    assert shapes[0] == shapes[1]
    assert [s[0] for s in shapes[0]] == ["started", "final"]


def test_what_fails_is_remembered_of_nobody():
    engine = engine_of()
    state = state_of(engine)
    state.push_row(rows_of([0.9])[0])
    (window,) = state.windows()
    before = window.recollection.memory.copy()

    class Failing:
        plan = engine.plan

        def advance(self, steps):
            raise FeatureError("no")

    with pytest.raises(FeatureError):
        run_head(Failing(), [window])
    assert (window.recollection.memory == before).all()


def test_hours_of_a_stream_are_certified():
    engine = engine_of()
    stream = engine.open_stream("certify", provisional=True)
    rows = {"rgb": np.stack([r["rgb"] for r in random_rows(100)])}
    found = certify(stream, "features", feature_steps(stream, rows), 0.5, resident=lambda: 0.0)
    assert found.late_events == found.late_starts == 0
    assert found.finals > 100
    assert found.starts > 100
    assert found.declared_start_latency_s == stream.declared_start_latency_s
    assert found.start_lateness_s["max"] <= found.declared_start_latency_s


def test_what_an_online_head_cannot_do_is_refused():
    engine = engine_of()
    with pytest.raises(UsageError, match=r"window is 30.0, must be 2.0, as plan online reads a stream snippet"):
        engine.open_stream("s", StreamOptions(window=30.0))
    with pytest.raises(UsageError, match="people=2: plan online"):
        engine.open_stream("s", people=2)
    wide = Features({"rgb": np.zeros((3, 5), np.float32)}, Timeline(0.0, STEP, STEP), 1.0)
    with pytest.raises(FeatureError, match="is 5 wide, the head reads 4"):
        engine.localize(wide, force=True)


def test_evidence_goes_with_the_plan_and_plans_without_are_read():
    plan = online_plan(evidence=StartEvidence(rival=-0.5))
    assert parse_plan(plan_bytes(plan)).manifest.online.evidence == StartEvidence(rival=-0.5)
    older = json.loads(online_plan().document)
    older["proposal"].pop("evidence", None)
    assert parse_manifest(json.dumps(older)).online.evidence is None


def test_a_plan_with_an_online_head_is_checked():
    plan = online_plan()
    assert parse_plan(plan_bytes(plan)).manifest == plan.manifest
    document = json.loads(plan.document)

    def refused(change, text):
        bad = json.loads(json.dumps(document))
        change(bad)
        with pytest.raises(PlanError, match=text):
            parse_manifest(json.dumps(bad))

    refused(lambda d: d["proposal"].update(start=[0.5]), "proposal.start has 1 numbers, there are 3 classes")
    refused(lambda d: d["head"]["inputs"].pop(), "beside 'memory'")
    refused(lambda d: d["head"]["inputs"][1].update(shape=["B", "M"]), "memory is .*a number")
    refused(lambda d: d["head"]["outputs"][-1].update(shape=["B", 3]), "next_memory")
    refused(lambda d: d["head"]["outputs"].pop(2), "head gives")
