"""Events that wait for a receiver are kept in a file: crashes, restarts, full disks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tal_engine.errors import SinkError
from tal_engine.events import Event
from tal_engine.outputs.sinks import outbox
from tal_engine.outputs.sinks.append_log import AppendedFile
from tal_engine.outputs.sinks.delivery import Delivery, DeliveryOptions, PermanentError, RetryableError
from tal_engine.outputs.sinks.outbox import Pending
from tal_engine.outputs.sinks.registry import SinkOptions, open_sink
from tests.events import final
from tests.unit.outputs.test_receivers import SHORT, Scripted, dead, server, status, until

ROOT = Path(__file__).parents[3]
IDLE = DeliveryOptions(first_wait_s=30, longest_wait_s=30, drain_s=0.05)


def ids(events):
    return [e.id for e in events]


def some(count, first=0):
    return [final(f"e{k}", k, k + 1) for k in range(first, first + count)]


def test_what_waits_is_there_again(tmp_path):
    path = tmp_path / "p.jsonl"
    first = Pending(path)
    for e in some(5):
        first.add(e)
    first.done(final("e1", 1, 2))
    assert Pending(path).events == [e for e in some(5) if e.id != "e1"], "as after a crash: nothing was closed"
    for e in some(5):
        first.done(e)
    assert path.stat().st_size == 0
    first.close()
    assert not path.exists()


def test_the_file_stays_short(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "_LONG_BYTES", 5000)
    path = tmp_path / "p.jsonl"
    pending = Pending(path)
    for e in some(3):
        pending.add(e)
    for k in range(500):
        pending.add(final(f"e{k + 3}", k, k + 1))
        pending.done(final(f"e{k}", k, k + 1))
        assert path.stat().st_size < 6000
    assert ids(Pending(path).events) == ["e500", "e501", "e502"]


@pytest.mark.parametrize("found", ["hello\n", '{"a": 1}\n', '{"event": {"id": 3}, "schema": "tal.pending/1"}\n'])
def test_another_file_is_left_alone(found, tmp_path):
    (tmp_path / "p").write_text(found)
    with pytest.raises(SinkError, match="something else than events that wait"):
        Delivery("test", Scripted(), tmp_path / "dead", pending=tmp_path / "p")
    assert (tmp_path / "p").read_text() == found


CRASH = """
import os, sys, time
from tal_engine.outputs.sinks.registry import open_sink, SinkOptions
from tests.events import final
from pathlib import Path
sink = open_sink(sys.argv[1], SinkOptions(dead_letters=sys.argv[2]), Path(sys.argv[3]))
for k in range(20):
    sink.write(final(f"e{k}", k, k + 1))
