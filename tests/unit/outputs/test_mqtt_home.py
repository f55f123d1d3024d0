"""Topics of a home: switches, what the broker keeps, and that it is right after whatever happened."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from tal_engine.cli.main import _register, app
from tal_engine.errors import UsageError
from tal_engine.events import Event
from tal_engine.outputs.sinks.mqtt_home import HomeSink, Switches, Topics, level
from tal_engine.outputs.sinks.registry import SinkOptions, Source, open_sink
from tests.brokers import broker, subscriber
from tests.events import event, final, provisional
from tests.waiting import no_thread_left, until

#: Never turns off by itself within a test.
HOUR = 3600.0


@contextmanager
def switches(off_after_s=HOUR):
    told = []
    found = Switches(lambda *what: told.append(what), off_after_s)
    try:
        yield found, told
    finally:
        found.close()


def test_a_switch_is_on_while_an_action_is_open():
    with switches() as (found, told):
        for one in (
            provisional("1"),
            provisional("2"),
            event(kind="updated", id="1", end=2.0),
            event(kind="withdrawn", id="2", end=None),
        ):
            found.take(one)
        assert told == [("cam", "run", True), ("cam", "run", False)]
        found.take(provisional("3"))
        found.take(event(kind="updated", id="3", end=None, label="jump", label_id=1))  # it was another class
        assert told[2:] == [("cam", "run", True), ("cam", "jump", True), ("cam", "run", False)]
        found.take(final("3", label="jump", label_id=1))  # decided: it stays on for a while
        assert len(told) == 5
    assert told[5:] == [("cam", "jump", False)]  # the end turns all off


@no_thread_left("tal-mqtt-switches")
def test_a_decided_action_turns_off_by_itself():
    with switches(0.02) as (found, told):
        found.take(final("1"))
        until(lambda: len(told) == 2)
        found.take(final("2"))
        until(lambda: len(told) == 4)
    assert told == [("cam", "run", True), ("cam", "run", False)] * 2


def test_levels_of_topics_are_one_level_and_differ():
    names = ["", "%", "a/b", "a%2Fb", "a+", "#", "\0", "$x", "Tür 1", "a b", "行"]
    levels = [level(name) for name in names]
    assert len(set(levels)) == len(names)
    assert not any(set(one) & set("/+#\0") or not one for one in levels)
    assert (level("Tür 1"), level("行")) == ("Tür 1", "行")
    topics = Topics("tal")
    found = {topics.discovery(s, c) for s, c in (("a", "b c"), ("a", "b_c"), ("a b", "c"), ("", ""))}
    assert len({json.loads(text)["unique_id"] for _, text in found}) == len({topic for topic, _ in found}) == 4


def home(port, tmp_path, source=None, **options):
    options = SinkOptions(layout="home", dead_letters=str(tmp_path / "letters"), **options)
    return open_sink(f"mqtt://127.0.0.1:{port}/tal", options, source=source)


def test_a_home_is_found_and_kept_by_a_real_broker(tmp_path):
    source = Source(streams=["door/1"], labels=["run", "jump"])
    with broker(tmp_path) as port:
        sink = home(port, tmp_path, source, off_after=HOUR)
        assert isinstance(sink, HomeSink)
        done = final("e1", source="door/1")
        sink.write(provisional("e0", source="door/1"))
        sink.write(done)
        sink.write(final("e2", source="yard"))  # of a stream that nobody announced
        with subscriber(port, "tal/available") as said:  # what the broker keeps, for who comes later
            until(lambda: said[-1:] == [b"online"])
            with subscriber(port, "tal/#", messages=True) as kept, subscriber(port, "homeassistant/#") as found:
                until(lambda: {m.topic: m.payload for m in kept}.get("tal/yard/run/state") == b"ON")
                now = {m.topic: m.payload for m in kept if m.retain}
                assert now["tal/door%2F1/run/state"] == b"ON"
                assert now["tal/door%2F1/jump/state"] == b"OFF"
                assert Event.from_json(now["tal/door%2F1/run/last"]) == done
                until(lambda: len(found) == 3)
                devices = {json.loads(f)["device"]["name"] for f in found}
                assert devices == {"door/1", "yard"}
                config = next(c for c in map(json.loads, found) if c["name"] == "jump")
                assert config["state_topic"] == "tal/door%2F1/jump/state"
                assert config["availability_topic"] == "tal/available"
                sink.close()
                until(lambda: said[-1] == b"offline")
                last = {m.topic: m.payload for m in kept}
        assert {v for t, v in last.items() if t.endswith("/state")} == {b"OFF"}
    assert sink.delivery.counts["delivered"] == 2


def test_a_broker_that_forgot_is_told_again(tmp_path):
    """It comes back without what it kept; what changed meanwhile is there too."""
    with broker(tmp_path) as port:
        sink = home(port, tmp_path, Source(streams=["cam"], labels=["run"]), off_after=HOUR)
        with subscriber(port, "tal/cam/run/state") as said:
            until(lambda: said[-1:] == [b"OFF"])
    sink.write(provisional("a"))
    with broker(tmp_path, port), subscriber(port, "tal/cam/run/state") as said:
        until(lambda: said and said[-1] == b"ON")
        sink.close()


def test_a_crash_is_told_by_the_last_will(tmp_path):
    with broker(tmp_path) as port, subscriber(port, "tal/available") as said:
        sink = home(port, tmp_path)
        until(lambda: said[-1:] == [b"online"])
        sink._publish._client.socket().shutdown(socket.SHUT_RDWR)  # as the end of a process: without a farewell
        until(lambda: b"offline" in said)
        until(lambda: said[-1] == b"online")  # the same process is there again
        sink.close()


def test_the_command_announces_all_of_its_switches(tmp_path, clip, plan_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not app.registered_commands:
        _register()
    with broker(tmp_path) as port, subscriber(port, "homeassistant/#") as found:
        words = ["stream", f"cam={clip}", "--plan", str(plan_path), "--conf", "-100", "--sink",
                 f"mqtt://127.0.0.1:{port}/tal", "--sink-options", "layout=home", "--quiet"]  # fmt: skip
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        until(lambda: len(found) == 3)
    assert {(c["device"]["name"], c["name"]) for c in map(json.loads, found)} == {
        ("cam", "jump"), ("cam", "run"), ("cam", "sit")
    }  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), [
    ("layout", "house", "layout is 'house', must be 'topic' or 'home'"),
    ("discovery", "a/#", "discovery is 'a/#', must be a topic"),
    ("off_after", 0.0, "off_after is 0.0, must be positive"),
    ("off_after", float("nan"), "off_after is nan"),
])  # fmt: skip
def test_options_that_make_no_sense(name, value, message):
    with pytest.raises(UsageError, match=message):
        SinkOptions(**{name: value})
