"""The public face: what can be imported, how sources fail, event loops, and the names of version 0.1."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tal_engine
from tal_engine import (
    DataError,
    FeatureError,
    PlanError,
    StateError,
    StreamingLocalizer,
    StreamOptions,
    TALEngine,
    UsageError,
    VideoError,
    load_features,
)
from tal_engine.annotations import read_detections
from tal_engine.annotations.finals import read_finals
from tal_engine.errors import PlanFault, SourceError, TALError, VideoFault
from tal_engine.live.addresses import expand_streams
from tal_engine.live.connection import Connection
from tal_engine.live.live_source import LiveSource
from tal_engine.options import LiveOptions
from tal_engine.streaming import StreamScheduler
from tal_engine.video import open_video
from tal_engine.video.source import Frame, VideoSource
from tests.makers import moving_square, tiny_plan
from tests.waiting import no_thread_left, until

SHORT = StreamOptions(window=2, look_ahead=0.5)


@pytest.fixture(scope="module")
def engine():
    return TALEngine(tiny_plan(), "cpu", threads=1)


@pytest.fixture(scope="module")
def frames():
    return np.stack(list(moving_square(150, 48, 64)))


@pytest.mark.parametrize("name", tal_engine.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(tal_engine, name)
    assert name == "__version__" or (value.__doc__ or "").strip()
    assert name in dir(tal_engine)


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "tal_engine", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"tal_engine {tal_engine.__version__}"


# -- several sources -------------------------------------------------------------------------


def test_a_bad_source_raises_after_what_came_before(engine, clip, tmp_path):
    results = engine.localize_batch([clip, tmp_path / "none.mp4", clip], batch=1)
    assert next(results)[0] == clip
    with pytest.raises(VideoError, match=r"none\.mp4"):
        next(results)
    assert len(engine.localize(clip))  # the engine goes on


def test_or_is_returned_in_the_place_of_its_result(engine, clip, tmp_path):
    found = [r for _, r in engine.localize_batch([clip, tmp_path / "none.mp4", clip], on_error="return")]
    assert [isinstance(r, VideoError) for r in found] == [False, True, False]


def test_on_error_takes_two_words(engine):
    with pytest.raises(UsageError, match="on_error is 'ignore', must be 'raise' or 'return'"):
        engine.localize_batch([], on_error="ignore")


# -- streams -----------------------------------------------------------------------------------


def test_watching_is_iterating(engine, clip):
    with engine.watch([f"a={clip}"], SHORT, min_score=-1e9) as events:
        want = list(events)
    assert want
    with engine.watch(f"a={clip}", SHORT, min_score=-1e9) as events:
        assert [e.to_dict() | {"wall_time": 0} for e in events] == [e.to_dict() | {"wall_time": 0} for e in want]


def test_watching_in_an_event_loop(engine, clip):
    async def all_of():
        return [e async for e in engine.watch([f"a={clip}"], SHORT, min_score=-1e9)]

    found = asyncio.run(all_of())
    with engine.watch([f"a={clip}"], SHORT, min_score=-1e9) as events:
        assert [(e.label, e.start) for e in found] == [(e.label, e.start) for e in events]


def test_leaving_the_loop_closes_the_sources(engine, clip):
    async def first():
        scheduler = engine.watch([f"a={clip}"], SHORT, min_score=-1e9)
        events = aiter(scheduler)
        await anext(events)
        await events.aclose()
        return scheduler

    with pytest.raises(StateError, match="closed"):
        asyncio.run(first()).run()


def test_events_and_segments_share_a_vocabulary(engine, frames):
    stream = engine.open_stream("s", SHORT, provisional=True, min_score=-1e9)
    events = [e for i, f in enumerate(frames) for e in stream.push(f, i / 25)] + stream.flush(6.0)
    assert {e.kind for e in events} >= {"started", "final"}
    for e in events:
        assert e.label == engine.plan.manifest.vocabulary[e.label_id]
        assert (e.kind == "final") == e.is_final


def test_closing_the_engine_ends_a_watch_with_an_error(clip):
    engine = TALEngine(tiny_plan(), "cpu", threads=1)
    with engine.watch([f"a={clip}"], SHORT, min_score=-1e9) as events:
        engine.close()
        with pytest.raises(StateError, match="closed"):
            list(events)


def test_watches_leave_the_executor_of_the_loop_alone(engine, frames, clip):
    async def busy():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async for _ in engine.watch([f"a={clip}"], SHORT, min_score=-1e9):
            return await asyncio.wait_for(engine.alocalize(frames, fps=25.0), 60)
        return None

    assert len(asyncio.run(busy()))


@pytest.mark.parametrize("wrong", ["short.mp4", b"x", None, 7, {"rgb": np.zeros((3, 4))}])
def test_one_source_is_not_several(engine, wrong):
    with pytest.raises(UsageError, match="must be a list or another iterable of sources; localize takes one"):
        engine.localize_batch(wrong)


@pytest.mark.parametrize("name", [5, None, Path("cam")])
def test_a_name_is_a_text(engine, name):
    with pytest.raises(UsageError, match="must be a text"):
        engine.open_stream(name)


def test_options_are_of_their_kind(engine, clip):
    for wrong in ({"window": 3}, "short"):
        with pytest.raises(UsageError, match=r"options is .*, must be a StreamOptions or None"):
            engine.open_stream("s", wrong)
        with pytest.raises(UsageError, match=r"options is .*, must be a StreamOptions or None"):
            engine.watch([clip], wrong)
    with pytest.raises(UsageError, match=r"live is .*, must be a LiveOptions or None"):
        engine.watch([clip], SHORT, SHORT)


# -- event loops -------------------------------------------------------------------------------


def test_localizing_in_an_event_loop(engine, frames):
    async def both():
        return await asyncio.gather(*(engine.alocalize(frames, fps=25.0) for _ in range(2)))

    want = engine.localize(frames, fps=25.0)
    assert [r.segments for r in asyncio.run(both())] == [want.segments] * 2


def test_a_cancelled_task_ends_its_thread(engine, frames):
    begun, calls = threading.Event(), []

    def progress(done, total):
        calls.append(done)
        begun.set()

    async def cancelled():
        task = asyncio.create_task(engine.alocalize(np.concatenate([frames] * 20), fps=25.0, progress=progress))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())  # waits for the threads of its executor
    assert calls
    assert calls[-1] < 120.0  # of 120 seconds
    assert len(engine.localize(frames, fps=25.0))


def test_errors_come_out_of_the_event_loop(engine, tmp_path):
    with pytest.raises(VideoError):
        asyncio.run(engine.alocalize(tmp_path / "none.mp4"))


# -- names of version 0.1 ----------------------------------------------------------------------


def test_former_names_say_their_successors(engine, clip):
    with pytest.warns(DeprecationWarning, match="stream is now open_stream"):
        assert isinstance(engine.stream("s"), StreamingLocalizer)
    with pytest.warns(DeprecationWarning, match="stream is now watch"):
        engine.stream([f"a={clip}"]).close()
    with pytest.warns(DeprecationWarning, match="localize_many is now localize_batch"):
        ((_, found),) = engine.localize_many([clip])
    assert found.segments == engine.localize(clip).segments


# -- errors ------------------------------------------------------------------------------------


def test_a_missing_file_is_a_file_not_found(tmp_path):
    for read, kind in (
        (TALEngine.load, PlanError),
        (read_detections, DataError),
        (load_features, FeatureError),
    ):
        with pytest.raises(FileNotFoundError) as e:
            read(tmp_path / "none.json")
        assert isinstance(e.value, kind)
        assert str(e.value).startswith(f"{tmp_path / 'none.json'}: no such ")
        assert (e.value.errno, e.value.filename) == (errno.ENOENT, str(tmp_path / "none.json"))
        assert e.value.exit_code == 5


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (TALEngine.load, PlanError),
        (read_detections, DataError),
        (load_features, FeatureError),
        (open_video, VideoError),
    ],
)
def test_a_file_that_may_not_be_read_is_a_permission_error(read, kind, tmp_path, monkeypatch):
    """And is there: root may read everything, so the system's refusal is made."""

    def refused(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    path = tmp_path / "locked.json"
    path.write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr("builtins.open", lambda path, *_, **__: refused(path))
    with pytest.raises(PermissionError, match=r"locked\.json: cannot be read \(Permission denied\)") as e:
        read(path)
    monkeypatch.undo()
    assert isinstance(e.value, kind)
    assert not isinstance(e.value, FileNotFoundError)
    assert (e.value.errno, e.value.filename, e.value.exit_code) == (errno.EACCES, str(path), 5)
    copy = pickle.loads(pickle.dumps(e.value))
    assert (type(copy), str(copy), copy.errno, copy.filename) == (type(e.value), str(e.value), errno.EACCES, str(path))


@pytest.mark.parametrize("read", [TALEngine.load, read_detections, read_finals, load_features, open_video])
def test_a_folder_is_no_missing_file(read, tmp_path):
    folder = tmp_path / "x.jsonl"
    folder.mkdir()
    with pytest.raises(TALError, match=r"x\.jsonl: ") as e:
        read(folder)
    assert not isinstance(e.value, OSError)


def test_missing_videos(engine, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.mp4") as e:
        engine.localize(tmp_path / "none.mp4")
    assert (e.value.errno, e.value.filename) == (errno.ENOENT, str(tmp_path / "none.mp4"))
    assert VideoError(VideoFault.MISSING, "s3://b/v: cannot be reached").errno == errno.ENOENT


def test_a_missing_source_is_a_file_not_found(engine, tmp_path):
    with engine.watch([str(tmp_path / "none.mp4")]) as events:
        assert list(events.run()) == []
        (stream,) = events.streams
    assert isinstance(stream.error, SourceError)
    assert isinstance(stream.error, FileNotFoundError)
    assert stream.error.filename == str(tmp_path / "none.mp4")
    with pytest.raises(FileNotFoundError, match=r"no\.streams: cannot be read as a list") as e:
        expand_streams(tmp_path / "no.streams")
    assert isinstance(e.value, SourceError)


def endless():
    k = 0
    while True:
        yield Frame(k / 25, lambda: np.zeros((64, 96, 3), np.uint8))
        k += 1


@no_thread_left("tal-live")
def test_a_watch_that_is_dropped_reads_no_more(engine):
    """Nobody closed it: its thread would read on for ever."""
    connect = lambda: Connection(VideoSource("cam", endless(), 25.0, 0.04), ends=False)  # noqa: E731
    source = LiveSource("cam", connect, LiveOptions(policy="drop_oldest"))
    watch = StreamScheduler(engine, [source])
    until(lambda: source.coverage.frames["arrived"] > 10)
    gone = weakref.ref(watch)
    del watch
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "error",
    [
        PlanError(PlanFault.MISSING_FILE, "p.plan: no such plan"),
        VideoError(VideoFault.MISSING, "v.mp4: no such file"),
        DataError("a.json: no such file").missing("a.json"),
        UsageError("w.txt: no such file").missing().missing(),
    ],
)
def test_errors_travel_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, FileNotFoundError)
    assert (type(copy), str(copy), copy.exit_code) == (type(error), str(error), 5)
    assert getattr(copy, "fault", None) == getattr(error, "fault", None)
    assert (copy.errno, copy.filename) == (errno.ENOENT, error.filename)


