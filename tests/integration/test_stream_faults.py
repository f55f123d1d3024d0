"""``tal stream`` as an operator has it when things go wrong: full disks, readers and receivers that hang, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.makers import moving_square, write_mp4
from tests.unit.outputs.test_receivers import dead, server, status
from tests.waiting import LONG_S, stays, until

FINALS = ("--conf", "-100", "--window", "3.2", "--step", "0.32", "--look-ahead", "0.96", "--stream-options", "gap=0.32")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Ten seconds, in which the test plan finds dozens of actions."""
    return write_mp4(tmp_path_factory.mktemp("clip") / "c.mp4", moving_square(250, 48, 64))


@pytest.fixture
def command(clip, plan_path):
    program = [sys.executable, "-c", "from tal_engine.cli.main import run; run()", "stream", f"c={clip}"]

    def build(*more):
        return [*program, "--plan", str(plan_path), *FINALS, *map(str, more)]

    return build


@pytest.fixture
def wanted(command):
    return [e["id"] for e in events(run(command()).stdout)]


def run(command, **options):
    return subprocess.run(
        command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}, check=False
    )


def events(text):
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def running(command, **options):
    child = subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options})
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def limited(size):
    """No file of the process may get larger: like a full disk, for root as well."""

    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


@pytest.mark.parametrize("full", [True, False])
def test_stderr_that_nobody_takes_ends_nothing(command, wanted, full):
    """A full disk under the log, or a reader of it that is gone."""
    if full:
        with Path("/dev/full").open("w") as stderr:
            done = run(command("gone=/nowhere.mp4"), stderr=stderr)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        done = run(command("gone=/nowhere.mp4"), stderr=writer)
        os.close(writer)
    assert done.returncode == 5
    assert [e["id"] for e in events(done.stdout)] == wanted


def test_a_reader_that_does_not_read_keeps_nothing_from_ending(command):
    reader, writer = os.pipe()
    with running(command("--provisional", "--realtime", "--conf", "-1000"), stdout=writer) as child:
        os.close(writer)
        until(lambda: not _has_room(reader))
        child.terminate()
        assert child.wait(LONG_S) == 143
    os.close(reader)


def _has_room(reader):
    import fcntl
    import termios

    waiting = int.from_bytes(fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4), sys.byteorder)
    return waiting < 50_000


def test_a_sink_on_a_full_disk_is_told_by_the_exit_status(command, wanted, tmp_path):
    report = tmp_path / "report.json"
    done = run(command("--sink", f"jsonl:{tmp_path / 'e.jsonl'}", "--report", report), preexec_fn=limited(2000))
    assert done.returncode == 1
    assert [e["id"] for e in events(done.stdout)] == wanted
    written = events((tmp_path / "e.jsonl").read_text())
    assert [e["id"] for e in written] == wanted[: len(written)]
    assert f"{len(wanted) - len(written)} events or pictures could not be taken" in done.stderr
    assert json.loads(report.read_text())["streams"]["c"]["finals"] == len(wanted)


def test_what_a_full_disk_did_not_take_is_told_again_by_the_next_start(command, wanted, tmp_path):
    """The state does not go past finals that a sink lacks; those that it has are not written again."""
    options = ("--sink", f"jsonl:{tmp_path / 'e.jsonl'}", "--state", tmp_path / "state")
    with running(command(*options, "--realtime"), preexec_fn=limited(30_000)) as child:  # a state has 20 kB
        for _ in range(100):
            child.stdout.readline()
        child.kill()
    # A record that the kill tore while it was taken back is cut off by the next start.
    assert len(events((tmp_path / "e.jsonl").read_text().rpartition("\n")[0])) < 80
    assert list((tmp_path / "state").iterdir())
    assert run(command(*options)).returncode == 0
    assert [e["id"] for e in events((tmp_path / "e.jsonl").read_text())] == wanted


