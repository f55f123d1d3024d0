"""The element in a real GStreamer, between two pads of the test."""

from __future__ import annotations

import json
from itertools import chain, count, takewhile

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.gstreamer import MESSAGE
from tal_engine.gstreamer.analysis import Settings
from tests.makers import moving_square

HEIGHT, WIDTH = 48, 50  # rows of 150 bytes, which GStreamer pads to 152
FRAMES = list(moving_square(60, HEIGHT, WIDTH))
CHOICES = {"min-score": -100.0, "window": 2.0, "step": 0.32, "look-ahead": 0.3, "stream": "cam"}


@pytest.fixture(scope="module")
def expected(plan_path):
    """What a stream gives for the frames, at 25 a second."""
    with TALEngine.load(plan_path) as engine:
        options = Settings(window=2.0, step=0.32, look_ahead=0.3).options(engine.plan.manifest.stream)
        stream = engine.open_stream("cam", options, min_score=-100.0)
        events = [e for i, image in enumerate(FRAMES) for e in stream.push(image, i / 25)]
        return events, stream.flush()


def padded(image):
    """The bytes of a picture whose rows are padded to four bytes, as GStreamer's are."""
    rows = np.zeros((image.shape[0], -(-image.shape[1] * 3 // 4) * 4), np.uint8)
    rows[:, : image.shape[1] * 3] = image.reshape(image.shape[0], -1)
    return rows.tobytes()


class Bench:
    """An element between two pads: what is pushed into it, and all that comes out, in the test's own thread."""

    def __init__(self, gst, **properties):
        self.gst = gst
        self.element = gst.ElementFactory.make("talocalize", None)
        for name, value in {**CHOICES, **properties}.items():
            self.element.set_property(name, value)
        self.bus = gst.Bus.new()
        self.element.set_bus(self.bus)
        self.frames, self.events, self.waiting = [], [], []
        self.source = gst.Pad.new("source", gst.PadDirection.SRC)
        takes = gst.PadTemplate.new("sink", gst.PadDirection.SINK, gst.PadPresence.ALWAYS, gst.Caps.new_any())
        self.sink = gst.Pad.new_from_template(takes, "sink")  # without one it takes the first caps only
        self.sink.set_chain_function_full(self._came)
        self.sink.set_event_function_full(self._told)
        assert self.source.link(self.element.get_static_pad("sink")) == gst.PadLinkReturn.OK
        assert self.element.get_static_pad("src").link(self.sink) == gst.PadLinkReturn.OK

    def _came(self, _pad, _parent, buffer):
        from tal_engine.gstreamer.introspection import GstVideo

        ok, mapped = buffer.map(self.gst.MapFlags.READ)
        assert ok
        found = (GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, i) for i in count())
        parameters = [meta.get_param(MESSAGE) for meta in takewhile(lambda meta: meta is not None, found)]
        told = [json.loads(p.get_value("json")) for p in parameters]
        self.frames.append((buffer.pts, bytes(mapped.data), told))
        buffer.unmap(mapped)
        return self.gst.FlowReturn.OK

    def _told(self, _pad, _parent, event):
        self.events.append(event.type)
        return True

    def start(self):
        for pad in (self.source, self.sink):
            pad.set_active(True)
        return self.element.set_state(self.gst.State.PAUSED)

    def begin(self, rate="25/1", size=(WIDTH, HEIGHT), speed=1.0):
        assert self.start() != self.gst.StateChangeReturn.FAILURE
        self.send(self.gst.Event.new_stream_start("test"))
        self.caps(rate, size)
        self.segment(speed)
        return self

    def caps(self, rate="25/1", size=(WIDTH, HEIGHT)):
        text = f"video/x-raw,format=RGB,width={size[0]},height={size[1]},framerate={rate}"
        assert self.send(self.gst.Event.new_caps(self.gst.Caps.from_string(text)))

    def segment(self, speed=1.0):
        found = self.gst.Segment()
        found.init(self.gst.Format.TIME)
        found.rate, found.stop = speed, 3600 * self.gst.SECOND
        assert self.send(self.gst.Event.new_segment(found))

    def send(self, event):
        return self.source.push_event(event)

    def push(self, frames=FRAMES, stamped=True, first=0):
        for i, image in enumerate(frames, first):
            buffer = self.gst.Buffer.new_wrapped(padded(image))
            if stamped:
                buffer.pts = i * self.gst.SECOND // 25
            returned = self.source.push(buffer)
            if returned != self.gst.FlowReturn.OK:
                return returned
        return self.gst.FlowReturn.OK

    def messages(self, kind):
        while (message := self.bus.pop()) is not None:
            self.waiting.append(message)
        found = [m for m in self.waiting if m.type == kind]
        self.waiting = [m for m in self.waiting if m.type != kind]
        return found

    def said(self):
        """Events on the bus, as JSON."""
        structures = [m.get_structure() for m in self.messages(self.gst.MessageType.ELEMENT)]
        assert {s.get_name() for s in structures} <= {MESSAGE}
        return [json.loads(s.get_value("json")) for s in structures]

    def errors(self):
        return [m.parse_error() for m in self.messages(self.gst.MessageType.ERROR)]

    def warnings(self):
        return [m.parse_warning()[0].message for m in self.messages(self.gst.MessageType.WARNING)]

    def stop(self):
        for pad in (self.source, self.sink):
            pad.set_active(False)
        self.element.set_state(self.gst.State.NULL)


@pytest.fixture
def bench(gst, plan_path):
    made = []

    def make(**properties):
        made.append(Bench(gst, **{"plan": str(plan_path), **properties}))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def dicts(events):
    return [e.to_dict() for e in events]


def test_video_passes_and_events_are_a_stream_s(bench, expected, gst):
    one = bench().begin()
    assert one.push() == gst.FlowReturn.OK
    passed, at_end = expected
    assert passed
    assert one.said() == dicts(passed)
    on_frames = list(chain.from_iterable(told for _, _, told in one.frames))
    assert on_frames == dicts(passed)
    assert [pts for pts, _, _ in one.frames] == [i * gst.SECOND // 25 for i in range(60)]
    row = np.frombuffer(one.frames[7][1], np.uint8).reshape(HEIGHT, 152)[:, :150]
    assert np.array_equal(row.reshape(HEIGHT, WIDTH, 3), FRAMES[7])
    assert one.send(gst.Event.new_eos())
    assert one.said() == dicts(at_end)
    assert one.events[-1] == gst.EventType.EOS
    assert one.element.get_property("declared-latency") > gst.SECOND
    assert not one.errors()


def test_without_times_frames_are_counted(bench, expected, gst):
    one = bench(meta=False).begin()
    one.push(stamped=False)
    assert one.said() == dicts(expected[0])
    assert not any(told for _, _, told in one.frames)
    other = bench().begin(rate="0/1")
    assert other.push(stamped=False) == gst.FlowReturn.ERROR
    ((error, _),) = other.errors()
    assert error.matches(gst.LibraryError.quark(), gst.LibraryError.SETTINGS)
    assert "video/x-raw,framerate=25/1" in error.message


def test_a_flush_decides_what_is_open_and_begins_anew(bench, expected, gst):
    """As a seek does: the same part again gives the same events, with the same ids."""
    one = bench().begin()
    one.push()
    one.said()
    one.send(gst.Event.new_flush_start())
    one.send(gst.Event.new_flush_stop(True))
    assert one.said() == dicts(expected[1])
    one.segment()
    one.push()
    assert one.said() == dicts(expected[0])
    one.segment()  # and a loop, which flushes nothing
    one.push()
    assert one.said() == dicts([*expected[1], *expected[0]])
    assert one.element.get_property("refused") == 0


def test_caps_change_on_the_way(bench, gst, plan_path):
    small = [np.ascontiguousarray(f[:32, :40]) for f in FRAMES]
    one = bench().begin()
    assert one.push(FRAMES[:30]) == gst.FlowReturn.OK
    one.caps(size=(40, 32))
    assert one.push(small[30:], first=30) == gst.FlowReturn.OK
    with TALEngine.load(plan_path) as engine:
        options = Settings(window=2.0, step=0.32, look_ahead=0.3).options(engine.plan.manifest.stream)
        stream = engine.open_stream("cam", options, min_score=-100.0)
        wanted = [e for i, image in enumerate(FRAMES[:30] + small[30:]) for e in stream.push(image, i / 25)]
    assert one.said() == dicts(wanted)


def test_late_frames_are_skipped_and_reverse_is_passed(bench, gst):
    one = bench().begin()
    one.push(FRAMES[:3])
    one.push(FRAMES[:2])
    assert one.element.get_property("refused") == 2
    (warning,) = one.warnings()
    assert "skipped" in warning
    back = bench().begin(speed=-1.0)
    assert back.push() == gst.FlowReturn.OK
    assert len(back.frames) == 60
    assert back.said() == []
    assert "backwards" in back.warnings()[0]


def test_a_plan_that_is_not_there_is_told_and_another_one_works(bench, gst, tmp_path, plan_path):
    (tmp_path / "bad.plan").write_bytes(b"no plan")
    one = bench(plan=str(tmp_path / "no.plan"))
    assert one.start() == gst.StateChangeReturn.FAILURE
    ((error, _),) = one.errors()
    assert error.matches(gst.ResourceError.quark(), gst.ResourceError.NOT_FOUND)
    assert "no.plan" in error.message
    one.element.set_property("plan", str(tmp_path / "bad.plan"))
    assert one.start() == gst.StateChangeReturn.FAILURE
    ((error, _),) = one.errors()
    assert error.matches(gst.ResourceError.quark(), gst.ResourceError.READ)
    one.element.set_property("plan", str(plan_path))
    assert one.begin().push() == gst.FlowReturn.OK
    assert one.said()


def test_a_model_that_fails_stops_the_stream_with_an_error(bench, gst, expected, monkeypatch):
    one = bench().begin()
    engine = one.element._analysis._engine
    with monkeypatch.context() as broken:
        broken.setattr(engine, "encode_snippets", lambda *_: 1 / 0)
        assert one.push() == gst.FlowReturn.ERROR
    ((error, debug),) = one.errors()
    assert error.matches(gst.StreamError.quark(), gst.StreamError.FAILED)
    assert "ZeroDivisionError" in error.message + debug
    one.stop()
    assert one.begin().push() == gst.FlowReturn.OK  # after another start
    assert one.said() == dicts(expected[0])


def test_no_frame_is_kept(bench, gst):
    """A pool of a few buffers lends each again: the newest is held until the next comes, all others are free."""
    one = bench().begin()
    pool = gst.BufferPool.new()
    config = pool.get_config()
    gst.BufferPool.config_set_params(config, None, 152 * HEIGHT, 4, 4)
    assert pool.set_config(config)
    assert pool.set_active(True)
    now = gst.BufferPoolAcquireParams()
    now.flags = gst.BufferPoolAcquireFlags.DONTWAIT
    for i, image in enumerate(FRAMES):
        lent, buffer = pool.acquire_buffer(now)
        assert lent == gst.FlowReturn.OK, f"frame {i}: {lent}"
        buffer.fill(0, padded(image))
        buffer.pts = i * gst.SECOND // 25
        one.source.push(buffer)
        del buffer
    assert any(told for _, _, told in one.frames)
