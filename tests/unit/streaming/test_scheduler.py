"""Many streams at once: what each says does not depend on its neighbours, whatever happens to them."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.errors import PlanError, SnapshotError, SourceError, UsageError, VideoError, VideoFault
from tal_engine.live.connection import Connection
from tal_engine.live.live_source import LiveSource
from tal_engine.options import LiveOptions, StreamOptions
from tal_engine.records import Features
from tal_engine.streaming import StreamingLocalizer, StreamScheduler, snapshot
from tal_engine.streaming.snapshot import file_of
from tal_engine.video import open_video
from tal_engine.video.source import Frame, VideoSource
from tests.makers import moving_square, write_mp4
from tests.waiting import LONG_S, the_rest, until, within

#: Short enough that clips of seconds see many windows.
OPTIONS = StreamOptions(window=3.2, step=0.32, look_ahead=0.96, gap=0.32)
ALL = float("-inf")


@pytest.fixture(scope="module")
def engine(plan_path):
    return TALEngine.load(plan_path, "cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three clips of different length and size."""
    folder = tmp_path_factory.mktemp("clips")
    sizes = {"a": (260, 64, 96), "b": (150, 48, 64), "c": (333, 96, 64)}
    return {name: write_mp4(folder / f"{name}.mp4", moving_square(*size)) for name, size in sizes.items()}


def alone(engine, name, path, options=OPTIONS):
    """Finals of one stream on an engine of its own."""
    localizer = engine.open_stream(name, options, min_score=ALL)
    told = []
    with open_video(path) as video:
        for frame in video.frames:
            told += localizer.push(frame.image, frame.pts_seconds)
            end = frame.pts_seconds + video.frame_seconds
    return told + localizer.flush(end)


def key(event):
    return event.id, event.label, round(event.start, 6), round(event.end, 6), round(event.score, 4)


def named(clips):
    return [f"{name}={path}" for name, path in clips.items()]


@pytest.mark.parametrize("batch", [1, 5, 16])
def test_streams_say_together_what_they_say_alone(engine, clips, batch):
    scheduler = StreamScheduler(engine, named(clips), OPTIONS, min_score=ALL, batch=batch)
    told = list(scheduler.run())
    for name, path in clips.items():
        mine = [key(e) for e in told if e.source == name]
        assert mine == [key(e) for e in alone(engine, name, path)]
        assert mine
    assert all(s.done and s.error is None and s.state.finalizer.late_events == 0 for s in scheduler.streams)
    assert {s.name: s.frames for s in scheduler.streams} == {"a": 260, "b": 150, "c": 333}
    assert set(scheduler.watch.seconds) == {"frames", "encode", "head", "nms"}


def test_the_engine_makes_both_kinds(engine, clips):
    assert isinstance(engine.open_stream("a"), StreamingLocalizer)
    scheduler = engine.watch(named(clips), OPTIONS, min_score=ALL)
    assert isinstance(scheduler, StreamScheduler)
    assert {e.source for e in scheduler.run()} == {"a", "b", "c"}


def test_snippets_of_several_streams_share_calls(engine, clips, monkeypatch):
    sizes = []
    whole = engine.encode_snippets
    monkeypatch.setattr(engine, "encode_snippets", lambda s: sizes.append(len(s.frames)) or whole(s))
    list(StreamScheduler(engine, named(clips), OPTIONS, batch=6).run())
    assert max(sizes) > 2
    assert max(sizes) <= 6


def test_the_head_runs_once_for_windows_of_one_length(engine):
    rng = np.random.default_rng(0)
    timeline = engine.open_stream().state.timing.timeline

    def features(length):
        return Features(
            {s: rng.normal(size=(length, d)).astype(np.float32) for s, d in engine.plan.manifest.streams.items()},
            timeline,
            float(timeline.right(length)),
        )

    many = [features(n) for n in (9, 4, 9, 9, 1)]
    for together, single in zip(engine.propose_many(many), map(engine.propose, many), strict=True):
        np.testing.assert_allclose(together.data["start"], single.data["start"])
        np.testing.assert_allclose(together.data["score"], single.data["score"], rtol=1e-4)
    assert engine.propose_many([]) == []