@pytest.mark.parametrize("size", [0, 3000])
def test_a_video_on_a_full_disk_ends_no_stream(command, wanted, tmp_path, size):
    pytest.importorskip("cv2")
    video = tmp_path / "v.mp4"
    options = ("--save-video", video, "--clips", tmp_path / "clips", "--report", tmp_path / "r.json")
    done = run(command(*options), preexec_fn=limited(size))
    assert done.returncode == 1
    assert [e["id"] for e in events(done.stdout)] == wanted
    assert f"{video}: cannot be written (File too large)" in done.stderr
    assert f"{len(wanted)} finals" in done.stderr
    assert (tmp_path / "r.json").exists() == (size > 0)
    assert (f"{tmp_path / 'r.json'}: the report cannot be written (File too large)" in done.stderr) == (size == 0)


def test_what_cannot_be_written_is_told_at_the_start(command, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("--state", "--report"):
        done = run(command(option, tmp_path / "file" / "x"))
        assert (done.returncode, done.stdout) == (2, "")
        assert "file" in done.stderr
    done = run(command("--sink", f"csv:{tmp_path / 'a'}", "--sink", f"csv:{tmp_path / 'a'}"))
    assert done.returncode == 2
    assert "is given 2 times, must be once" in done.stderr


def test_the_second_signal_ends_at_once_and_loses_nothing(command, wanted, tmp_path):
    """The receiver hangs, so that the first signal waits for it: all that was told is a dead letter then."""

    over = threading.Event()
    patient = "from tal_engine.outputs.sinks.delivery import DeliveryOptions as D"
    patient += "; D.__init__.__kwdefaults__['drain_s'] = 999"
    with server(lambda *_: over.wait()) as (url, seen):
        sinks = ("--sink", f"webhook:{url}", "--sink", f"webhook:{url}2", "--sink-options", f"dead_letters={tmp_path}")
        program, c, code, *arguments = command(*sinks)
        with running([program, c, f"{patient}; {code}", *arguments]) as child:
            until(lambda: seen)
            for _ in wanted:  # when all are told the file has ended: it drains
                child.stdout.readline()
            child.send_signal(signal.SIGTERM)
            assert stays(lambda: child.poll() is None), "it waits for the receiver"
            child.send_signal(signal.SIGTERM)
            assert child.wait(LONG_S) == 143
        over.set()
    for path in tmp_path.iterdir():
        assert {d["event"]["id"] for d in dead(path)} == set(wanted)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("layout", ["topic", "home"])
def test_a_broker_that_is_not_there_is_told_by_the_exit_status(command, wanted, tmp_path, layout):
    pytest.importorskip("paho.mqtt.client", reason="needs [mqtt]")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        sink = f"mqtt://127.0.0.1:{nobody.getsockname()[1]}/tal"
        program, c, code, *arguments = command(
            "--sink", sink, "--sink-options", f"dead_letters={tmp_path}", "--sink-options", f"layout={layout}"
        )
        hasty = "from tal_engine.outputs.sinks.delivery import DeliveryOptions as D"
        done = run([program, c, f"{hasty}; D.__init__.__kwdefaults__['drain_s'] = 0.1; {code}", *arguments])
    assert done.returncode == 1, done.stderr
    assert [e["id"] for e in events(done.stdout)] == wanted
    (letters,) = tmp_path.iterdir()
    assert f"{len(wanted)} events were not delivered, dead letters: {letters}" in done.stderr.replace("\n", "")
    assert {d["event"]["id"] for d in dead(letters)} == set(wanted)


def test_killed_while_the_receiver_is_away(command, wanted, tmp_path):
    """What was final was kept with the stream's state: the next start sends it, in order, and each event once."""
    with server(status(503)) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        options = ("--sink", f"webhook:{url}", "--sink-options", f"dead_letters={tmp_path / 'dead'}",
                   "--state", tmp_path / "state")  # fmt: skip
        with running(command(*options, "--realtime")) as child:
            told = [json.loads(child.stdout.readline())["id"] for _ in range(len(wanted) // 2)]
            child.kill()
    assert told == wanted[: len(told)]
    with server(status(200), port=port) as (_, seen):
        done = run(command(*options))
        assert done.returncode == 0, done.stderr
    assert [json.loads(body)["id"] for _, body in seen] == wanted
    assert not (tmp_path / "dead").exists()
    assert list((tmp_path / "state").iterdir()) == []
