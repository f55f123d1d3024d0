"""Files of a live stream: crashes, full disks, rotation; several sinks as one; sinks by name."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tal_engine.errors import SinkError, UsageError
from tal_engine.events import Event
from tal_engine.outputs.sinks.append_log import Recent
from tal_engine.outputs.sinks.registry import SCHEMES, SinkOptions, open_sink
from tal_engine.outputs.sinks.rotating import RotatingJsonLines
from tal_engine.outputs.sinks.sink import Closing, Fan, JsonLines
from tal_engine.outputs.writers.csv_table import EventTable
from tests.events import event, final, provisional
from tests.waiting import LONG_S, stays

ROOT = Path(__file__).parents[3]


def read(path):
    return [Event.from_json(line) for line in path.read_text().splitlines()]


def test_json_lines_are_flushed_each(capsys):
    stream = io.TextIOWrapper(raw := io.BytesIO(), write_through=False)
    sink = JsonLines(stream)
    for k in range(3):
        sink.write(final(f"e{k}"))
        assert len(raw.getvalue().splitlines()) == k + 1
    sink.close()
    stream.write("still open")


def test_json_lines_on_a_full_disk():
    full = Path("/dev/full").open("w")  # noqa: SIM115 (it is closed below, which writes nothing more)
    with pytest.raises(SinkError, match=r"/dev/full: cannot be written \(No space"):
        JsonLines(full).write(final("a"))
    full.close()


TORN = """
import resource, sys
from tal_engine.errors import SinkError
from tal_engine.outputs.sinks.sink import Fan, JsonLines
from tests.events import final
sink = Fan([JsonLines(sys.stdout)])
for k in range(60):
    limit = 3001 if k < 40 else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    sink.write(final(f"event-{k}", k, k + 0.5))
