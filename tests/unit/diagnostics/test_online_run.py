"""Streams of many videos for online evaluation, and ``tal eval --online`` of a plan whose head is online."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tal_engine import Segment, TALEngine
from tal_engine.annotations.tables import Table
from tal_engine.cli.live_measures import measure
from tal_engine.diagnostics.latency_curve import latency_curve
from tal_engine.diagnostics.online_run import frame_scores, stream_all
from tal_engine.errors import UsageError
from tal_engine.features.store import save_features
from tal_engine.metrics import protocol
from tal_engine.plan.archive import write_plan
from tal_engine.records import Features
from tal_engine.timeline import Timeline
from tests.integration.test_cli import tal
from tests.makers import tiny_plan
from tests.onlines import online_plan, rows_of

STEP = 8 / 25
VALUES = [0, 0, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0, 0.4, 0.6, 0, 0, 0, 0, 0, 0]


def features():
    rows = np.stack([r["rgb"] for r in rows_of(VALUES)])
    return Features({"rgb": rows}, Timeline(0.0, STEP, STEP), len(VALUES) * STEP)


TRUTH = {"v": [Segment(2 * STEP, 6 * STEP, "jump", 1.0)]}


def test_all_events_of_all_videos_are_kept():
    engine = TALEngine(online_plan(), "cpu", threads=1)
    run = stream_all(engine, {"v": features(), "w": features()})
    assert run.videos == ["v", "w"]
    assert run.seconds == pytest.approx(2 * len(VALUES) * STEP)
    assert [e.kind for e in run.events if e.source == "w"] == ["started", "final"] * 2
    told = run.starts()
    assert (len(told.told), told.withdrawn) == (4, 0)
    assert told.told.end[:2].tolist() == pytest.approx([3 * STEP, 12 * STEP])
    finals, moments = run.finals()
    assert (moments - finals.end <= run.declared_latency_s).all()
    assert stream_all(engine, {}).events == []


def test_a_plan_is_measured_by_what_it_tells():
    engine = TALEngine(online_plan(), "cpu", threads=1)
    truth = Table.of_segments(TRUTH, "truth", tuple(engine.plan.manifest.vocabulary))
    found = measure("x", engine, {"v": features()}, truth, protocol("activitynet"), None).values
    assert found["average_map"] == 1.0
    assert found["late_events"] == 0
    assert found["starts"]["delay_s"]["p50"] == pytest.approx(STEP)
    assert (found["starts"]["hits"], found["starts"]["false_alarms"]) == (1, 1)
    assert found["starts"]["p_map"]["1"] == 1.0
    assert found["finals"]["false_alarms"] == 1
    assert found["frames"]["now"]["calibrated_ap"] == 1.0
    assert frame_scores(engine, features())["ahead"].shape == (len(VALUES), 3)
    windows = TALEngine(tiny_plan(encoders=False), "cpu", threads=1)
    assert list(frame_scores(windows, features())) == ["whole"]


def test_a_curve_is_of_heads_that_see_windows():
    engine = TALEngine(online_plan(), "cpu", threads=1)
    with pytest.raises(UsageError, match="plan is 'online', must be one whose head sees windows"):
        latency_curve(engine, {"v": features()}, [2.0], [1.0])


def test_the_command_shows_another_plan_beside(tmp_path):
    write_plan(tmp_path / "live.plan", online_plan())
    tiny_plan(tmp_path / "mine.plan", encoders=False)
    (tmp_path / "set").mkdir()
    save_features(tmp_path / "set" / "v.npz", features())
    spans = [{"segment": [2 * STEP, 6 * STEP], "label": "jump"}]
    entry = {"subset": "test", "duration": len(VALUES) * STEP, "annotations": spans}
    (tmp_path / "truth.json").write_text(json.dumps({"database": {"v": entry}}))
    arguments = ["eval", tmp_path / "truth.json", tmp_path / "set", "--online", "--plan", tmp_path / "live.plan"]
    done = tal(*arguments, "--beside", tmp_path / "mine.plan", "--json")
    assert done.returncode == 0, done.stderr
    streams = json.loads(done.stdout)["streams"]
    assert list(streams) == ["the plan", "beside, as it waits", "beside, at the plan's look-ahead"]
    assert streams["the plan"]["average_map"] == 1.0
    assert streams["beside, as it waits"]["declared_start_latency_s"] is None
    shown = tal(*arguments)
    assert "protocols activitynet, odas, oad-frames; subset test" in shown.stdout
    refused = tal(*arguments, "--windows", "30")
    assert refused.returncode == 2
    assert "sees no windows" in refused.stderr