bad_frames = partial(VideoError, VideoFault.BAD_FRAMES)


def breaking(name, after, error=bad_frames):
    """A source whose picture number `after` cannot be made."""

    def image(i):
        if i == after:
            raise error(f"picture {i} is broken")
        return np.zeros((64, 96, 3), np.uint8)

    def connect():
        frames = (Frame(i / 25, lambda i=i: image(i)) for i in range(200))
        return Connection(VideoSource(name, frames, 25.0, 0.04), ends=True)

    return LiveSource(name, connect, LiveOptions())


@pytest.mark.parametrize("error", [bad_frames, RuntimeError])
def test_a_broken_stream_fails_alone(engine, clips, error):
    sources = [breaking("broken", 77, error), f"a={clips['a']}", "gone=/nowhere/at/all.mp4"]
    scheduler = StreamScheduler(engine, sources, OPTIONS, min_score=ALL)
    told = list(scheduler.run())
    by_name = {s.name: s for s in scheduler.streams}
    assert "picture 77 is broken" in str(by_name["broken"].error)
    assert any(e.source == "broken" and e.end > 2.5 for e in told), "what was open there is decided"
    assert isinstance(by_name["gone"].error, SourceError)
    assert by_name["broken"].error.exit_code == 5
    assert by_name["broken"].condition == "failed"
    assert by_name["a"].error is None
    assert [key(e) for e in told if e.source == "a"] == [key(e) for e in alone(engine, "a", clips["a"])]


def test_a_picture_that_breaks_at_the_end_fails_alone(engine, clips):
    """Told to stop, the pictures that are still needed are made: one of them cannot be."""
    over = threading.Event()

    def broken():
        raise RuntimeError("the last picture is broken")

    def connect():
        def frames():
            for i in range(100):
                yield Frame(i / 25, broken if i == 99 else lambda: np.zeros((64, 96, 3), np.uint8))
            over.wait(LONG_S)

        return Connection(VideoSource("x", frames(), 25.0, 0.04), ends=True)

    sources = [LiveSource("x", connect, LiveOptions()), f"a={clips['a']}"]
    scheduler = StreamScheduler(engine, sources, StreamOptions(window=60, look_ahead=60), min_score=ALL)
    while scheduler.streams[0].frames < 100 or scheduler.streams[1].frames < 50:
        scheduler._turn(scheduler.streams, stop=False)
    scheduler.stop()
    told = list(scheduler.run())
    over.set()
    assert "the last picture is broken" in str(scheduler.streams[0].error)
    assert {e.source for e in told} == {"a", "x"}


def spoiled(fault):
    """Fails, or gives no numbers, where a picture is white all over."""

    def encode(whole, snippets):
        white = (snippets.frames.reshape(len(snippets.frames), -1) == 255).all(1)
        if fault == "raises" and white.any():
            raise RuntimeError("out of memory")
        made = whole(snippets)
        return {n: np.where(white[:, None], np.nan, v) if fault == "nan" else v for n, v in made.items()}

    def propose(whole, features):
        if fault == "head" and any((v == v[0]).all() for f in features for v in list(f.streams.values()) if len(v) > 3):
            raise RuntimeError("out of memory")
        return whole(features)

    return encode, propose