sink.close()
print(dict(sink.failures), sink.none_left, file=sys.stderr)
"""


def test_stdout_is_whole_when_its_disk_was_full_for_a_while(tmp_path):
    """The kernel writes half a line then; its other half comes first when there is room again, and nothing twice."""
    path = tmp_path / "o.jsonl"
    with path.open("wb") as out:
        done = subprocess.run([sys.executable, "-c", TORN], stdout=out, stderr=subprocess.PIPE, cwd=ROOT, check=True)
    assert read(path) == [final(f"event-{k}", k, k + 0.5) for k in range(60)]
    assert done.stderr.splitlines()[-1] == b"{} False"


def test_nobody_reads_and_the_stream_is_to_end():
    """A pipe that is full blocks; told to stop, it is waited for a little and then no more."""
    stopping = threading.Event()
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "w") as stream:  # noqa: PTH123 (numbers, not paths)
        sink, taken = JsonLines(stream, stopping.is_set), []

        def write():
            for k in range(10_000):
                sink.write(final(f"e{k}"))
                taken.append(k)

        def fail():
            for attempt in (write, lambda: sink.write(final("last"))):
                with pytest.raises(SinkError, match="nobody reads"):
                    attempt()

        thread = threading.Thread(target=fail, daemon=True)
        thread.start()
        assert stays(thread.is_alive, 1.0), "what is only slow is waited for"
        stopping.set()
        thread.join(LONG_S)
        assert not thread.is_alive()
        stream.close()
        assert [e.id for e in map(Event.from_json, pipe.read().splitlines())] == [f"e{k}" for k in taken]


def test_stdout_that_was_closed():
    with pytest.raises(SinkError, match="stdout: cannot be written"):
        JsonLines(None).write(final("a"))


class Broken(Closing):
    def __init__(self, error):
        self.error = error
        self.closed = False

    def write(self, event):
        raise self.error

    def close(self):
        self.closed = True
        raise self.error


def test_fan_goes_on_when_one_fails(tmp_path, caplog):
    broken, other = Broken(SinkError("disk gone")), Broken(RuntimeError("a bug"))
    path = tmp_path / "e.jsonl"
    with caplog.at_level(logging.ERROR), Fan([broken, RotatingJsonLines(path), other]) as fan:
        for k in range(5):
            fan.write(final(f"e{k}"))
    assert [e.id for e in read(path)] == [f"e{k}" for k in range(5)]
    assert fan.failures == {"Broken[0]": 6, "Broken[2]": 6}
    assert broken.closed
    assert other.closed
    assert len(caplog.records) == 2
    assert "disk gone" in caplog.text


class Full(Closing):
    """A disk that is full at times."""

    def __init__(self):
        self.full, self.got = False, []

    def write(self, event):
        if self.full:
            raise SinkError("disk full")
        self.got.append(event.id)

    def close(self):
        pass


def test_fan_tries_finals_again():
    """In order, before the next one and at the end; what is provisional is told anew anyway."""
    disk, other = Full(), Full()
    fan = Fan([disk, other])
    for k in range(6):
        disk.full = 1 <= k <= 3
        fan.write(final(f"e{k}"))
        if k == 2:
            fan.write(provisional("p"))
    assert disk.got == [f"e{k}" for k in range(6)]
    assert other.got == ["e0", "e1", "e2", "p", "e3", "e4", "e5"]
    assert fan.failures == {"Full[0]": 1}
    disk.full = True
    fan.write(final("e6"))
    assert not fan.none_left
    other.full = True
    fan.write(final("e7"))
    assert fan.none_left
    other.full = False
    fan.close()
    assert other.got[-1] == "e7"
    assert fan.failures == {"Full[0]": 3}, "e6 and e7 besides"


def test_what_a_fan_owes_is_bounded():
    disk = Full()
    disk.full, fan = True, Fan([disk])
    for k in range(1500):
        fan.write(final(f"e{k}"))
    assert fan.failures == {"Full[0]": 500}
    disk.full = False
    fan.close()
    assert disk.got == [f"e{k}" for k in range(1000)]
    assert fan.failures == {"Full[0]": 500}


def test_a_signal_while_a_fan_closes_hurries_the_rest():
    class Patient(Closing):
        hurried = closed = False

        def write(self, event):
            pass

        def hurry(self):
            self.hurried = True

        def close(self):
            self.closed = True

    class Interrupted(Patient):
        def close(self):
            raise SystemExit(143)

    rest = Patient()
    with pytest.raises(SystemExit):
        Fan([Interrupted(), rest]).close()
    assert rest.hurried
    assert rest.closed


def test_fan_shows_pictures_to_those_that_want_them():
    class Watcher(Broken):
        def write(self, event):
            pass

        def push(self, image, seconds):
            seen.append(seconds)
            if seconds == 1.0:
                raise self.error

    seen = []
    plain = JsonLines(io.StringIO())
    assert not Fan([plain]).takes_frames
    fan = Fan([plain, Watcher(SinkError("full")), Watcher(SinkError("full"))])
    assert fan.takes_frames
    for k in range(3):
        fan.push(None, float(k))
    assert seen == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    assert fan.failures == {"Watcher[1]": 1, "Watcher[2]": 1}


def test_rotating_by_size(tmp_path):
    path = tmp_path / "e.jsonl"
    events = [final(f"event-{k}", k, k + 1) for k in range(50)]
    line = len(events[10].to_json()) + 1
    with RotatingJsonLines(path, max_bytes=5 * line) as sink:
        for e in events:
            sink.write(e)
        files = [*sink.aside(), path]
    assert [p.name for p in files[:2]] == ["e.000001.jsonl", "e.000002.jsonl"]
    assert len(files) >= 10
    assert all(p.stat().st_size <= 5 * line for p in files)
    assert [e for p in files for e in read(p)] == events


def test_rotating_by_time_and_keep(tmp_path):
    path, now = tmp_path / "e.jsonl", [300 * 3600.0]
    with RotatingJsonLines(path, every_s=3600, keep=2, clock=lambda: now[0]) as sink:
        for k in range(12):
            sink.write(final(f"e{k}"))
            now[0] += 1800
        names = [p.name for p in sink.aside()]
    assert names == ["e.000004.jsonl", "e.000005.jsonl"]
    assert [len(read(tmp_path / n)) for n in names] == [2, 2]


def test_rotation_that_fails_loses_no_line(tmp_path, monkeypatch, caplog):
    path = tmp_path / "e.jsonl"

    def refused(self, target):
        raise PermissionError(13, "Permission denied")

    with RotatingJsonLines(path, max_bytes=500) as sink:
        with monkeypatch.context() as m:
            m.setattr(Path, "rename", refused)
            for k in range(5):
                sink.write(final(f"e{k}"))
        assert [e.id for e in read(path)] == [f"e{k}" for k in range(5)]
        assert len(caplog.records) == 1
        sink.write(final("e5"))
        assert [len(read(p)) for p in [*sink.aside(), path]] == [5, 1]


def test_a_file_of_yesterday_is_put_aside_after_a_restart(tmp_path):
    path = tmp_path / "e.jsonl"
    with RotatingJsonLines(path, every_s=86400) as sink:
        sink.write(final("a"))
    os.utime(path, (1e9, 1e9))  # September 2001
    with RotatingJsonLines(path, every_s=86400) as sink:
        sink.write(final("b"))
        assert [e.id for p in [*sink.aside(), path] for e in read(p)] == ["a", "b"]
        assert len(sink.aside()) == 1


def test_finals_are_not_written_twice_not_even_after_rotation_and_restart(tmp_path):
    path = tmp_path / "e.jsonl"
    events = [final(f"event-{k}", k, k + 1) for k in range(20)]
    for _ in range(3):
        with RotatingJsonLines(path, max_bytes=1000, fsync=True) as sink:
            for e in events:
                sink.write(e)
                sink.write(e)
            files = [*sink.aside(), path]
        assert [e for p in files for e in read(p)] == events


def test_provisional_events_are_all_written(tmp_path):
    path = tmp_path / "e.jsonl"
    told = [provisional("a"), event(id="a", kind="updated"), final("a"), final("a")]
    with RotatingJsonLines(path) as sink:
        for e in told:
            sink.write(e)
    assert read(path) == told[:3]


def test_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "e.jsonl"
    events = [final(f"event-{k}") for k in range(3)]
    with RotatingJsonLines(path) as sink:
        for e in events:
            sink.write(e)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with RotatingJsonLines(path) as sink:
            assert path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1]
            for e in events:
                sink.write(e)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "found", [b"a,b\n1,2\n", b"\x00\x00\x00 ftypisom", b'{"source": "v", "schema": "tal.segment/1"}\n', b"[1]\n{",
              b'{"id": 3, "schema": "tal.event/2"}\n', b"{" + b"x" * 70_000]
)  # fmt: skip
def test_another_file_is_left_alone(found, tmp_path):
    path = tmp_path / "precious.jsonl"
    path.write_bytes(found)
    with pytest.raises(SinkError, match=r"precious\.jsonl: holds something else than events"):
        RotatingJsonLines(path)
    assert path.read_bytes() == found


def test_arguments(tmp_path):
    for name, value in (("max_bytes", -1), ("every_s", float("nan")), ("keep", -1)):
        with pytest.raises(UsageError, match=name):
            RotatingJsonLines(tmp_path / "e.jsonl", **{name: value})
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"file/e\.jsonl: cannot be written"):
        RotatingJsonLines(tmp_path / "file" / "e.jsonl")
    with pytest.raises(SinkError, match="Is a directory"):
        RotatingJsonLines(tmp_path)


FULL = """
import resource, sys
from tal_engine.errors import SinkError
from tal_engine.outputs.sinks.registry import open_sink
from tests.events import final
sink = open_sink(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for k in range(200):
    try:
        sink.write(final(f"event-{k}", k, k + 0.5))
    except SinkError as e:
        print(k, e)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for k in range(200):
    sink.write(final(f"event-{k}", k, k + 0.5))
"""


@pytest.mark.parametrize("kind", ["jsonl", "csv", "srt", "vtt"])
def test_full_disk_names_the_file_and_keeps_lines_whole(kind, tmp_path):
    """The limit on the file's size makes the kernel write half a record, as a full disk does."""
    path = tmp_path / f"out.{kind}"
    limit = 3001
    done = subprocess.run(
        [sys.executable, "-c", FULL, f"{kind}:{path}", str(limit)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert f"{path}: cannot be written (File too large)" in done.stdout
    first = int(done.stdout.split()[0])
    assert 3 < first < 190
    content = path.read_text()
    fresh = tmp_path / "fresh"
    with open_sink(f"{kind}:{fresh}") as sink:
        for k in range(200):
            sink.write(final(f"event-{k}", k, k + 0.5))
    assert content == fresh.read_text()  # nothing torn, nothing twice, nothing left out


KILLED = """
import sys
from tal_engine.outputs.sinks.registry import open_sink
from tests.events import final
sink = open_sink(sys.argv[1])
for k in range(10**9):
    sink.write(final(f"event-{k}", k, k + 0.5))
    sys.stdout.write(f"{k}\\n"); sys.stdout.flush()
"""


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "vtt"])
def test_killed_while_it_writes(kind, kill, tmp_path):
    path = tmp_path / f"out.{kind}"
    with subprocess.Popen([sys.executable, "-c", KILLED, f"{kind}:{path}"], stdout=subprocess.PIPE, cwd=ROOT) as child:
        for _ in range(300):
            child.stdout.readline()
        child.send_signal(kill)
        said = 300 + len(child.stdout.read().splitlines())
    with open_sink(f"{kind}:{path}") as sink:  # takes it for its own: nothing in it is torn
        before = path.read_bytes()
        for k in range(said):
            sink.write(final(f"event-{k}", k, k + 0.5))
        assert path.read_bytes() == before  # all that was said to be written was there


def test_event_table(tmp_path):
    path = tmp_path / "e.csv"
    odd = final("b", 3.0, 4.0, label='sit, "then"\nstand', source="cam,1")
    for _ in range(2):
        with EventTable(path) as sink:
            for e in (provisional("a"), final("a"), odd, final("a")):
                sink.write(e)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["video", "label", "start", "end", "score"],
        ["cam", "run", "1.000000", "2.500000", "0.750000"],
        ["cam,1", 'sit, "then" stand', "3.000000", "4.000000", "0.750000"],
    ]
    foreign = tmp_path / "other.csv"
    foreign.write_text("a,b\n1,2\n")
    with pytest.raises(SinkError, match="holds something else than rows of video,label"):
        EventTable(foreign)