os._exit(9)
"""


def test_a_crash_loses_nothing_that_waits(tmp_path):
    """The receiver is away when the process dies, and takes all when the next one starts."""
    busy = threading.Event()
    busy.set()

    def answer(handler, number):
        status(503 if busy.is_set() else 200)(handler, number)

    with server(answer) as (url, seen):
        command = [sys.executable, "-c", CRASH, f"webhook:{url}", tmp_path / "dead", tmp_path / "state"]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 9
        busy.clear()
        seen.clear()
        options = SinkOptions(dead_letters=str(tmp_path / "dead"))
        with open_sink(f"webhook:{url}", options, tmp_path / "state") as sink:
            sink.write(final("e19", 19, 20))  # a stream that goes on from its state tells it again
            sink.write(final("new", 20, 21))
        assert [Event.from_json(body).id for _, body in seen] == [f"e{k}" for k in range(20)] + ["new"]
    assert not (tmp_path / "dead").exists()
    assert list((tmp_path / "state").iterdir()) == []


def test_what_was_delivered_is_not_sent_again(tmp_path):
    send = Scripted()
    sink = Delivery("test", send, tmp_path / "dead", SHORT, pending=tmp_path / "p")
    for e in some(3):
        sink.write(e)
    until(lambda: sink.counts["delivered"] == 3)
    assert (tmp_path / "p").read_text() == ""
    sink.close()
    again = Scripted()
    Delivery("test", again, tmp_path / "dead", SHORT, pending=tmp_path / "p").close()
    assert again.got == []


def test_an_end_without_time_keeps_it_for_the_next_start(tmp_path, caplog):
    sink = Delivery("test", Scripted(*[RetryableError("away")] * 9), tmp_path / "dead", IDLE, pending=tmp_path / "p")
    for e in some(4):
        sink.write(e)
    sink.close()
    assert sink.counts["kept"] == 4
    assert "4 events were not delivered; the next start sends them" in caplog.text
    assert not (tmp_path / "dead").exists()
    send = Scripted()
    Delivery("test", send, tmp_path / "dead", SHORT, pending=tmp_path / "p").close()
    assert send.got == ids(some(4))
    assert not (tmp_path / "p").exists()


def test_what_is_refused_or_too_much_is_a_dead_letter_and_waits_no_more(tmp_path):
    send = Scripted(PermanentError("no"))
    send.hold.clear()
    options = DeliveryOptions(queue_size=2, drain_s=5)
    sink = Delivery("test", send, tmp_path / "dead", options, pending=tmp_path / "p")
    sink.write(final("e0"))
    until(lambda: sink._current is not None)
    for e in some(4, 1):
        sink.write(e)
    assert ids(Pending(tmp_path / "p").events) == ["e0", "e1", "e2"]
    send.hold.set()
    sink.close()
    assert send.got == ["e1", "e2"]
    assert [d["event"]["id"] for d in dead(tmp_path / "dead")] == ["e3", "e4", "e0"]
    assert not (tmp_path / "p").exists()


def test_a_dead_letter_that_cannot_be_written_waits_on(tmp_path):
    (tmp_path / "file").write_text("")
    sink = Delivery("test", Scripted(PermanentError("no")), tmp_path / "file" / "dead", SHORT, pending=tmp_path / "p")
    sink.write(final("e0"))
    sink.close()
    assert ids(Pending(tmp_path / "p").events) == ["e0"]


def test_a_full_disk_holds_up_no_delivery(tmp_path, monkeypatch, caplog):
    def full(self, record):
        raise SinkError(f"{self.path}: cannot be written (No space left on device)")

    send = Scripted()
    sink = Delivery("test", send, tmp_path / "dead", SHORT, pending=tmp_path / "p")
    monkeypatch.setattr(AppendedFile, "append", full)
    for e in some(3):
        sink.write(e)
    sink.close()
    assert send.got == ids(some(3))
    assert caplog.text.count("would be lost in a crash") == 1


def test_hurry_waits_for_nothing_and_loses_nothing(tmp_path):
    sink = Delivery("test", Scripted(*[RetryableError("away")] * 9), tmp_path / "dead", DeliveryOptions(drain_s=60))
    for e in some(3):
        sink.write(e)
    sink.hurry()
    sink.close()
    assert [d["event"]["id"] for d in dead(tmp_path / "dead")] == ids(some(3))


def test_a_signal_while_it_drains_loses_nothing(tmp_path, monkeypatch):
    sink = Delivery("test", Scripted(*[RetryableError("away")] * 9), tmp_path / "dead", DeliveryOptions(drain_s=60))
    for e in some(3):
        sink.write(e)
    until(lambda: sink.counts["retried"])

    waits = sink._state.wait_for

    def interrupted(*what):
        if threading.current_thread() is threading.main_thread():
            raise SystemExit(143)
        return waits(*what)

    monkeypatch.setattr(sink._state, "wait_for", interrupted)
    with pytest.raises(SystemExit):
        sink.close()
    assert [d["event"]["id"] for d in dead(tmp_path / "dead")] == ids(some(3))


def test_dead_letters_can_be_sent_again(tmp_path):
    """As ``jq -c .event FILE`` has it: each holds the event whole."""
    with Delivery("test", Scripted(PermanentError("no")), tmp_path / "dead", SHORT) as sink:
        sink.write(final("e0"))
    (letter,) = (json.loads(line) for line in (tmp_path / "dead").read_text().splitlines())
    assert Event.from_dict(letter["event"]) == final("e0")