@pytest.mark.parametrize("fault", ["raises", "nan", "head"])
def test_a_stream_on_which_a_model_fails_is_lost_alone(engine, clips, tmp_path, monkeypatch, fault, caplog):
    """The same pictures again and again: the head sees the same features."""

    def connect():
        frames = (Frame(i / 25, lambda: np.full((64, 96, 3), 255, np.uint8)) for i in range(200))
        return Connection(VideoSource("white", frames, 25.0, 0.04, duration=8.0), ends=True)

    encode, propose = spoiled(fault)
    wanted = {name: [key(e) for e in alone(engine, name, clips[name])] for name in "ab"}
    monkeypatch.setattr(engine, "encode_snippets", partial(encode, engine.encode_snippets))
    monkeypatch.setattr(engine, "propose_many", partial(propose, engine.propose_many))
    sources = [f"a={clips['a']}", LiveSource("white", connect, LiveOptions()), f"b={clips['b']}"]
    scheduler = StreamScheduler(engine, sources, OPTIONS, min_score=ALL, snapshots=tmp_path)
    kept = file_of(scheduler.streams[1].name, tmp_path)
    kept.write_text("as it was")
    told = list(scheduler.run())
    for name, finals in wanted.items():
        assert [key(e) for e in told if e.source == name] == finals
    white = scheduler.streams[1]
    assert str(white.error).startswith("white: a model failed on it: ")
    assert white.error.exit_code == 4
    assert white.condition == "failed"
    coverage = white.source.coverage
    assert {m.reason for m in coverage.missed} == {"failed"}
    assert coverage.missed[-1].end == pytest.approx(coverage.end) == pytest.approx(8.0, abs=0.1)
    assert coverage.missed[0].start < 8.0, "a file of 8 s whose model failed was not analysed to its end"
    assert kept.read_text() == "as it was", "a restart can still go on from there"
    assert len([r for r in caplog.records if "white" in r.getMessage()]) == 1


def test_a_stalled_stream_holds_up_no_other(engine, clips):
    stall = threading.Event()

    def connect():
        def frames():
            yield Frame(0.0, lambda: np.zeros((64, 96, 3), np.uint8))
            stall.wait(LONG_S)

        return Connection(VideoSource("stalled", frames(), 25.0, 0.04), ends=True)

    scheduler = StreamScheduler(
        engine, [LiveSource("stalled", connect, LiveOptions()), f"a={clips['a']}"], OPTIONS, min_score=ALL
    )
    told = []
    for event in scheduler.run():
        told.append(event)
        if scheduler.streams[1].done:
            stall.set()
    stall.set()
    assert [key(e) for e in told if e.source == "a"] == [key(e) for e in alone(engine, "a", clips["a"])]
    assert scheduler.streams[0].done


def test_stop_decides_what_is_open(engine, clips):
    scheduler = StreamScheduler(engine, named(clips), StreamOptions(window=60, look_ahead=60), min_score=ALL)
    timer = threading.Timer(0.2, scheduler.stop)
    timer.start()
    told = list(scheduler.run())
    assert all(s.done for s in scheduler.streams)
    assert all(e.is_final for e in told)


def test_a_restart_goes_on_where_it_was(engine, clips, tmp_path):
    """Stopped in the middle of files and started again: the finals are those of one run, by their ids."""
    whole = [key(e) for e in alone(engine, "c", clips["c"])]
    source, told = f"c={clips['c']}", []
    for _ in range(50):
        scheduler = StreamScheduler(engine, [source], OPTIONS, min_score=ALL, snapshots=tmp_path, batch=1)
        for event in scheduler.run():
            told.append(key(event))
            scheduler.stop()
        if scheduler.streams[0].done:
            break
    assert list(dict.fromkeys(told)) == whole
    assert list(tmp_path.iterdir()) == [], "a file that was read to the end begins anew"


class Live(LiveSource):
    """Frames that nobody can read twice."""

    is_live = True


def test_a_live_source_goes_on_by_the_wall_clock(engine, tmp_path, monkeypatch):
    """After a restart its clock begins at 0; the stream's goes on, and the time between is not seen."""

    def connect():
        frames = (Frame(i / 25, lambda: np.zeros((64, 96, 3), np.uint8)) for i in range(40))
        return Connection(VideoSource("cam", frames, 25.0, 0.04), ends=True)

    def run(at):
        monkeypatch.setattr(time, "time", lambda: at)
        source = Live("cam", connect, LiveOptions(), now=lambda: 0.0)
        scheduler = StreamScheduler(engine, [source], OPTIONS, min_score=ALL, snapshots=tmp_path)
        list(scheduler.run())
        return scheduler.streams[0]

    assert run(1000.0).shift == 0.0
    again = run(1005.0)
    assert again.shift == pytest.approx(5.0)
    assert again.state.newest is None, "the stream was ended in order"