def test_memory_is_bounded():
    recent = Recent(100)
    for k in range(10_000):
        recent.add(k)
        recent.add(k - 1)
    assert len(recent) == 100
    assert 9_999 in recent
    assert 9_000 not in recent


def test_sinks_by_name(tmp_path, capsys):
    for kind in ("jsonl", "csv", "srt", "vtt"):
        with open_sink(f"{kind}:{tmp_path / kind}") as sink:
            sink.write(final("a"))
        assert "run" in (tmp_path / kind).read_text()
    sink = open_sink("jsonl:-")
    sink.write(final("a"))
    assert json.loads(capsys.readouterr().out)["id"] == "a"


@pytest.mark.parametrize("text", ["", "webhok:http://a", "events.jsonl", "http://a/b", "JSONL:x"])
def test_unknown_sinks(text):
    with pytest.raises(UsageError, match="unknown sink") as e:
        open_sink(text)
    assert all(f"{s}:" in str(e.value) for s in SCHEMES)


def test_errors_show_no_password(tmp_path):
    for text in ("http://me:secret@a/b", "webhook:ftp://me:secret@a/b", "mqtt://me:secret@a", "kafka://me:secret@a/b",
                 "webhook:http://me:secret/x@a/b", "mqtt://me:secret/x@a/b", "webhook:me:secret@a/b"):  # fmt: skip
        with pytest.raises(UsageError, match=r"\*\*\*@a") as e:
            open_sink(text, SinkOptions(dead_letters=str(tmp_path)))
        assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    "text", ["jsonl:", "csv:", "webhook:", "webhook:ftp://a/b", "webhook:http://", "webhook:http://a:b/", "mqtt://host",
             "mqtt://host/", "mqtt://host/a/%23", "mqtt://host:0/a", "kafka://host:9092", "kafka:///topic",
             "kafka://u:p@host/topic", "kafka://host/a/b"]
)  # fmt: skip
def test_sinks_that_cannot_be(text, tmp_path):
    with pytest.raises(UsageError):
        open_sink(text, SinkOptions(dead_letters=str(tmp_path)))
    assert not list(tmp_path.iterdir())