def test_other_faults_are_no_missing_files():
    for error in (PlanError(PlanFault.WRONG_HASH, "x"), VideoError(VideoFault.NO_FRAMES, "x"), DataError("x")):
        assert not isinstance(error, OSError)


# -- the command line --------------------------------------------------------------------------


def test_a_former_option_is_taken_and_names_its_successor(clip, plan_path):
    def events(option):
        command = [sys.executable, "-m", "tal_engine", "stream", f"c={clip}", "--plan", str(plan_path), "--conf=-100"]
        done = subprocess.run(
            [*command, "--window", "2", option, "0.5"], capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout, done.stderr

    (now, quiet), (before, noted) = events("--look-ahead"), events("--latency")
    assert now
    assert len(before.splitlines()) == len(now.splitlines())
    assert "--latency is called --look-ahead now" in noted
    assert "--latency" not in quiet


def test_both_names_of_an_option_are_refused(clip):
    command = [sys.executable, "-m", "tal_engine", "stream", str(clip), "--latency", "5", "--look-ahead", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "leave out --latency" in done.stderr


def test_the_doctor_says_that_a_plan_is_not_there(tmp_path):
    command = [sys.executable, "-m", "tal_engine", "plan", "doctor", str(tmp_path / "none.plan")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert "is not there" in " ".join(done.stdout.split())


def test_help_has_panels_and_no_broken_lines():
    done = subprocess.run(
        [sys.executable, "-m", "tal_engine", "stream", "-h"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    for panel in ("What is found", "Sources", "Outputs", "Machine"):
        assert f"─ {panel} ─" in done.stdout
    assert "open actions stay open for the next start." in done.stdout
    assert "--latency" not in done.stdout