def test_ids_of_a_camera_are_its_own_each_time(engine, clips, monkeypatch):
    """Its clock begins at 0 with each start, and its times lie on a grid: the same ids would be taken for repeats."""

    def run(kind, at):
        def connect():
            frames = (Frame(i / 25, lambda: np.zeros((64, 96, 3), np.uint8)) for i in range(100))
            return Connection(VideoSource("cam", frames, 25.0, 0.04), ends=True)

        monkeypatch.setattr(time, "time", lambda: at)
        source = kind("cam", connect, LiveOptions(), now=lambda: 0.0)
        return {e.id for e in StreamScheduler(engine, [source], OPTIONS, min_score=ALL).run()}

    first, second = run(Live, 1000.0), run(Live, 2000.0)
    assert first
    assert not first & second
    assert run(LiveSource, 1000.0) == run(LiveSource, 2000.0), "a file says the same each time"


def test_a_restart_keeps_open_what_is_open_until_a_frame_comes(engine, tmp_path):
    """A camera that takes its time to connect is not one that fell silent."""
    go_on = threading.Event()

    def camera(wait):
        def connect():
            if wait:
                go_on.wait(LONG_S)
            frames = (Frame(i / 25, lambda i=i: np.full((64, 96, 3), i % 200, np.uint8)) for i in range(100))
            return Connection(VideoSource("cam", frames, 25.0, 0.04), ends=True)

        return Live("cam", connect, LiveOptions())

    options = StreamOptions(window=60, look_ahead=60)
    scheduler = StreamScheduler(engine, [camera(False)], options, min_score=ALL, snapshots=tmp_path)
    member = scheduler.streams[0]
    while not member.ready:
        member.take(3)
    scheduler._encode([member])
    scheduler._save(urgent=True)
    again = StreamScheduler(engine, [camera(True)], options, min_score=ALL, snapshots=tmp_path)
    assert again.streams[0].state.newest is not None
    assert [again._turn(again.streams, stop=False) for _ in range(5)] == [[]] * 5
    assert again.streams[0].state.newest is not None, "it was cut before its first frame"
    go_on.set()
    list(again.run())


def test_a_silent_camera_does_not_keep_what_is_open(engine):
    """Beyond `max_still` its finals come, and do not wait for a frame that may never."""
    go_on = threading.Event()

    def connect():
        def frames():
            for i in (*range(75), *range(175, 250)):
                if i == 175:
                    go_on.wait(LONG_S)
                yield Frame(i / 25, lambda i=i: np.full((64, 96, 3), i % 200, np.uint8))

        return Connection(VideoSource("cam", frames(), 25.0, 0.04), ends=True)

    options = replace(OPTIONS, max_still=0.3)
    scheduler = StreamScheduler(engine, [Live("cam", connect, LiveOptions())], options, min_score=ALL)
    told, silent = [], 0
    for event in scheduler.run():
        told.append(event)
        if event.end > 2.9 and not go_on.is_set():
            silent += 1
            go_on.set()
    assert silent, "nothing of the end of the first part came before the second began"
    first, second = ([e for e in told if (e.start < 5) == early] for early in (True, False))
    assert max(e.end for e in first) == pytest.approx(3.0, abs=0.05)
    assert min(e.start for e in second) >= 7.0


def test_a_state_of_another_plan_or_option_is_refused(engine, clips, tmp_path):
    scheduler = StreamScheduler(engine, [f"a={clips['a']}"], OPTIONS, min_score=ALL, snapshots=tmp_path, batch=1)
    for _ in scheduler.run():
        scheduler.stop()
    other = StreamOptions(window=6.4, step=0.32, look_ahead=0.96, gap=0.32)
    with pytest.raises(SnapshotError, match=r"window is 3\.2"):
        StreamScheduler(engine, [f"a={clips['a']}"], other, min_score=ALL, snapshots=tmp_path)


