"""What the element does with frames, where there is no GStreamer."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tal_engine import TALEngine, gstreamer
from tal_engine.errors import StateError, UsageError
from tal_engine.gstreamer.analysis import NS, Analysis, FrameTimes, Settings, fields
from tests.events import final, provisional
from tests.makers import moving_square

FRAMES = list(moving_square(60, 48, 64))


@pytest.fixture
def analysis(plan_path):
    found = Analysis(Settings(plan=str(plan_path), name="cam", min_score=-100.0, window=2.0, step=0.32, look_ahead=0.3))
    yield found
    found.close()
    found.close()


def told(analysis, stamps, frames=FRAMES):
    events = []
    for image, stamp in zip(frames, stamps, strict=False):
        events += analysis.frame(lambda image=image: image, stamp)
    return events


def stamps(first=0.0, count=60):
    return [round((first + i / 25) * NS) for i in range(count)]


def test_times_are_the_stamps_or_counted():
    times = FrameTimes()
    assert [times.of(s, (25, 1)) for s in (None, None, 3 * NS, None)] == [0.0, 0.04, 3.0, 3.04]
    assert times.of(None, (30000, 1001)) == pytest.approx(3.04 + 1001 / 30000)
    times.begin()
    assert times.of(None, (1, 1)) == 0.0
    for unknown in ((0, 1), (25, 0)):
        with pytest.raises(UsageError, match="no framerate; put one there"):
            times.of(None, unknown)


def test_events_are_those_of_a_stream(analysis, plan_path):
    with TALEngine.load(plan_path) as engine:
        options = Settings(window=2.0, step=0.32, look_ahead=0.3).options(engine.plan.manifest.stream)
        stream = engine.open_stream("cam", options, min_score=-100.0)
        assert analysis.declared_latency_s == stream.declared_latency_s
        expected = [e for i, image in enumerate(FRAMES) for e in stream.push(image, i / 25)] + stream.flush()
    assert expected
    analysis.caps((25, 1))
    assert told(analysis, [None] * 60) + analysis.end() == expected  # and the stream begins anew:
    assert told(analysis, stamps()) + analysis.end() == expected
    assert (analysis.frames, analysis.refused) == (120, 0)


def test_an_earlier_place_begins_anew_only_where_it_was_said(analysis):
    first = told(analysis, stamps()) + analysis.end()
    again = told(analysis, stamps())
    assert told(analysis, [0]) == []  # a frame that came late
    assert analysis.refused == 1
    analysis.moved()
    more = told(analysis, stamps())
    assert again + more[: len(first) - len(again)] == first
    analysis.moved()  # it goes on, at a later place
    told(analysis, stamps(2.4, 1))
    assert analysis.refused == 1


def test_a_model_that_fails_is_told_and_the_next_begin_is_another_stream(analysis, monkeypatch):
    engine = analysis._engine

    def fails(*_):
        raise ZeroDivisionError("oops")

    with monkeypatch.context() as broken:
        broken.setattr(engine, "encode_snippets", fails)
        with pytest.raises(ZeroDivisionError):
            told(analysis, stamps())
    with pytest.raises(StateError, match="failed before"):
        told(analysis, stamps(9.0))
    assert analysis.end() == []
    assert told(analysis, stamps())


def test_messages_have_times_in_nanoseconds():
    found = fields(final("cam/1", 1.25, 2.5))
    assert (found["start"], found["end"], found["kind"]) == (1_250_000_000, 2_500_000_000, "final")
    assert json.loads(found["json"])["id"] == "cam/1"
    assert "end" not in fields(provisional("cam/2"))


def test_wrong_settings_leave_nothing_open(plan_path, tmp_path):
    for wrong, message in (
        (Settings(plan=str(tmp_path / "no.plan")), r"no\.plan"),
        (Settings(plan=str(plan_path), step=-1.0), "step is -1.0"),
        (Settings(plan=str(plan_path), name="rtsp://cam/1"), "rtsp"),
    ):
        with pytest.raises(Exception, match=message):
            Analysis(wrong)


def test_the_folder_is_told(monkeypatch):
    told = subprocess.run([sys.executable, "-m", "tal_engine.gstreamer"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(gstreamer.plugin_folder())
    monkeypatch.setitem(sys.modules, "gi", None)
    monkeypatch.delitem(sys.modules, "tal_engine.gstreamer.introspection", raising=False)
    monkeypatch.delitem(sys.modules, "tal_engine.gstreamer.element", raising=False)
    monkeypatch.delattr(gstreamer, "element", raising=False)
    with pytest.raises(UsageError, match="apt-get install python3-gi"):
        gstreamer.register()


def test_frames_of_other_sizes_go_on(analysis):
    small = [np.ascontiguousarray(f[:32, :32]) for f in FRAMES[30:]]
    assert told(analysis, stamps(), [*FRAMES[:30], *small])
    assert analysis.frames == 60