def test_a_full_disk_ends_no_stream(engine, clips, tmp_path, monkeypatch, caplog):
    """The state is saved again when there is room; until then a restart resumes from what was last saved."""
    whole, calls = snapshot.save, []

    def save(path, state):
        calls.append(path)
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        whole(path, state)

    monkeypatch.setattr(snapshot, "save", save)
    scheduler = StreamScheduler(engine, [f"c={clips['c']}"], OPTIONS, min_score=ALL, batch=2, snapshots=tmp_path)
    told = [key(e) for e in scheduler.run()]
    assert told == [key(e) for e in alone(engine, "c", clips["c"])]
    assert len(calls) > 3
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 2
    assert "No space left on device" in said[0]
    assert "c-" in said[0]
    assert "saved again" in said[1]


def test_a_folder_that_cannot_be_written_is_told_at_once(engine, clips, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "in it"):
        with pytest.raises(UsageError, match=re.escape(str(folder))):
            StreamScheduler(engine, [f"a={clips['a']}"], snapshots=folder)


def test_bad_arguments_are_named(engine, clips, plan_path):
    with pytest.raises(UsageError, match="no source"):
        StreamScheduler(engine, [])
    with pytest.raises(UsageError, match="2 sources are called 'x'"):
        StreamScheduler(engine, [f"x={clips['a']}", f"x={clips['b']}"])
    with pytest.raises(UsageError, match="batch is 0"):
        StreamScheduler(engine, [str(clips["a"])], batch=0)


def test_a_plan_without_encoders_localizes_no_stream(tmp_path):
    from tests.makers import tiny_plan

    plan = tmp_path / "bare.plan"
    tiny_plan(plan, encoders=False)
    with pytest.raises(PlanError, match="no encoders"):
        StreamScheduler(TALEngine.load(plan, "cpu"), ["x.mp4"])


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LONG_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def test_metrics_and_probes(engine, clips):
    pytest.importorskip("prometheus_client")
    from tal_engine.streaming.metrics_server import STUCK_S, MetricsServer

    scheduler = StreamScheduler(engine, named(clips), OPTIONS, min_score=ALL)
    with MetricsServer(scheduler, 0) as server:
        told = list(scheduler.run())
        status, text = get(server.port, "/metrics")
        assert status == 200
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(values['tal_frames_total{source="a"}']) == 260
        finals = sum(float(v) for k, v in values.items() if k.startswith("tal_final_events_total"))
        assert finals == len(told)
        assert float(values['tal_late_events_total{source="b"}']) == 0
        assert float(values['tal_source_state{source="c",state="ended"}']) == 1
        assert float(values["tal_declared_latency_seconds"]) == pytest.approx(scheduler.declared_latency_s)
        assert float(values['tal_stage_duration_seconds_total{stage="encode"}']) > 0
        assert float(values['tal_event_latency_worst_seconds{source="a"}']) <= scheduler.declared_latency_s
        assert get(server.port, "/healthz")[0] == 200
        assert json.loads(get(server.port, "/readyz")[1]) == {"ok": True, "sources": dict.fromkeys("abc", "ended")}
        assert get(server.port, "/")[0] == 404
        scheduler.last_turn = time.monotonic() - STUCK_S - 1
        assert get(server.port, "/healthz")[0] == 503
        assert get(server.port, "/readyz")[0] == 503
        with pytest.raises(UsageError, match=f"port {server.port}"):
            MetricsServer(scheduler, server.port)


def test_slow_clients_hold_no_more_than_a_few_threads(engine, clips, capfd, monkeypatch):
    """Each sends a part of a request; who comes next is answered all the same, and the slow ones are hung up on."""
    pytest.importorskip("prometheus_client")
    from tal_engine.streaming import metrics_server

    before = set(threading.enumerate())

    def threads_of_requests():
        return len([t for t in threading.enumerate() if "process_request_thread" in t.name and t not in before])

    monkeypatch.setattr(metrics_server, "_SENDING_S", 1.5)
    monkeypatch.setattr(metrics_server, "_MAKES_ROOM_S", LONG_S)
    with StreamScheduler(engine, named(clips), OPTIONS) as scheduler, ExitStack() as stack:
        server = stack.enter_context(metrics_server.MetricsServer(scheduler, 0))
        slow = []
        for i in range(120):
            slow.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=LONG_S)))
            slow[-1].sendall(b"GET /metr")
            if i % 20 == 19:
                # one thread may have made room and not quite ended
                assert threads_of_requests() <= metrics_server.REQUESTS + 1
                assert get(server.port, "/healthz")[0] == 200
        assert get(server.port, "/metrics")[0] == 200
        assert threads_of_requests() <= metrics_server.REQUESTS + 1
        for client in slow:  # the last ones too, though their bytes come in time
            client.settimeout(LONG_S)
            with suppress(ConnectionError):
                while client.recv(1000):
                    pass
        until(lambda: not threads_of_requests())
    assert capfd.readouterr().err == ""


def test_a_client_that_hangs_holds_up_no_probe_and_no_end(engine, clips, capfd):
    pytest.importorskip("prometheus_client")
    from tal_engine.streaming.metrics_server import MetricsServer

    scheduler = StreamScheduler(engine, named(clips), OPTIONS)
    server = MetricsServer(scheduler, 0)
    with socket.create_connection(("127.0.0.1", server.port)) as hanging:
        hanging.sendall(b"GET /metr")
        assert get(server.port, "/healthz")[0] == 200
        within(server.close)
    scheduler.stop()
    list(scheduler.run())
    assert capfd.readouterr().err == ""


def tal(*arguments, **options):
    command = [sys.executable, "-c", "from tal_engine.cli.main import run; run()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_command_line(clips, plan_path, tmp_path):
    listed = tmp_path / "all.streams"
    listed.write_text(f"# cameras\na={clips['a']}\nb={clips['b']}\n")
    process = tal(
        "stream", listed, "--plan", plan_path, "--conf", "-100", "--window", 3.2, "--step", 0.32, "--look-ahead", 0.96,
        "--stream-options", "gap=0.32", "--sink", f"csv:{tmp_path / 'f.csv'}", "--report", tmp_path / "r.json",
    )  # fmt: skip
    out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert {e["source"] for e in events} == {"a", "b"}
    assert all(e["kind"] == "final" and e["schema"] == "tal.event/2" for e in events)
    rows = {(e["source"], e["label"], f"{e['start']:.6f}", f"{e['end']:.6f}") for e in events}
    written = [line.split(",") for line in (tmp_path / "f.csv").read_text().splitlines()[1:]]
    assert {tuple(row[:4]) for row in written} == rows
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["streams"]["a"]["coverage"]["seen"] == pytest.approx(10.4, abs=0.05)
    assert report["streams"]["a"]["worst_latency_s"] <= report["declared_latency_s"]
    assert "finals at most" in err


def test_command_line_names_a_source_that_is_gone(clips, plan_path):
    process = tal("stream", "/nowhere.mp4", f"b={clips['b']}", "--plan", plan_path)
    _, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 5
    assert "/nowhere.mp4: no such file" in err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_flush(clips, plan_path, number, status):
    process = tal("stream", f"c={clips['c']}", "--plan", plan_path, "--realtime", "--conf", "-100", "--window", 60,
                  "--look-ahead", 60, "--provisional")  # fmt: skip
    assert json.loads(process.stdout.readline())["kind"] == "started"
    os.kill(process.pid, number)
    out, err = the_rest(process)
    assert process.returncode == status, err
    events = [e for e in map(json.loads, out.splitlines()) if e["kind"] == "final"]
    assert events
    assert max(e["end"] for e in events) < 13.3, "it stopped before the end of the file"


def test_it_ends_when_nobody_reads(clips, plan_path):
    """As with ``tal stream ... | head -1``: a stream without end must not go on for no one."""
    process = tal("stream", f"c={clips['c']}", "--plan", plan_path, "--conf", "-100", "--window", 3.2, "--step", 0.32,
                  "--look-ahead", 0.96, "--stream-options", "gap=0.32")  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=LONG_S) == 1
    assert "no sink takes events any more" in err
    process.stderr.close()
